"""The fitting loop: one INR in a scan over flat weights, and a batch of them in one compiled call.

Letters: ``B`` INRs, each with its own datapoint of ``N`` points; ``P`` weights of one; ``S`` recorded steps.
"""

import functools
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax

from hyperinr import metrics
from hyperinr import weights as weights_lib
from hyperinr.errors import InputError
from hyperinr.types import Array, Datapoint, Inr, InrWeights

__all__ = ['FitResult', 'check_record_steps', 'fit', 'fit_function', 'fit_one', 'map_datapoints']


class FitResult(NamedTuple):
    """Fitted weights and how they came to be. `fit_one` returns the same without the axis ``B``.

    Attributes:
      weights: after the last step, leaves ``[B, ...]``.
      mse: ``[B, num_steps + 1]``, the weighted mean squared error after 0, 1, ... steps.
      snapshots: the weights after each of ``record_steps``, leaves ``[B, S, ...]``.
    """

    weights: InrWeights
    mse: Array
    snapshots: InrWeights


def map_datapoints(function: Callable[..., Any], *batches: Any) -> Any:
    """Applies a function of one datapoint to each of a batch: ``jax.vmap`` on an accelerator, ``jax.lax.map`` on a CPU.

    A CPU is bound by its caches: 64 SIRENs with weights of their own ran 3.6 times as fast one after the other as
    batched (61 against 17 GFLOP/s, of which a part is the sine's; two cores).

    Args:
      function: of as many arguments as there are ``batches``; any pytrees.
      *batches: pytrees with leaves ``[B, ...]``.

    Returns:
      The function's result with leaves ``[B, ...]``.
    """
    if jax.default_backend() == 'cpu':
        return jax.lax.map(lambda each: function(*each), batches)
    return jax.vmap(function)(*batches)


def check_record_steps(record_steps: Sequence[int], num_steps: int) -> tuple[int, ...]:
    """The steps as a tuple; `InputError` unless they increase within [0, num_steps]."""
    steps = tuple(int(step) for step in record_steps)
    if num_steps < 0:
        raise InputError(f'num_steps is {num_steps}; it must be 0 or more.')
    if list(steps) != sorted(set(steps)) or any(not 0 <= step <= num_steps for step in steps):
        raise InputError(f'record_steps {steps} must be increasing and between 0 and num_steps = {num_steps}.')
    return steps


def fit_one(
    inr: Inr,
    weights: InrWeights,
    datapoint: Datapoint,
    *,
    optimizer: optax.GradientTransformation,
    num_steps: int,
    record_steps: Sequence[int] = (),
) -> FitResult:
    """Fits one INR to one datapoint with full-batch steps. Pure and traceable: jit and map it, or call `fit`.

    The loss is `metrics.mean_squared_error` with the datapoint's weight. Weights and optimiser state travel as flat
    vectors, since a scan that carries many small arrays is slow; the optimiser therefore sees one ``[P]`` array.

    Args:
      inr: evaluates the weights.
      weights: where to start, unbatched leaves.
      datapoint: what to fit, ``N`` points.
      optimizer: any optax transformation of a flat vector. Its hyperparameters may be traced values.
      num_steps: gradient steps, >= 0.
      record_steps: increasing step counts in [0, num_steps] whose weights are wanted.

    Returns:
      A `FitResult` without batch axes.

    Raises:
      InputError: ``record_steps`` not increasing or outside [0, num_steps].
    """
    return fit_function(
        inr.apply, weights, datapoint, optimizer=optimizer, num_steps=num_steps, record_steps=record_steps
    )


def fit_function(
    apply: Callable[[InrWeights, Array], Array],
    weights: InrWeights,
    datapoint: Datapoint,
    *,
    optimizer: optax.GradientTransformation,
    num_steps: int,
    record_steps: Sequence[int] = (),
) -> FitResult:
    """`fit_one` for the function `Inr.apply` alone, which unlike an `Inr` can be a static argument of ``jax.jit``."""
    record = check_record_steps(record_steps, num_steps)
    spec = weights_lib.spec_of(weights)

    def loss(flat: Array) -> Array:
        predicted = apply(weights_lib.unflatten(flat, spec), datapoint.coords)
        return metrics.mean_squared_error(predicted, datapoint.values, datapoint.weight)

    def step(carry: tuple, slot: Array) -> tuple[tuple, Array]:
        flat, state, recorded = carry
        recorded = recorded.at[slot].set(flat)
        mse, gradient = jax.value_and_grad(loss)(flat)
        updates, state = optimizer.update(gradient, state, flat)
        return (optax.apply_updates(flat, updates), state, recorded), mse

    # Every step writes to the row of the next recorded step, so that the last write to a row is the right one; steps
    # beyond the last recorded one write to a spare row.
    slots = np.searchsorted(np.asarray(record, int), np.arange(num_steps + 1)).astype(np.int32)
    flat = weights_lib.flatten(weights, spec)
    recorded = jnp.zeros((len(record) + 1, flat.shape[-1]), flat.dtype)
    carry, mse = jax.lax.scan(step, (flat, optimizer.init(flat), recorded), slots[:-1])
    flat, _, recorded = carry
    recorded = recorded.at[slots[-1]].set(flat)
    return FitResult(
        weights=weights_lib.unflatten(flat, spec),
        mse=jnp.append(mse, loss(flat)),
        snapshots=weights_lib.unflatten(recorded[:-1], spec),
    )


@functools.partial(jax.jit, static_argnames=('apply', 'optimizer', 'num_steps', 'record_steps'))
def _fit_batch(
    apply: Callable,
    weights: InrWeights,
    datapoints: Datapoint,
    optimizer: optax.GradientTransformation,
    num_steps: int,
    record_steps: tuple[int, ...],
) -> FitResult:
    one = functools.partial(fit_function, apply, optimizer=optimizer, num_steps=num_steps, record_steps=record_steps)
    return map_datapoints(one, weights, datapoints)


def fit(
    inr: Inr,
    weights: InrWeights,
    datapoints: Datapoint,
    *,
    optimizer: optax.GradientTransformation,
    num_steps: int,
    record_steps: Sequence[int] = (),
) -> FitResult:
    """Fits ``B`` independent INRs to ``B`` datapoints; compiled once for each shape, `inr`, `optimizer` and step count.

    Args:
      inr: evaluates the weights.
      weights: where to start, leaves ``[B, ...]``.
      datapoints: what to fit, leaves ``[B, ...]``.
      optimizer: any optax transformation of a flat vector ``[P]``; each INR has its own state. Pass the same object
        again, not an equal one, for a second call to reuse the compiled function.
      num_steps: gradient steps, >= 0.
      record_steps: increasing step counts in [0, num_steps] whose weights are wanted.

    Returns:
      A `FitResult`.

    Raises:
      InputError: batch sizes differ, or ``record_steps`` not increasing or outside [0, num_steps].

    Example:
      >>> from hyperinr import inrs
      >>> siren = inrs.siren(channels=3)
      >>> keys = jax.random.split(jax.random.key(0), batch.coords.shape[0])  # doctest: +SKIP
      >>> starts = jax.vmap(siren.init, (0, None))(keys, 2)  # doctest: +SKIP
      >>> fit(siren, starts, batch, optimizer=optax.adam(2e-3), num_steps=100).mse.shape  # doctest: +SKIP
      (64, 101)
    """
    record = check_record_steps(record_steps, num_steps)
    sizes = {leaf.shape[:1] for leaf in jax.tree.leaves((weights, datapoints))}
    if len(sizes) != 1 or sizes == {()}:
        raise InputError(
            'weights and datapoints must share one leading batch axis; found '
            f'{sorted(size[0] if size else 0 for size in sizes)} (0: no axis). Add an axis, or use fit_one for one INR.'
        )
    return _fit_batch(inr.apply, weights, datapoints, optimizer, num_steps, record)
