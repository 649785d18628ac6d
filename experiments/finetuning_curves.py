"""Fine-tune from a start: find the best rule on validation data, and measure its curve on test data.

A `Beginning` describes a start: the weights during the learner's K steps (K = 0 for a random start), and the metric of
its learned rates. Letters: ``B`` datapoints, ``S`` recorded steps.
"""

import functools
import math
import time
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

import jax
import numpy as np
import optax

from hyperinr import fitting, meta_learning, metrics
from hyperinr import weights as weights_lib
from hyperinr.errors import InputError
from hyperinr.evaluation.starts import ANY_INR, FAMILIES, random_weights
from hyperinr.fitting import optimizers, rate_schedules
from hyperinr.model import Model
from hyperinr.types import Array, Datapoint, DatasetSpec, Inr, InrWeights

__all__ = [
    'Beginning',
    'Curve',
    'Rule',
    'best_rule',
    'best_scored_rule',
    'follow',
    'generated',
    'joined',
    'last',
    'measure',
    'path_errors',
    'random',
    'shown_part',
    'warm_amsgrad',
]

LEAST_FALL = 0.1
"""Least drop of PSNR in dB that counts as a fall."""
REPEATS = 3
"""Repetitions when a start is timed; the long fits after it are timed once."""


class Beginning(NamedTuple):
    """A start of fits.

    Attributes:
      inr: evaluates the weights.
      num_steps: K, the learner's steps.
      weights: ``(datapoints [B], num_steps) -> weights [B, num_steps + 1, ...]`` after 0, 1, ... learner's steps.
      generate: ``(datapoints [B], num_steps) -> weights [B, ...]`` after the last of these steps alone, for timing.
      metric: ``datapoints [B] -> factors [B, ...]`` of the updates of later steps; ``None``: no factors.
      families: name -> optimiser that may follow.
      may_fall: whether rules are allowed under which the PSNR falls below that of the start.
    """

    inr: Inr
    num_steps: int
    weights: Callable[[Datapoint, int], InrWeights]
    generate: Callable[[Datapoint, int], InrWeights]
    metric: Callable[[Datapoint], InrWeights | None]
    families: Mapping[str, fitting.Family]
    may_fall: bool


class Rule(NamedTuple):
    """A rule of fine-tuning.

    Attributes:
      optimizer: a family of the beginning.
      rate: its rate.
      in_metric: whether the learned rates scale its steps.
    """

    optimizer: str
    rate: float
    in_metric: bool


class Curve(NamedTuple):
    """The result of a rule.

    Attributes:
      psnr_db: ``[B, num_steps + 1]``.
      unseen_psnr_db: ``[B, S]`` at the recorded steps: fits to a part of the points, measured on all other points.
      seconds: ``[num_steps + 1]`` seconds of one datapoint since its start, encoding included.
    """

    psnr_db: np.ndarray
    unseen_psnr_db: np.ndarray
    seconds: np.ndarray


def random(inr: Inr, spec: DatasetSpec, *, seed: int) -> Beginning:
    """Make a start from fresh weights for every datapoint, with all optimisers that suit the INR."""

    fresh = random_weights(inr, spec, seed)
    weight_spec = weights_lib.spec_of_inr(inr, spec.coord_dims)
    names = ['conjugate_gradient', 'adam', 'lbfgs']
    names += ['muon', 'diagonal_curvature'] if len(weight_spec.paths) > 2 else []
    families = {name: optimizers.family(name, weight_spec) for name in names}
    generate = lambda datapoints, num_steps: fresh(datapoints)
    path = lambda datapoints, num_steps: jax.tree.map(lambda leaf: leaf[:, None], generate(datapoints, num_steps))
    return Beginning(inr, 0, path, generate, lambda datapoints: None, families, may_fall=True)


def generated(model: Model) -> Beginning:
    """Make a start from the learner's steps. An optimiser follows, optionally in the metric of the learned rates."""
    learner, params = model.learner, model.params
    along = lambda datapoints, num_steps: (
        meta_learning.adapt_batch(
            learner, params, datapoints, num_steps=num_steps, record_steps=range(num_steps + 1)
        ).snapshots
    )
    generate = lambda datapoints, num_steps: meta_learning.generate_batch(
        learner, params, datapoints, num_steps=num_steps
    )
    metric = lambda datapoints: meta_learning.learned_metric(learner, params, datapoints) if learner.num_steps else None
    return Beginning(model.inr, learner.num_steps, along, generate, metric, TRAINED_FAMILIES, may_fall=False)


def warm_amsgrad(rate: float | Array) -> optax.GradientTransformation:
    """Make an AMSGrad optimiser whose rate grows over the first 20 steps."""
    schedule = rate_schedules.constant(num_steps=0, warmup_steps=20)
    return optimizers.amsgrad(learning_rate=rate, schedule=schedule)(ANY_INR)


TRAINED_FAMILIES = {
    'conjugate_gradient': FAMILIES['conjugate_gradient'],
    'warm_amsgrad': fitting.Family(warm_amsgrad, (5e-4, 1e-3, 2e-3)),
}
"""Name -> optimiser. All starts share these objects, so that each is compiled once."""


def best_rule(beginning: Beginning, searched: Datapoint, spec: DatasetSpec, *, num_steps: int) -> Rule:
    """Return the rule that `best_scored_rule` finds."""
    return best_scored_rule(beginning, searched, spec, num_steps=num_steps)[1]


def best_scored_rule(
    beginning: Beginning, searched: Datapoint, spec: DatasetSpec, *, num_steps: int, most_points: int | None = None
) -> tuple[float, Rule]:
    """Find the rule with the highest PSNR, averaged over datapoints and over steps on a logarithmic scale.

    If ``may_fall`` is False, only rules count under which no datapoint ever falls more than `LEAST_FALL` below its
    start, unless there are none.

    Args:
      beginning: the start.
      searched: datapoints with leaves ``[B, ...]``, other than those of the final measurement.
      spec: spec of the data.
      num_steps: total number of steps, including the learner's.
      most_points: points of each datapoint that the trials see at most, drawn at random; ``None``: all.

    Returns:
      That average, and the rule.

    Raises:
      InputError: every rule diverged.
    """
    later = num_steps - beginning.num_steps
    scored = sorted(set(np.geomspace(1, later, 24).astype(int).tolist()))
    start = last(beginning.weights(searched, beginning.num_steps))
    metric = beginning.metric(searched)
    searched = _thinned(searched, most_points)
    found: list[tuple[bool, float, Rule]] = []
    for scale in (None,) if metric is None else (None, metric):
        result = fitting.best_rate(
            beginning.inr, start, searched, num_steps=later, data_range=spec.data_range, score_steps=scored,
            families=beginning.families, step_scale=scale,
        )  # fmt: skip
        for trial in result.trials:
            score = float(np.mean(trial.psnr_db[scored]))
            keeps = beginning.may_fall or trial.deepest_fall_db <= LEAST_FALL
            rule = Rule(trial.name, trial.rate, scale is not None)
            found.append((keeps, score if math.isfinite(score) else -math.inf, rule))
    return max(found)[1:]


def _thinned(datapoints: Datapoint, most: int | None) -> Datapoint:
    """Return datapoints with at most so many of their points, the same ones of each."""
    total = datapoints.coords.shape[1]
    if most is None or total <= most:
        return datapoints
    rows = np.sort(np.random.default_rng(0).choice(total, most, replace=False))
    cut = {name: getattr(datapoints, name)[:, rows] for name in ('coords', 'values', 'weight')}
    return datapoints._replace(**cut)


def shown_part(datapoints: Datapoint) -> tuple[Datapoint, Datapoint]:
    """Split the points of every datapoint into two random halves. Each half has weight 0 at the other's points.

    The halves depend only on the position of a datapoint in the batch.
    """
    rng = np.random.default_rng(0)
    weight = np.asarray(datapoints.weight)
    shown = np.stack([rng.permutation(weight.shape[1]) < weight.shape[1] // 2 for _ in weight])
    return tuple(datapoints._replace(weight=np.where(part, weight, 0)) for part in (shown, ~shown))


def measure(
    beginning: Beginning,
    rule: Rule,
    datapoints: Datapoint,
    spec: DatasetSpec,
    *,
    num_steps: int,
    record_steps: Sequence[int],
) -> Curve:
    """Fit ``datapoints``, and half of their points, by ``rule``.

    Args:
      beginning: the start.
      rule: rule of the steps after the learner's.
      datapoints: datapoints of the test split, leaves ``[B, ...]``.
      spec: spec of the data.
      num_steps: total number of steps, above the number of learner's steps.
      record_steps: S increasing steps in [0, num_steps] at which fits to half of the points are measured on the others.

    Raises:
      InputError: no step is left after the learner's.
    """
    own = beginning.num_steps
    run = functools.partial(follow, beginning, rule, num_steps=num_steps, record_steps=record_steps)
    path, result = run(datapoints)
    mse = np.concatenate([path_errors(beginning.inr, path, datapoints)[:, :-1], result.mse], axis=1)

    seen, unseen = shown_part(datapoints)
    kept = joined(*run(seen), record_steps)

    count = len(datapoints.coords)
    encoded, adapted = (_median_seconds(lambda n=n: beginning.generate(datapoints, n)) / count for n in (0, own))
    whole = _seconds(lambda: run(datapoints)) / count
    seconds = np.interp(
        np.arange(num_steps + 1), [0, own, num_steps], [encoded, max(encoded, adapted), max(adapted, whole)]
    )
    to_psnr = lambda errors: np.asarray(metrics.psnr_from_mse(errors, spec.data_range))
    return Curve(to_psnr(mse), to_psnr(path_errors(beginning.inr, kept, unseen)), seconds)


def follow(
    beginning: Beginning, rule: Rule, datapoints: Datapoint, *, num_steps: int, record_steps: Sequence[int]
) -> tuple[InrWeights, fitting.FitResult]:
    """Fit datapoints by a rule: return the weights during the learner's own steps, and the fit after them.

    Args:
      beginning, rule, num_steps: see `measure`.
      datapoints: leaves ``[B, ...]``.
      record_steps: increasing steps in [0, num_steps]; the snapshots of the fit are those from the learner's last on.

    Raises:
      InputError: no step is left after the learner's.
    """
    own = beginning.num_steps
    if num_steps <= own:
        raise InputError(f'a start with {own} steps of its own needs more than {num_steps} steps in all.')
    path = beginning.weights(datapoints, own)
    return path, fitting.fit(
        beginning.inr, last(path), datapoints,
        optimizer=fitting.AtRate(beginning.families[rule.optimizer].make, rule.rate),
        num_steps=num_steps - own, record_steps=[step - own for step in record_steps if step >= own],
        step_scale=beginning.metric(datapoints) if rule.in_metric else None,
    )  # fmt: skip


def joined(path: InrWeights, fitted: fitting.FitResult, record_steps: Sequence[int]) -> InrWeights:
    """Return the weights ``[B, S, ...]`` at the recorded steps, from the two parts that `follow` returns."""
    own = jax.tree.leaves(path)[0].shape[1] - 1
    early = np.array([step for step in record_steps if step < own], int)
    before = jax.tree.map(lambda leaf: leaf[:, early], path)
    return jax.tree.map(lambda *parts: np.concatenate(parts, axis=1), before, fitted.snapshots)


def last(path: InrWeights) -> InrWeights:
    """Return the weights at the end of a path, ``[B, S, ...] -> [B, ...]``."""
    return jax.tree.map(lambda leaf: np.asarray(leaf[:, -1]), path)


def path_errors(inr: Inr, path: InrWeights, datapoints: Datapoint) -> np.ndarray:
    """Return the mean squared errors ``[B, S]`` of weights ``[B, S, ...]``."""

    def one(weights: InrWeights, judged: Datapoint) -> Array:
        values = jax.lax.map(lambda each: inr.apply(each, judged.coords), weights)
        return metrics.mean_squared_error(values, judged.values[None], judged.weight[None])

    return np.asarray(jax.jit(lambda *both: fitting.map_datapoints(one, *both))(path, datapoints))


def _median_seconds(call: Callable[[], object]) -> float:
    jax.block_until_ready(call())
    return float(np.median([_seconds(call) for _ in range(REPEATS)]))


def _seconds(call: Callable[[], object]) -> float:
    began = time.perf_counter()
    jax.block_until_ready(call())
    return time.perf_counter() - began
