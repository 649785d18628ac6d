"""Verify a store against its config and its signals: the description composed again, and PSNR measured again."""

import os
from collections.abc import Callable

import jax
import numpy as np

from hyperinr import metrics
from hyperinr import weights as weights_lib
from hyperinr.neural_datasets.description import DESCRIPTION, read_description
from hyperinr.neural_datasets.identity import differences
from hyperinr.neural_datasets.plan import Plan, describe
from hyperinr.neural_datasets.shards import list_shards
from hyperinr.neural_datasets.signals import Signals
from hyperinr.neural_datasets.store import NeuralDataset
from hyperinr.neural_datasets.verification import DIVERGED, PSNR_TOLERANCE_DB, Problem
from hyperinr.training.run_directory import listed
from hyperinr.types import Array, Datapoint, Inr

__all__ = ['compare', 'reevaluate']


def compare(folder: str | os.PathLike, plan: Plan, inr: Inr, signals: Signals) -> list[Problem]:
    """Compare ``dataset.json`` with what the store's config composes. Fingerprints of the signals are left out.

    Args:
      folder: folder of the store.
      plan, inr, signals: composed from its config.

    Returns:
      At most one problem. Dropping shards would not help.
    """
    stored = read_description(folder)
    start = {name: getattr(plan.start, name) for name in stored.start if name in plan.start._fields}
    wanted = describe(plan, inr, signals, start={**stored.start, **start}, config_text=stored.config)
    changes = differences(wanted, stored)
    return [Problem(f'{DESCRIPTION} contradicts its config: {listed(changes)}; restore it')] if changes else []


def reevaluate(
    folder: str | os.PathLike,
    batch: Callable[[np.ndarray], Datapoint],
    *,
    num_samples: int = 64,
    start: int | None = None,
    end: int | None = None,
) -> list[Problem]:
    """Measure the PSNR of some INRs against their signals, and compare it with the recorded PSNR.

    The weights are evaluated by `NeuralDataset.inr`, as readers evaluate them.

    Args:
      folder: folder of the store; its shards in the range are sound.
      batch: source indices ``[B]`` -> datapoints ``[B, ...]``.
      num_samples: number of INRs, chosen at random; at most all.
      start: first index; ``None``: 0. The range is widened to whole shards.
      end: one after the last index; ``None``: the size of the index space.

    Returns:
      One problem for each INR whose PSNR differs.
    """
    store = NeuralDataset(folder, start, end)
    description, inr = store.description, store.inr
    indices, source_indices, psnr_db = (store.column(name) for name in ('index', 'source_index', 'psnr_db'))
    usable = np.flatnonzero(store.column('status') != DIVERGED)
    rows = np.sort(np.random.default_rng(0).choice(usable, min(num_samples, len(usable)), replace=False))

    @jax.jit
    def measure(weights: np.ndarray, datapoint: Datapoint) -> Array:
        predicted = inr.apply(weights_lib.unflatten(weights, description.weights), datapoint.coords)
        return metrics.psnr(predicted, datapoint.values, datapoint.weight, data_range=description.spec.data_range)

    problems = []
    for row in rows:
        datapoint = jax.tree.map(lambda leaf: leaf[0], batch(source_indices[[row]]))
        index, recorded = int(indices[row]), float(psnr_db[row])
        found = float(measure(store.weights([row])[0], datapoint))
        if not abs(found - recorded) <= PSNR_TOLERANCE_DB and found != recorded:
            shard = next(each for each in list_shards(folder) if each[0] <= index < each[1])
            message = f'INR {index}: PSNR {found:.2f} dB against its signal, {recorded:.2f} dB recorded'
            problems.append(Problem(message, shard))
    return problems
