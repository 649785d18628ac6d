"""The parts of one run, and the function that combines them."""

from collections.abc import Callable
from typing import NamedTuple

import optax

from hyperinr.arguments import check_least
from hyperinr.datasets.base import Dataset
from hyperinr.inrs.initialisation import in_range
from hyperinr.types import DatasetSpec, Encoder, Hypernetwork, Inr, MetaLearner

__all__ = ['Experiment', 'experiment']


class Experiment(NamedTuple):
    """A run before it starts.

    Attributes:
      dataset: opens the dataset; prepares it on first use.
      build: ``(spec) -> MetaLearner``. It needs the specification only, so a trained model can be used without its
        data.
      num_steps: number of outer updates.
      batch_size: datapoints of an update, over all devices.
      seed: seed of initialisation, batches and all other random draws.
      inr: ``(channels=) -> Inr``, which evaluates the weights that the run generates.
    """

    dataset: Callable[[], Dataset]
    build: Callable[[DatasetSpec], MetaLearner]
    num_steps: int
    batch_size: int
    seed: int
    inr: Callable[..., Inr]


def experiment(
    *,
    dataset: Callable[[], Dataset],
    inr: Callable[..., Inr],
    encoder: Callable[..., Encoder],
    hypernetwork: Callable[..., Hypernetwork],
    learner: Callable[..., MetaLearner],
    optimizer: Callable[..., optax.GradientTransformation],
    num_steps: int,
    batch_size: int,
    seed: int,
) -> Experiment:
    """Compose a run from factories whose hyperparameters are already bound (by gin, or by `functools.partial`).

    Args:
      dataset: ``() -> Dataset``.
      inr: ``(channels=) -> Inr``. Its output bias, of the range [0, 1], is mapped to the data range.
      encoder: ``(spec=) -> Encoder``.
      hypernetwork: ``(inr=, encoder=) -> Hypernetwork``.
      learner: ``(hypernetwork=, inr=, optimizer=, data_range=) -> MetaLearner``.
      optimizer: ``(num_steps=) -> optax.GradientTransformation``.
      num_steps: number of outer updates, >= 1.
      batch_size: datapoints of an update, >= 1.
      seed: >= 0.

    Raises:
      InputError: a number is outside its range.
    """
    check_least(num_steps=(num_steps, 1), batch_size=(batch_size, 1), seed=(seed, 0))

    def build(spec: DatasetSpec) -> MetaLearner:
        evaluator = in_range(inr(channels=spec.channels), spec.data_range)
        return learner(
            hypernetwork=hypernetwork(inr=evaluator, encoder=encoder(spec=spec)),
            inr=evaluator,
            optimizer=optimizer(num_steps=num_steps),
            data_range=spec.data_range,
        )

    return Experiment(dataset=dataset, build=build, num_steps=num_steps, batch_size=batch_size, seed=seed, inr=inr)
