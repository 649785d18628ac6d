"""What an evaluator is: something measured now and then, on a state of training, for the loggers and stop rules.

Letters as in `hyperinr.types`; ``M`` datapoints that are measured.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import jax
import numpy as np

from hyperinr.datasets.base import Dataset
from hyperinr.errors import InputError
from hyperinr.training.devices import pack
from hyperinr.training.input_pipeline import Batches
from hyperinr.training.watching.spans import Span, span
from hyperinr.types import Array, MetaLearner, TrainState

__all__ = ['Evaluator', 'Findings', 'Measurement', 'Subject', 'Summary', 'Summarise', 'by_module', 'traced']

Summary = tuple[Mapping[str, Array], Mapping[str, Array]]
"""Figures ``[]`` and histograms ``[...]``, each by name."""
Summarise = Callable[[TrainState, Any], Summary]
"""``(state, batch) -> figures and histograms``, a function that is compiled."""


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
    """What there is to measure in a run.

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


def traced(name: str, every: str, prepare: Callable[[Subject], tuple[Summarise, Any]]) -> Evaluator:
    """Return an evaluator that is one function on arrays; the names of its figures are found by tracing it.

    Args:
      name: of the evaluator.
      every: its cadence.
      prepare: ``(subject) -> (summarise, batch)``: what to compute, and the datapoints that it is computed on, if any.
        Values of a histogram that are not finite are left out.

    Raises:
      InputError: no such cadence; when the run starts: a number of datapoints that the learner cannot take.
    """
    cadence = span(every)

    def prepared(subject: Subject) -> Measurement:
        summarise, batch = prepare(subject)
        compiled = jax.jit(summarise)
        try:
            promised, _ = jax.eval_shape(compiled, jax.eval_shape(pack, subject.like), batch)
        except InputError:
            raise
        except ValueError as error:
            raise InputError(f'{name}: {error} Choose another {name}.num_datapoints.') from error

        def measure(state: TrainState) -> Findings:
            figures, histograms = jax.device_get(compiled(state, batch))
            finite = {key: values[np.isfinite(values)] for key, values in histograms.items()}
            return Findings(
                figures={key: float(figure) for key, figure in figures.items()},
                histograms={key: values for key, values in finite.items() if values.size},
            )

        return Measurement(tuple(promised), measure)

    return Evaluator(name, cadence, prepared)


def by_module(params: object) -> dict[str, list[tuple[str, jax.Array]]]:
    """Return each module's parameters: ``{'encoder/linear': [('w', [in, out]), ('b', [out])], ...}``, in tree order."""
    found: dict[str, list[tuple[str, jax.Array]]] = {}
    for path, leaf in jax.tree_util.tree_leaves_with_path(params):
        *module, name = (str(getattr(key, 'key', getattr(key, 'idx', key))) for key in path) if path else ('params',)
        found.setdefault('/'.join(module) or 'params', []).append((name, leaf))
    return found
