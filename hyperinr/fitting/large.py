"""Fit one INR to a signal of any size: each step draws points, and all devices share them.

The loop runs on the host, so that it can show its progress, be stopped, and go on from any of its states. A step takes
long enough for that. Letters: ``N`` points of the signal, ``n`` points of a step, ``P`` weights.
"""

import functools
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax

from hyperinr import weights as weights_lib
from hyperinr.fitting.loss import Points, ValueAndGradient, value_and_gradient
from hyperinr.fitting.programs import AtRate
from hyperinr.runtime.sharding import broadcast, fetch, map_on_devices, shard, sharding_over
from hyperinr.types import Array, Inr, InrWeights
from hyperinr.weights import WeightSpec

__all__ = ['LargeSignal', 'LargeState', 'evaluator', 'fit_large']

PIECE = 1024
"""Points that a CPU computes at once: the activations of a wide INR stay in its cache and in one place of memory."""
MEASURED = (0, 2**32)
"""Key of the draw of the measured points: that of no step."""


class LargeSignal(NamedTuple):
    """A signal that is read in parts.

    Attributes:
      num_points: N.
      read: ``rows [n] -> (coords [n, D], values [n, C], weight [n])``, float32.
    """

    num_points: int
    read: Callable[[np.ndarray], tuple[np.ndarray, np.ndarray, np.ndarray]]


class LargeState(NamedTuple):
    """A fit after some steps: everything that it needs to go on.

    Attributes:
      step: steps taken.
      flat: ``[P]``, weights.
      optimizer_state: state of the optimiser of a flat vector.
      mse: ``[num_steps + 1]``, errors of the measured points after 0, 1, ... steps; between two measurements the last
        one; NaN after ``step``.
      best_step: step of the least measured error.
      best: ``[P]``, the weights then.
    """

    step: int
    flat: np.ndarray
    optimizer_state: Any
    mse: np.ndarray
    best_step: int
    best: np.ndarray


def fit_large(
    inr: Inr,
    weights: InrWeights,
    signal: LargeSignal,
    *,
    optimizer: AtRate,
    num_steps: int,
    num_points: int,
    num_measured: int,
    measure_every: int = 20,
    seed: int = 0,
    state: LargeState | None = None,
    stops: Callable[[], bool] = lambda: False,
) -> Iterator[LargeState]:
    """Yield the state at each measurement, the last one after ``num_steps`` steps or where ``stops`` says so.

    A step draws one point at random from each of n equal parts of the signal, by ``seed`` and the number of the step.
    The measured points are a draw of their own, the same in all fits. With n = N, each step sees and measures all
    points. A fit that goes on from a state takes the same steps as one that was never stopped, bit for bit on equal
    devices. It ends early where its error is no longer finite.

    Args:
      inr: evaluates the weights.
      weights: the start, unbatched leaves.
      signal: the signal.
      optimizer: takes gradients alone; not `optimizers.conjugate_gradient`, which needs a model of the loss.
      num_steps: >= 0.
      num_points: n.
      num_measured: number of measured points; at most all.
      measure_every: steps between two measurements.
      seed: seed of the draws, >= 0.
      state: state of an earlier call with the same arguments; ``None``: begin with ``weights``.
      stops: asked before each step whether to end here.
    """
    spec, devices = weights_lib.spec_of(weights), tuple(jax.local_devices())
    update, rate = _update(optimizer.make), np.float32(optimizer.rate)
    whole = num_points >= signal.num_points
    measured = signal.num_points if whole else min(num_measured, signal.num_points)
    step_error = _error(inr.apply, spec, devices, gradient=True)

    def place(key: tuple[int, int], number: int) -> Points:
        return jax.device_put(_draw(signal, key, number, len(devices)), sharding_over(devices))

    def total(losses: Array) -> float:
        return float(np.sum(np.asarray(losses), dtype=np.float64))

    if state is None:
        start = np.asarray(weights_lib.flatten(weights, spec))
        begun = optimizer.make(optimizer.rate).init(jnp.asarray(start))
        state = LargeState(0, start, begun, np.full(num_steps + 1, np.nan), 0, start)
    flat: np.ndarray | Array
    best: np.ndarray | Array
    step, flat, optimizer_state, mse, best_step, best = state
    mse = mse.copy()

    def now() -> LargeState:
        return LargeState(step, np.asarray(flat), fetch(optimizer_state), mse.copy(), best_step, np.asarray(best))

    points = place((seed, step), num_points)
    measured_points = points if whole else place(MEASURED, measured)
    while True:
        if stops() and step < num_steps:
            yield now()
            return
        last = step == num_steps
        measures = last or step % measure_every == 0
        copies = broadcast(flat, devices)
        if whole or not last:
            losses, gradients = step_error(copies, points)
        if not whole and step + 1 < num_steps:
            points = place((seed, step + 1), num_points)  # While the devices compute.
        if whole:
            mse[step] = total(losses)
        elif measures:
            mse[step] = total(_error(inr.apply, spec, devices, gradient=False)(copies, measured_points)[0])
        else:
            mse[step] = mse[step - 1]
        if step == 0 or mse[step] < mse[best_step]:
            best_step, best = step, flat
        if measures or not np.isfinite(mse[step]):
            yield now()
        if last or not np.isfinite(mse[step]):
            return
        flat, optimizer_state = update(flat, optimizer_state, np.asarray(gradients), rate)
        step += 1


@functools.lru_cache(maxsize=8)
def _error(
    apply: Callable[[InrWeights, Array], Array], spec: WeightSpec, devices: tuple[jax.Device, ...], *, gradient: bool
) -> Callable[[Array, Points], tuple[Array, ...]]:
    """Return the compiled loss, with its gradient or alone; leaves ``[devices, ...]``. A search fits one INR often."""
    return map_on_devices(_in_pieces(value_and_gradient(apply, spec), gradient), devices)


@functools.lru_cache(maxsize=4)
def _update(make: Callable[[Any], optax.GradientTransformation]) -> Callable[..., tuple[Array, Any]]:
    """Return a compiled step of the optimiser on the gradients ``[devices, P]`` of the devices."""

    def update(flat: Array, state: Any, gradients: Array, rate: Array) -> tuple[Array, Any]:
        updates, state = make(rate).update(jnp.sum(gradients, axis=0), state, flat)
        return optax.apply_updates(flat, updates), state

    return jax.jit(update)


def _in_pieces(error: ValueAndGradient, gradient: bool) -> Callable[[Array, Points], tuple[Array, ...]]:
    """Return ``(flat [P], points) -> (loss [], gradient [P])``, or ``(loss [],)``: over pieces of `PIECE` points."""

    def summed(flat: Array, points: Points) -> tuple[Array, ...]:
        def add(sums: Any, piece: tuple[Array, Array, Array]) -> tuple[Any, None]:
            coords, values, scale = piece
            (loss, _), slope = error(flat, Points(coords.T, values, scale))
            return jax.tree.map(jnp.add, sums, (loss, slope) if gradient else (loss,)), None

        zero: Any = (jnp.zeros(()), jnp.zeros(flat.shape)) if gradient else (jnp.zeros(()),)
        pieces: Any = tuple(_cut(leaf) for leaf in (points.coords.T, points.values, points.scale))
        found: tuple[Array, ...] = jax.lax.scan(add, zero, pieces)[0]
        return found

    return summed


def _cut(leaf: Array) -> Array:
    """Cut ``[..., N]`` into ``[pieces, ..., PIECE]``, filled up with zeros; into one piece on an accelerator."""
    number = leaf.shape[-1]
    size = min(PIECE, number) if jax.default_backend() == 'cpu' else number
    filled = jnp.pad(leaf, ((0, 0),) * (leaf.ndim - 1) + ((0, -number % size),))
    return jnp.moveaxis(filled.reshape(*leaf.shape[:-1], -1, size), -2, 0)


def evaluator(inr: Inr, weights: InrWeights) -> Callable[[np.ndarray], np.ndarray]:
    """Return ``coords [n, D] -> values [n, C]`` of an INR, computed by all devices in pieces.

    Args:
      inr: evaluates the weights.
      weights: unbatched leaves.
    """
    devices = tuple(jax.local_devices())
    copies = broadcast(jax.tree.map(np.asarray, weights), devices)

    def on_device(weights: InrWeights, coords: Array) -> Array:
        values = jax.lax.map(lambda piece: inr.apply(weights, piece.T), _cut(coords.T))
        return values.reshape(-1, values.shape[-1])[: len(coords)]

    mapped = map_on_devices(on_device, devices)

    def evaluate(coords: np.ndarray) -> np.ndarray:
        number = len(coords)
        filled = np.pad(coords, ((0, -number % len(devices)), (0, 0)))
        found = np.asarray(mapped(copies, shard(filled, devices)))
        return found.reshape(-1, found.shape[-1])[:number]

    return evaluate


def _draw(signal: LargeSignal, key: tuple[int, int], number: int, num_devices: int) -> Points:
    """Draw one point from each of ``number`` equal parts of a signal; leaves ``[devices, ...]``.

    Points of scale 0 fill up the last device.
    """
    total = signal.num_points
    if number >= total:
        rows = np.arange(total)
    else:
        edges = np.arange(number + 1) * total // number
        rows = np.random.default_rng(key).integers(edges[:-1], edges[1:])
    coords, values, weight = signal.read(rows)
    counts = weight[:, None] > 0
    coords, values = np.where(counts, coords, 0), np.where(counts, values, 0)
    scale = weight / (values.shape[-1] * max(float(weight.sum(dtype=np.float64)), np.finfo(np.float32).tiny))

    def divided(leaf: np.ndarray) -> np.ndarray:
        spare = -len(rows) % num_devices
        filled = np.pad(leaf, ((0, spare), *((0, 0),) * (leaf.ndim - 1))).astype(np.float32)
        return filled.reshape(num_devices, -1, *leaf.shape[1:])

    return Points(divided(coords), divided(values).transpose(0, 2, 1), divided(scale))
