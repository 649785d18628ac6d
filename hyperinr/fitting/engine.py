"""Fit a batch of INRs: check the request, choose how to run it, run it, and join the results.

Letters: ``B`` INRs, each with its own datapoint of ``N`` points; ``P`` weights of one INR; ``S`` recorded steps.
"""

from collections.abc import Callable, Mapping, Sequence

import jax
import numpy as np
import optax

from hyperinr import weights as weights_lib
from hyperinr.annotations import checked
from hyperinr.arguments import check_datapoints
from hyperinr.errors import InputError
from hyperinr.fitting.batching import Batching, FitShape, bytes_kept_per_point, check_batching, choose_batching
from hyperinr.fitting.kernels.siren import compiles_here, siren_shape
from hyperinr.fitting.loop import FitResult, FitRules, check_rules
from hyperinr.fitting.programs import AtRate, FitBatch, FitNumbers, FitProgram, constant
from hyperinr.fitting.schedule import in_chunks, in_rounds
from hyperinr.fitting.stopping import Goal, check_target
from hyperinr.fitting.subsampling import Subsampling
from hyperinr.types import Array, Datapoint, Inr, InrWeights
from hyperinr.weights import WeightSpec

__all__ = ['automatic_batching', 'fit']


@checked
def fit(
    inr: Inr,
    weights: InrWeights,
    datapoints: Datapoint,
    *,
    optimizer: optax.GradientTransformation | AtRate,
    num_steps: int,
    record_steps: Sequence[int] = (),
    target_psnr: float | None = None,
    data_range: tuple[float, float] | None = None,
    goal: Goal | None = None,
    probes: Datapoint | None = None,
    subsampling: Subsampling | None = None,
    precision: str = 'float32',
    seed: int = 0,
    step_scale: InrWeights | None = None,
    keep_best: bool = False,
    on_pass: Callable[[Array, Array], None] | None = None,
    batching: Batching | None = None,
) -> FitResult:
    """Fit ``B`` independent INRs to ``B`` datapoints, on all local devices.

    The program is compiled once for each `inr`, `optimizer`, step count and shape of a chunk, for any B. To reuse it,
    pass the same objects again, not equal ones. An INR that reaches its target, or whose error is no longer finite,
    takes no further step. No INR affects another. Do not call this inside ``jax.jit``; use `fit_one` there.

    Args:
      inr: evaluates the weights.
      weights: the start, leaves ``[B, ...]``.
      datapoints: the signals to fit, leaves ``[B, ...]``.
      optimizer: any optax transformation of a flat vector ``[P]``; each INR has its own state. For several learning
        rates, give an `AtRate`: a new rate compiles nothing.
      num_steps: maximum number of gradient steps, >= 0.
      record_steps: increasing step counts in [0, num_steps] whose weights are returned.
      target_psnr: PSNR in dB at which an INR stops; it is checked before each step; ``None``: take all steps.
      data_range: ``(low, high)`` of the values, for the target.
      goal: a second kind of target, not a function of the error; an INR that reaches it stops as well.
      probes: the evaluation points that ``goal`` is checked on, leaves ``[B, M, ...]``.
      subsampling: `uniform`, `by_error` or `stratified`, drawn from ``seed`` and the datapoint's index; ``None``: every
        step sees all points.
      precision: ``'float32'``, or ``'bfloat16'`` for bfloat16 products with float32 weights (docs/decisions.md has the
        cost in PSNR).
      seed: seed of sub-sampling.
      step_scale: factor of the optimiser's update of each weight, leaves ``[B, ...]``; ``None``: 1. For
        example, a learned metric; a factor of 0 holds a weight fixed.
      keep_best: return the state of the full pass with the least error where a fit gets worse after it, diverged fits
        included. An INR that reaches its goal is returned as it is.
      on_pass: called with the number of steps and the error at each full pass of each INR, for a display of progress.
        It is compiled into the fit: pass the same function again to reuse the program.
      batching: how to run the fit; ``None``: `automatic_batching`.

    Returns:
      A `FitResult` with arrays on the host.

    Raises:
      InputError: batch sizes differ or are 0; ``record_steps`` are not increasing or outside [0, num_steps]; a target
        has no range; the arrays of the datapoints do not fit each other or the INR; weights are negative, all 0 or too
        large to be summed; ``goal`` or ``probes`` is given without the other; the precision is unknown.
      ValueError: ``batching`` cannot run here.

    Example:
      >>> from hyperinr import inrs
      >>> siren = inrs.siren(channels=3)
      >>> keys = jax.random.split(jax.random.key(0), batch.coords.shape[0])  # doctest: +SKIP
      >>> starts = jax.vmap(siren.init, (0, None))(keys, 2)  # doctest: +SKIP
      >>> fit(siren, starts, batch, optimizer=optax.adam(2e-3), num_steps=100).mse.shape  # doctest: +SKIP
      (64, 101)
    """
    if (goal is None) != (probes is None):
        raise InputError('goal needs the evaluation points that it is checked on (probes), and probes need a goal.')
    rules = check_rules(FitRules(num_steps, tuple(record_steps), subsampling, precision, goal, keep_best, on_pass))
    make, rate = optimizer if isinstance(optimizer, AtRate) else (constant(optimizer), 0.0)
    numbers = FitNumbers(rate, check_target(target_psnr, data_range), seed)
    weights, datapoints, probes = jax.tree.map(np.asarray, (dict(weights), datapoints, probes))
    num_inrs = _batch_size(weights, datapoints)
    check_datapoints(datapoints)
    spec = weights_lib.spec_of(_first(weights))
    weights_lib.check_evaluable(inr, spec, datapoints.coords.shape[-1])
    _check_points(datapoints, spec)
    if probes is not None:
        _batch_size(weights, probes)
        _check_points(probes, spec)
    scales = np.ones((num_inrs, 1), np.float32)
    if step_scale is not None:
        if _batch_size(step_scale, datapoints) and weights_lib.spec_of(_first(step_scale)) != spec:
            raise InputError('step_scale must have the leaves of the weights, [B, ...] each.')
        scales = np.asarray(weights_lib.flatten(step_scale, spec))
    if batching is None:
        has_target = numbers.threshold >= 0 or rules.goal is not None
        batching = automatic_batching(inr, weights, datapoints, rules=rules, has_target=has_target)
    else:
        check_batching(batching, len(jax.local_devices()))
    fused = batching.kernel == 'pallas'
    program = FitProgram(
        apply=inr.apply,
        make=make,
        spec=spec,
        rules=rules,
        kind=batching.kind,
        kernel=siren_shape(inr.metadata, spec) if fused else None,
        devices=tuple(jax.local_devices()[: batching.num_devices]),
    )

    def take(rows: np.ndarray, active: np.ndarray) -> FitBatch:
        in_order = np.array_equal(rows, np.arange(rows[0], rows[0] + len(rows)))
        taken = slice(rows[0], rows[-1] + 1) if in_order else rows  # A slice is no copy.
        chosen, datapoint, goal_points = jax.tree.map(lambda leaf: leaf[taken], (weights, datapoints, probes))
        flat = np.asarray(weights_lib.flatten(chosen, spec))
        return FitBatch(flat, datapoint, np.asarray(datapoint.index, np.int32), active, scales[taken], goal_points)

    if batching.steps_per_round is None:
        parts = in_chunks(program, take, num_inrs, batching.group_size, numbers)
    else:
        parts = in_rounds(program, take, num_inrs, batching.group_size, batching.steps_per_round, numbers)
    rows, fitted = zip(*parts, strict=True)
    order = np.argsort(np.concatenate(rows))
    return jax.tree.map(lambda *leaves: np.concatenate(leaves)[order], *fitted).unflattened(spec)


def automatic_batching(
    inr: Inr, weights: InrWeights, datapoints: Datapoint, *, rules: FitRules, has_target: bool = False
) -> Batching:
    """Choose a `Batching` for this machine and this fit; its ``reason`` explains the choice.

    Args:
      inr, weights, datapoints: as for `fit`; only shapes are read.
      rules: rules of the fit.
      has_target: whether INRs may stop early.
    """
    spec = weights_lib.spec_of(jax.tree.map(lambda leaf: np.empty(leaf.shape[1:], leaf.dtype), dict(weights)))
    num_inrs, num_points, coord_dims = datapoints.coords.shape
    devices = jax.local_devices()
    on_cpu = devices[0].platform == 'cpu'  # There the choice does not depend on memory.
    shape = FitShape(
        num_inrs=num_inrs,
        num_weights=weights_lib.count(spec),
        num_points=num_points,
        num_values=coord_dims + datapoints.values.shape[-1] + 1,
        num_steps=rules.num_steps,
        bytes_per_point=0 if on_cpu else bytes_kept_per_point(inr.apply, spec, coord_dims),
        num_recorded=len(rules.record_steps),
        has_target=has_target,
    )
    stats: Mapping[str, int] = {} if on_cpu else devices[0].memory_stats() or {}
    memory = stats['bytes_limit'] - stats.get('bytes_in_use', 0) if 'bytes_limit' in stats else None
    fused = rules.precision == 'float32' and compiles_here(inr.metadata, spec)
    return choose_batching(devices[0].platform, len(devices), shape, memory=memory, fused=fused)


def _check_points(points: Datapoint, spec: WeightSpec) -> None:
    """Refuse arrays that do not fit each other or the INR, and weights that give no mean error."""
    coords, values, weight = points.coords, points.values, points.weight
    channels = dict(zip(spec.paths, spec.shapes, strict=True))[f'{spec.layers[-1]}/b'][-1]
    wanted = [(*weight.shape[:2], coords.shape[-1]), (*weight.shape[:2], channels), coords.shape[:2]]
    if [coords.shape, values.shape, weight.shape] != wanted:
        raise InputError(
            f'coords {coords.shape}, values {values.shape} and weight {weight.shape} must be [B, N, D], '
            f'[B, N, {channels}] and [B, N].'
        )
    sums = weight.sum(axis=1, dtype=np.float64)
    bad = np.flatnonzero(~((weight >= 0).all(axis=1) & (sums > 0) & (sums < np.finfo(np.float32).max)))
    if len(bad):
        raise InputError(
            f'the weights of datapoint {bad[0]} must be >= 0, not all 0, with a sum that float32 holds, not from '
            f'{weight[bad[0]].min():g} to {weight[bad[0]].max():g}; correct them or leave the datapoint out.'
        )


def _first(batch: InrWeights) -> InrWeights:
    return jax.tree.map(lambda leaf: leaf[0], batch)


def _batch_size(weights: InrWeights, datapoints: Datapoint) -> int:
    sizes = {leaf.shape[:1] for leaf in jax.tree.leaves((weights, datapoints))}
    if len(sizes) != 1 or sizes == {()} or sizes == {(0,)}:
        raise InputError(
            'weights and datapoints must share one leading batch axis of at least 1; found '
            f'{sorted(size[0] if size else 0 for size in sizes)} (0: none). Add an axis, or use fit_one for one INR.'
        )
    return next(iter(sizes))[0]
