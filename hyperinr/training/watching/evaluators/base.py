"""The contract of an evaluator: it measures a training state at intervals, for the loggers and the stop rules.

Letters as in `hyperinr.types`; ``M`` measured datapoints.
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

__all__ = ['Evaluator', 'Findings', 'Measurement', 'Subject', 'Summary', 'Summarise', 'module_of', 'modules', 'traced']

Summary = tuple[Mapping[str, Array], Mapping[str, Array]]
"""Figures ``[]`` and histograms ``[...]``, each by name."""
Summarise = Callable[[TrainState, Any], Summary]
"""``(state, batch) -> (figures, histograms)``; this function is compiled."""


class Findings(NamedTuple):
    """The findings of an evaluator at one step. All arrays are NumPy arrays on the host.

    Attributes:
      figures: numbers by name. Plots, stop rules and best checkpoints use them.
      curves: ``[n]`` each, for numbers that belong together, e.g. the PSNR after each adaptation step.
      images: ``[H, W, 3]`` each, in [0, 1].
      histograms: ``[n]`` values each, in any order.
      line: a line for the terminal.
    """

    figures: Mapping[str, float]
    curves: Mapping[str, np.ndarray] = {}
    images: Mapping[str, np.ndarray] = {}
    histograms: Mapping[str, np.ndarray] = {}
    line: str | None = None


class Subject(NamedTuple):
    """The parts of a run that an evaluator can use.

    Attributes:
      learner: the learner that is trained.
      dataset: the dataset that it is trained on.
      batches: the batches of training.
      devices: the devices of training.
      like: a training state; only its shapes are defined.
    """

    learner: MetaLearner
    dataset: Dataset
    batches: Batches
    devices: Sequence[jax.Device]
    like: TrainState


class Measurement(NamedTuple):
    """An evaluator that is prepared for one run.

    Attributes:
      figures: names of all figures that it finds. A stop rule with another figure is refused before training.
      measure: ``(state) -> Findings``; the state is packed and on the first device (`hyperinr.training.devices`).
    """

    figures: tuple[str, ...]
    measure: Callable[[TrainState], Findings]


class Evaluator(NamedTuple):
    """A measurement, and the interval between two of them.

    Attributes:
      name: prefix of its figures, as in ``'validation/psnr_db'``; unique in a run.
      every: interval between two evaluations.
      prepare: ``(subject) -> Measurement``. It reads the data that it needs and compiles nothing yet. It raises an
        InputError if the run has nothing to measure.
    """

    name: str
    every: Span
    prepare: Callable[[Subject], Measurement]


def traced(name: str, every: str, prepare: Callable[[Subject], tuple[Summarise, Any]]) -> Evaluator:
    """Return an evaluator that is one function on arrays; the names of its figures are found by tracing it.

    Args:
      name: name of the evaluator.
      every: interval between two evaluations.
      prepare: ``(subject) -> (summarise, batch)``: the function, and the datapoints that it is computed on, if any.
        Histograms omit values that are not finite.

    Raises:
      InputError: ``every`` is not a length of training; when the run starts: the learner does not support this number
        of datapoints.
    """

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

    return Evaluator(name, span(every), prepared)


def modules(params: object) -> dict[str, list[jax.Array]]:
    """Return each module's parameters: ``{'encoder/linear': [b [out], w [in, out]], ...}``, in tree order."""
    found: dict[str, list[jax.Array]] = {}
    for path, leaf in jax.tree_util.tree_leaves_with_path(params):
        found.setdefault(module_of(path), []).append(leaf)
    return found


def module_of(path: Sequence[Any]) -> str:
    """Return the module that holds the leaf of this path; a leaf outside all modules is its own module."""
    return jax.tree_util.keystr(tuple(path[:-1] or path), simple=True, separator='/')
