"""What an evaluator is: something measured now and then, on a state of training, for the loggers and stop rules.

Letters as in `hyperinr.types`; ``M`` datapoints that are looked at.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

import jax
import numpy as np

from hyperinr.datasets.base import Dataset, evenly_spaced, held_out
from hyperinr.errors import InputError
from hyperinr.training.input_pipeline import Batches
from hyperinr.training.spans import Span
from hyperinr.types import Datapoint, MetaLearner, TrainState

__all__ = ['Evaluator', 'Findings', 'Measurement', 'Subject', 'by_module', 'spread']


class Findings(NamedTuple):
    """What was found at one step. All NumPy, nothing on a device.

    Attributes:
      figures: numbers by name: what can be plotted, stopped at and kept the best of.
      curves: ``[n]`` each; where a list says more than its numbers alone.
      images: ``[H, W, 3]`` each, in [0, 1].
      histograms: ``[n]`` values each, in any order.
      line: for the terminal.
    """

    figures: Mapping[str, float]
    curves: Mapping[str, np.ndarray] = {}
    images: Mapping[str, np.ndarray] = {}
    histograms: Mapping[str, np.ndarray] = {}
    line: str | None = None


class Subject(NamedTuple):
    """What there is to look at in a run.

    Attributes:
      learner: that is trained.
      dataset: that it is trained on.
      batches: of training.
      devices: of training.
      like: a state of training, its shapes alone.
    """

    learner: MetaLearner
    dataset: Dataset
    batches: Batches
    devices: Sequence[jax.Device]
    like: TrainState


class Measurement(NamedTuple):
    """An evaluator of one run.

    Attributes:
      figures: names of all that it will find, so that a rule about another one is refused before training.
      measure: ``(state) -> Findings``; the state is packed and placed (`hyperinr.training.devices`).
    """

    figures: tuple[str, ...]
    measure: Callable[[TrainState], Findings]


class Evaluator(NamedTuple):
    """What to measure, and how often.

    Attributes:
      name: heads its figures: ``'validation/psnr_db'``; another for each evaluator of a run.
      every: its cadence.
      prepare: ``(subject) -> Measurement``; reads what it needs of the data, compiles nothing yet; an InputError where
        the run has nothing to measure.
    """

    name: str
    every: Span
    prepare: Callable[[Subject], Measurement]


def spread(subject: Subject, split: str, num_datapoints: int, *, multiple: int = 1) -> tuple[Datapoint, int]:
    """Always the same datapoints of a split, spread evenly over it.

    Args:
      subject: of the run.
      split: ``'train'``, ``'validation'`` or ``'test'``.
      num_datapoints: at most; the split may have fewer.
      multiple: of datapoints, filled up with the first ones again.

    Returns:
      Leaves ``[M, ...]``, and how many of them are different ones.

    Raises:
      InputError: no such split, or no datapoint.
    """
    splits = subject.dataset.splits
    if split not in splits:
        raise InputError(f'the dataset has no split {split!r}; it has {", ".join(splits)}.')
    source = splits[split]
    if num_datapoints < 1 or len(source) < 1:
        raise InputError(
            f'an evaluator needs a datapoint: its num_datapoints is {num_datapoints}, the split {split!r} holds '
            f'{len(source)}.'
        )
    positions = evenly_spaced(len(source), num_datapoints)
    batch = source.batch(np.resize(positions, -(-len(positions) // multiple) * multiple))
    return batch if split == 'train' else held_out(batch), len(positions)


def by_module(params: object) -> dict[str, list[tuple[str, jax.Array]]]:
    """Parameters of each module: ``{'encoder/linear': [('w', [in, out]), ('b', [out])], ...}``, in the tree's order."""
    found: dict[str, list[tuple[str, jax.Array]]] = {}
    for path, leaf in jax.tree_util.tree_leaves_with_path(params):
        *module, name = (str(getattr(key, 'key', getattr(key, 'idx', key))) for key in path) if path else ('params',)
        found.setdefault('/'.join(module) or 'params', []).append((name, leaf))
    return found
