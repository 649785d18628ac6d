"""The fitting loop of one INR: ``begin``, ``advance`` by some steps, ``finish``.

The loop carries weights and optimiser state as flat vectors, because a loop that carries many small arrays is slow. All
functions are pure and written for one INR; `hyperinr.fitting.engine` maps them over many. Letters: ``N`` points of a
datapoint, ``P`` weights, ``S`` recorded steps.
"""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax

from hyperinr import weights as weights_lib
from hyperinr.annotations import checked
from hyperinr.errors import InputError
from hyperinr.fitting.loss import PRECISIONS, Points, ValueAndGradient, points_of, value_and_gradient
from hyperinr.fitting.quadratic_model import quadratic_model
from hyperinr.fitting.stopping import NEVER, Goal, Status
from hyperinr.fitting.subsampling import Subsampling
from hyperinr.types import Array, Datapoint, Inr, InrWeights, Key
from hyperinr.weights import WeightSpec

__all__ = [
    'Best', 'FitLoop', 'FitResult', 'FitRules', 'FitState', 'Fitted',
    'check_record_steps', 'check_rules', 'fit_loop', 'fit_one',
]  # fmt: skip


class FitResult(NamedTuple):
    """Fitted weights and the history of their errors. `fit_one` returns the same without the axis ``B``.

    Attributes:
      weights: after the last step taken, or with ``keep_best`` after the step of least error; leaves ``[B, ...]``.
      mse: ``[B, num_steps + 1]``, the weighted mean squared error over all points after 0, 1, ... steps. After an INR
        has stopped, its last error is repeated. Between two full passes of a sub-sampled fit, the error of the last
        full pass is repeated.
      snapshots: the weights after each of ``record_steps``, leaves ``[B, S, ...]``. If an INR stopped before such a
        step, its last weights.
      num_steps: ``[B]`` int32, steps taken.
      status: ``[B]`` int32, a `Status`.
      best_step: ``[B]`` int32, the step after which ``weights`` were reached: ``num_steps``, or an earlier one that
        ``keep_best`` returns. Their error is ``mse[best_step]``.
    """

    weights: InrWeights
    mse: Array
    snapshots: InrWeights
    num_steps: Array
    status: Array
    best_step: Array


class FitRules(NamedTuple):
    """Options that are compiled into a loop.

    Attributes:
      num_steps: maximum number of steps, >= 0.
      record_steps: S increasing step counts in [0, num_steps].
      subsampling: how the points of a step are drawn; ``None``: every step sees all points.
      precision: ``'float32'`` or ``'bfloat16'``, see `value_and_gradient`.
      goal: a target that is not a function of the error; ``None``: no such target.
      keep_best: return the weights of the full pass with the least error, where the error is higher at the end. Weights
        that reach the goal are returned as they are.
      on_pass: called on the host with the steps taken and the error at each full pass of each INR; ``None``: nothing.
    """

    num_steps: int
    record_steps: tuple[int, ...] = ()
    subsampling: Subsampling | None = None
    precision: str = 'float32'
    goal: Goal | None = None
    keep_best: bool = False
    on_pass: Callable[[Array, Array], None] | None = None


class Best(NamedTuple):
    """The state of least error so far: weights ``[P]``, their error ``[]`` and the steps before them ``[]`` int32."""

    flat: Array
    mse: Array
    step: Array


class FitState(NamedTuple):
    """The values that a loop carries from step to step.

    Attributes:
      flat: ``[P]``, weights.
      step_scale: ``[P]`` or ``[1]``, factor of the optimiser's updates.
      optimizer_state: state of the optimiser of a flat vector.
      num_steps: ``[]`` int32, steps taken.
      status: ``[]`` int32, a `Status`.
      mse: ``[num_steps + 1]``.
      recorded: ``[S + 1, P]``; the last row is spare.
      table: ``[T]``, result of `Subsampling.table`; ``[0]`` without sub-sampling.
      best: ``None`` without ``keep_best``.
    """

    flat: Array
    step_scale: Array
    optimizer_state: Any
    num_steps: Array
    status: Array
    mse: Array
    recorded: Array
    table: Array
    best: Best | None


class Fitted(NamedTuple):
    """What a loop returns for one INR; with leading axes for many.

    Attributes:
      flat: ``[P]``.
      mse: ``[num_steps + 1]``.
      recorded: ``[S, P]``.
      num_steps: ``[]``, steps taken.
      status: ``[]``, a `Status`.
      best_step: ``[]``, the step after which ``flat`` was reached.
    """

    flat: Array
    mse: Array
    recorded: Array
    num_steps: Array
    status: Array
    best_step: Array

    def unflattened(self, spec: WeightSpec) -> FitResult:
        """Return the result with pytrees of the layout ``spec`` in place of flat vectors."""
        weights, snapshots = weights_lib.unflatten(self.flat, spec), weights_lib.unflatten(self.recorded, spec)
        return FitResult(weights, self.mse, snapshots, self.num_steps, self.status, self.best_step)


class FitLoop(NamedTuple):
    """Three pure functions of one INR.

    Attributes:
      begin: ``(flat [P], points, active [], step_scale [P] or [1]) -> FitState``. If ``active`` is False, no step will
        be taken. ``step_scale`` multiplies every update.
      advance: ``(state, points, key, threshold [], limit []) -> FitState``. It takes steps while the INR is running and
        has taken fewer than ``limit`` steps. A sub-sampled fit may exceed ``limit`` up to its next full pass. Consumes
        the key.
      finish: ``(state, points, threshold []) -> Fitted``.
    """

    begin: Callable[[Array, Points, Array, Array], FitState]
    advance: Callable[[FitState, Points, Key, Array, Array], FitState]
    finish: Callable[[FitState, Points, Array], Fitted]


def check_record_steps(record_steps: Sequence[int], num_steps: int) -> tuple[int, ...]:
    """Return the steps as a tuple; raise `InputError` unless they are increasing and within [0, num_steps]."""
    steps = tuple(int(step) for step in record_steps)
    if num_steps < 0:
        raise InputError(f'num_steps is {num_steps}; it must be 0 or more.')
    if list(steps) != sorted(set(steps)) or any(not 0 <= step <= num_steps for step in steps):
        raise InputError(f'record_steps {steps} must be increasing and between 0 and num_steps = {num_steps}.')
    return steps


def check_rules(rules: FitRules) -> FitRules:
    """Return the rules with ``record_steps`` as a tuple; raise `InputError` if a rule is invalid."""
    if rules.goal is not None and rules.goal.every < 1:
        raise InputError(f'goal.every must be >= 1 step, not {rules.goal.every}.')
    if rules.precision not in PRECISIONS:
        raise InputError(f'unknown precision {rules.precision!r}; choose one of {", ".join(PRECISIONS)}.')
    return rules._replace(record_steps=check_record_steps(rules.record_steps, rules.num_steps))


def fit_loop(
    error: ValueAndGradient,
    optimizer: optax.GradientTransformation,
    rules: FitRules,
    evaluate: Callable[[Array, Array], Array],
) -> FitLoop:
    """Return the loop for one loss, optimiser and set of rules.

    Args:
      error: the loss and its gradient.
      optimizer: an optimiser of a flat vector; its hyperparameters may be traced. An optimiser with extra arguments
        gets the ``value`` of the loss and its ``model``, a `QuadraticModel`. The value is ``None`` under sub-sampling,
        because losses on different points cannot be compared.
      rules: checked by `check_rules`.
      evaluate: ``(flat [P], coords [M, D]) -> values [M, C]``, for a goal and for the model.
    """
    optimizer = optax.with_extra_args_support(optimizer)
    num_steps, record, subsampling = rules.num_steps, np.asarray(rules.record_steps, np.int32), rules.subsampling
    goal = rules.goal
    # Every step writes to the row of the next recorded step, so the last write to a row is the right one. Steps after
    # the last recorded step write to the spare row.
    positions = np.searchsorted(record, np.arange(num_steps + 1)).astype(np.int32)

    def empty_table(points: Points) -> Array:
        if subsampling is None:
            return jnp.zeros(0)
        errors = subsampling.measured(points).scale
        return jnp.zeros_like(jax.eval_shape(subsampling.table, errors, points))

    def begin(flat: Array, points: Points, active: Array, step_scale: Array) -> FitState:
        return FitState(
            flat=flat,
            step_scale=step_scale,
            optimizer_state=optimizer.init(flat),
            num_steps=jnp.int32(0),
            status=jnp.where(active, jnp.int32(Status.RUNNING), jnp.int32(Status.OK)),
            mse=jnp.zeros(num_steps + 1, flat.dtype),
            recorded=jnp.zeros((len(record) + 1 if len(record) else 0, flat.size), flat.dtype),
            table=empty_table(points),
            best=Best(flat, jnp.asarray(jnp.inf, flat.dtype), jnp.int32(0)) if rules.keep_best else None,
        )

    def compare_with_best(state: FitState, mse: Array) -> FitState:
        if state.best is None:
            return state
        better, here = mse < state.best.mse, Best(state.flat, mse, state.num_steps)
        return state._replace(best=jax.tree.map(lambda new, old: jnp.where(better, new, old), here, state.best))

    def record_one(state: FitState) -> FitState:
        if not len(record):
            return state
        position = jnp.asarray(positions)[state.num_steps]
        return state._replace(recorded=jax.lax.dynamic_update_index_in_dim(state.recorded, state.flat, position, 0))

    def descend(state: FitState, seen: Points, loss: Array, gradient: Array, status: Array, mse: Array) -> FitState:
        state = record_one(state)
        updates, optimizer_state = optimizer.update(
            gradient,
            state.optimizer_state,
            state.flat,
            value=loss if subsampling is None else None,
            model=quadratic_model(evaluate, seen, state.flat, gradient, state.step_scale),
        )
        running = status == Status.RUNNING
        return state._replace(
            flat=jnp.where(running, optax.apply_updates(state.flat, state.step_scale * updates), state.flat),
            optimizer_state=optimizer_state,
            num_steps=state.num_steps + running,
            status=status,
            mse=jax.lax.dynamic_update_index_in_dim(state.mse, mse, state.num_steps, 0),
        )

    def full_step(state: FitState, points: Points, threshold: Array) -> FitState:
        measured = points if subsampling is None else subsampling.measured(points)
        (mse, errors), gradient = error(state.flat, measured)
        if rules.on_pass is not None:
            jax.debug.callback(rules.on_pass, state.num_steps, mse)
        if subsampling is not None:
            state = state._replace(table=subsampling.table(errors, points))
        status = jnp.where(mse <= threshold, jnp.int32(Status.OK), jnp.int32(Status.RUNNING))
        status = jnp.where(jnp.isfinite(mse), status, jnp.int32(Status.DIVERGED))
        return descend(compare_with_best(state, mse), measured, mse, gradient, status, mse)

    def sampled_step(state: FitState, points: Points, key: Key, draws: Subsampling) -> FitState:
        drawn = draws.draw(jax.random.fold_in(key, state.num_steps), state.table, points)
        (loss, _), gradient = error(state.flat, drawn)
        status = jnp.where(jnp.isfinite(loss), jnp.int32(Status.RUNNING), jnp.int32(Status.DIVERGED))
        return descend(state, drawn, loss, gradient, status, state.mse[jnp.maximum(state.num_steps - 1, 0)])

    def goal_reached(flat: Array, points: Points) -> Array:
        assert goal is not None
        assert points.goal_points is not None
        return goal.reached(evaluate(flat, points.goal_points.coords), points.goal_points)

    def advance(state: FitState, points: Points, key: Key, threshold: Array, limit: Array) -> FitState:
        if num_steps == 0:
            return state  # There is nothing to compile.
        last = jnp.minimum(limit, num_steps)

        def period(state: FitState) -> FitState:
            state = full_step(state, points, threshold)
            if subsampling is None:
                return state
            return jax.lax.while_loop(
                lambda state: (
                    (state.status == Status.RUNNING)
                    & (state.num_steps < num_steps)
                    & (state.num_steps % subsampling.full_pass_every != 0)
                ),
                lambda state: sampled_step(state, points, key, subsampling),
                state,
            )

        running = lambda state: (state.status == Status.RUNNING) & (state.num_steps < last)
        if goal is None:
            return jax.lax.while_loop(running, period, state)

        def between_checks(state: FitState) -> FitState:
            there = (state.status == Status.RUNNING) & goal_reached(state.flat, points)
            state = state._replace(status=jnp.where(there, jnp.int32(Status.OK), state.status))
            until = (state.num_steps // goal.every + 1) * goal.every
            return jax.lax.while_loop(lambda state: running(state) & (state.num_steps < until), period, state)

        return jax.lax.while_loop(running, between_checks, state)

    def finish(state: FitState, points: Points, threshold: Array) -> Fitted:
        (last, _), _ = error(state.flat, points if subsampling is None else subsampling.measured(points))
        flat, best_step, best = state.flat, state.num_steps, state.best
        at_goal = threshold < 0 if goal is None else goal_reached(flat, points)
        if best is not None:
            worse = ~(last <= best.mse)  # Also if it is NaN.
            worse = worse if goal is None else worse & ~at_goal
            flat, best_step = jnp.where(worse, best.flat, flat), jnp.where(worse, best.step, best_step)
            at_goal = at_goal if goal is None else goal_reached(flat, points)
        reached = jnp.where((last <= threshold) | at_goal, jnp.int32(Status.OK), jnp.int32(Status.MISSED_TARGET))
        status = jnp.where(state.status == Status.RUNNING, reached, state.status)
        status = jnp.where(jnp.isfinite(last), status, jnp.int32(Status.DIVERGED))
        mse = jnp.where(jnp.arange(num_steps + 1) >= state.num_steps, last, state.mse)
        taken = jnp.asarray(record)[:, None] < state.num_steps
        recorded = jnp.where(taken, state.recorded[: len(record)], state.flat[None])
        return Fitted(flat, mse, recorded, state.num_steps, status, best_step)

    return FitLoop(begin, advance, finish)


@checked
def fit_one(
    inr: Inr,
    weights: InrWeights,
    datapoint: Datapoint,
    *,
    optimizer: optax.GradientTransformation,
    num_steps: int,
    record_steps: Sequence[int] = (),
    step_scale: InrWeights | None = None,
) -> FitResult:
    """Fit one INR to one datapoint with full-batch steps. Pure and traceable: jit and map it, or call `fit`.

    The loss is `metrics.mean_squared_error` with the datapoint's weight. The fit stops when its error is no longer
    finite.

    Args:
      inr: evaluates the weights.
      weights: the start, unbatched leaves.
      datapoint: the signal to fit, ``N`` points.
      optimizer: any optax transformation of a flat vector. Its hyperparameters may be traced values.
      num_steps: gradient steps, >= 0.
      record_steps: increasing step counts in [0, num_steps] whose weights are returned.
      step_scale: factor of the optimiser's update of each weight, unbatched leaves; ``None``: 1.

    Returns:
      A `FitResult` without batch axes.

    Raises:
      InputError: ``record_steps`` not increasing or outside [0, num_steps].
    """
    rules = check_rules(FitRules(num_steps, tuple(record_steps)))
    spec, points = weights_lib.spec_of(weights), points_of(datapoint)
    evaluate = lambda flat, coords: inr.apply(weights_lib.unflatten(flat, spec), coords)
    loop, threshold = fit_loop(value_and_gradient(inr.apply, spec), optimizer, rules, evaluate), jnp.float32(NEVER)
    scale = jnp.ones(1) if step_scale is None else weights_lib.flatten(step_scale, spec)
    state = loop.begin(weights_lib.flatten(weights, spec), points, jnp.bool_(True), scale)
    state = loop.advance(state, points, jax.random.key(0), threshold, jnp.int32(num_steps))
    return loop.finish(state, points, threshold).unflattened(spec)
