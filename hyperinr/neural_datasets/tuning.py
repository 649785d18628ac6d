"""The search of ``hyperinr tune``, as a config states it, and the objectives of a neural dataset.

`hyperinr.searching` draws and stores the trials.
"""

import time
import warnings
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from hyperinr import weights as weights_lib
from hyperinr.errors import InputError, RunError
from hyperinr.neural_datasets.description import STATUSES
from hyperinr.neural_datasets.fit_job import fit_rows
from hyperinr.neural_datasets.plan import Job
from hyperinr.runtime.extras import import_extra

__all__ = ['OBJECTIVES', 'Search', 'check_objective', 'classification_accuracy', 'measure', 'search']

OBJECTIVES: Mapping[str, str] = {
    'psnr': 'maximize',
    'psnr_per_parameter': 'maximize',
    'seconds_to_psnr': 'minimize',
    'accuracy': 'maximize',
}
"""Name -> direction. PSNR is in dB, seconds are of one INR, accuracy is in [0, 1]."""
TEST_SHARE = 0.25


class Search(NamedTuple):
    """A search. `search` makes it.

    Attributes:
      space: binding -> kind of range and its values.
      objective: one of `OBJECTIVES`.
      num_trials: number of finished trials, over all processes.
      num_signals: number of signals that a trial fits.
      seed: seed of the draws and of the classifier.
    """

    space: Mapping[str, Sequence[Any]]
    objective: str
    num_trials: int
    num_signals: int
    seed: int


def search(
    *,
    space: Mapping[str, Sequence[Any]],
    objective: str = 'psnr',
    num_trials: int = 30,
    num_signals: int = 128,
    seed: int = 0,
) -> Search:
    """Make a search over bindings.

    Args:
      space: ``{'adam.learning_rate': ('log', 1e-4, 1e-1), 'siren.width': ('choice', 32, 64), 'NUM_STEPS':
        ('integer', 50, 500), 'siren.omega_0': ('uniform', 5.0, 60.0)}``.
      objective: ``'psnr'``: mean PSNR, where a diverged INR counts 0 dB. ``'psnr_per_parameter'``: mean PSNR divided by
        the number of weights. ``'seconds_to_psnr'``: seconds of each INR that reaches
        ``neural_dataset.target_psnr_db``, without compilation. ``'accuracy'``: held-out accuracy of an MLP that
        predicts labels from the weights.
      num_trials: >= 1.
      num_signals: >= 1; the first of the source.
      seed: >= 0.

    Raises:
      ValueError: the objective is unknown, or a number is below its minimum. The space is checked where it is used.
    """
    if objective not in OBJECTIVES:
        raise ValueError(f'objective {objective!r} is none of {", ".join(OBJECTIVES)}.')
    if min(num_trials, num_signals) < 1 or seed < 0:
        raise ValueError(f'a search needs num_trials, num_signals >= 1, seed >= 0, not {num_trials=}, {num_signals=}.')
    return Search(space, objective, num_trials, num_signals, seed)


def measure(job: Job, found: Search, *, on_chunk: Callable[[int, float], None] = lambda number, value: None) -> float:
    """Fit the first signals with the first seed, and return the objective.

    Args:
      job: job of the trial's config.
      found: the search.
      on_chunk: called with the number of fitted chunks and the objective so far; may raise to prune the trial. Not
        called for ``'accuracy'``, which is known only at the end.

    Raises:
      InputError: ``'seconds_to_psnr'`` has no target, or ``'accuracy'`` has no labels.
      RunError: no INR reached the target.
    """
    labels = check_objective(job, found)
    size = job.plan.num_parallel
    chunks = [np.arange(first, min(first + size, len(labels))) for first in range(0, len(labels), size)]
    fit_rows(job, chunks[0])  # compiles
    parts: list[dict[str, np.ndarray]] = []
    seconds, value = 0.0, 0.0
    for number, rows in enumerate(chunks):
        began = time.perf_counter()
        parts.append(fit_rows(job, rows))
        seconds += time.perf_counter() - began
        whole = {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
        value = _value(job, whole, found.objective, seconds)
        if found.objective != 'accuracy' and np.isfinite(value):
            on_chunk(number + 1, value)
    if found.objective == 'accuracy':
        return classification_accuracy(whole['weights'], labels, seed=found.seed)
    if not np.isfinite(value):
        raise RunError(f'no INR reached {job.plan.target_psnr_db} dB.')
    return value


def check_objective(job: Job, found: Search) -> np.ndarray:
    """Check that the objective can be measured, and return the labels ``[num_signals]`` of a trial's signals.

    Raises:
      InputError: ``'seconds_to_psnr'`` has no target, or ``'accuracy'`` has no labels.
    """
    if found.objective == 'seconds_to_psnr' and job.plan.target_psnr_db is None:
        raise InputError("the objective 'seconds_to_psnr' needs neural_dataset.target_psnr_db.")
    labels = job.signals.labels(np.arange(min(found.num_signals, len(job.signals))))
    if found.objective == 'accuracy' and len(np.unique(labels[labels >= 0])) < 2:
        raise InputError(f"the objective 'accuracy' needs labels of two classes; {job.signals.spec.name!r} has none.")
    return labels


def _value(job: Job, fitted: Mapping[str, np.ndarray], objective: str, seconds: float) -> float:
    if objective == 'seconds_to_psnr':
        reached = int(np.sum(fitted['status'] == STATUSES.index('ok')))
        return seconds / reached if reached else float('inf')
    mean = float(np.mean(np.where(fitted['status'] == STATUSES.index('diverged'), 0.0, fitted['psnr_db'])))
    return mean / weights_lib.count(job.description.weights) if objective == 'psnr_per_parameter' else mean


def classification_accuracy(weights: np.ndarray, labels: np.ndarray, *, seed: int = 0) -> float:
    """Return the share of held-out INRs whose label a small MLP predicts from their standardised weights.

    Args:
      weights: ``[n, P]``; rows that are not finite or have no label are left out.
      labels: ``[n]``; -1: no label.
      seed: seed of the MLP and of the split, three quarters of which are for training.

    Raises:
      InputError: scikit-learn is missing, or fewer than eight INRs remain.
    """
    needed_by = "the objective 'accuracy'"
    networks = import_extra('sklearn.neural_network', needed_by=needed_by, package='scikit-learn', extra='analysis')
    keep = (labels >= 0) & np.isfinite(weights).all(axis=1)
    rows, classes = weights[keep].astype(np.float64), labels[keep]
    if len(rows) < 8:
        raise InputError(f"the objective 'accuracy' needs 8 labelled INRs or more, not {len(rows)}; fit more signals.")
    order = np.random.default_rng(seed).permutation(len(rows))
    held_out, train = np.split(order, [max(1, round(TEST_SHARE * len(rows)))])
    spread = rows[train].std(axis=0)
    rows = (rows - rows[train].mean(axis=0)) / np.where(spread > 0, spread, 1)
    classifier = networks.MLPClassifier((64,), alpha=1e-2, max_iter=200, random_state=seed)
    with warnings.catch_warnings():
        warnings.simplefilter('ignore')  # not converged after 200 epochs, the same for every trial
        classifier.fit(rows[train], classes[train])
    return float(np.mean(classifier.predict(rows[held_out]) == classes[held_out]))
