"""Choose how many INRs run together, and how. The choice changes speed and memory, and results by rounding only."""

import functools
import math
from collections.abc import Callable
from typing import NamedTuple

import jax
import numpy as np

from hyperinr import weights as weights_lib
from hyperinr.types import Array, InrWeights
from hyperinr.weights import WeightSpec

__all__ = ['Batching', 'FitShape', 'bytes_kept_per_point', 'bytes_per_inr', 'check_batching', 'choose_batching']

CPU_GROUP = 64
"""INRs of one call and CPU device: enough to hide the cost of the call, few enough to bound memory and waiting time."""

DEFAULT_MEMORY = 2 * 2**30
"""Bytes for one call if the free memory is unknown."""


PROBED_POINTS = 1024
"""Points, and twice as many, at which `bytes_kept_per_point` traces."""


class FitShape(NamedTuple):
    """The sizes that the choice depends on.

    Attributes:
      num_inrs: B.
      num_weights: P, weights of one INR.
      num_points: N, points of one datapoint.
      num_values: numbers stored for each point: D coordinates, C channels and a weight.
      num_steps: steps of the fit.
      bytes_per_point: bytes of a point that a step keeps for its backward pass, see `bytes_kept_per_point`.
      num_recorded: S snapshots.
      has_target: whether INRs may stop early.
    """

    num_inrs: int
    num_weights: int
    num_points: int
    num_values: int
    num_steps: int
    bytes_per_point: float
    num_recorded: int = 0
    has_target: bool = False


class Batching(NamedTuple):
    """The way a fit is cut into calls of compiled functions.

    Attributes:
      kind: ``'mapped'``: a device runs its INRs one after the other, and a finished INR costs no more time.
        ``'vmapped'``: a device runs all its INRs at once in one batched program.
      group_size: INRs of one call on each device.
      num_devices: number of local devices to use, the first ones. INRs are dealt out to them in turn. The devices do
        not communicate.
      steps_per_round: only for ``'vmapped'``: number of steps after which waiting INRs replace finished ones;
        ``None``: all steps run in one call.
      kernel: ``'xla'``, or ``'pallas'`` for the fused SIREN step of `hyperinr.fitting.kernels`.
      reason: why this choice was made, for the user.
    """

    kind: str
    group_size: int
    num_devices: int
    steps_per_round: int | None = None
    kernel: str = 'xla'
    reason: str = 'as asked'


def check_batching(batching: Batching, num_devices: int) -> None:
    """Refuse a batching that cannot run.

    Raises:
      ValueError: a field is invalid; the message names it.
    """
    if batching.kind not in ('mapped', 'vmapped') or batching.kernel not in ('xla', 'pallas'):
        raise ValueError(f'kind is mapped or vmapped and kernel xla or pallas, not {batching.kind}, {batching.kernel}.')
    if batching.group_size < 1 or not 1 <= batching.num_devices <= num_devices:
        raise ValueError(
            f'group_size must be >= 1 and num_devices in [1, {num_devices}], not {batching.group_size} and '
            f'{batching.num_devices}.'
        )
    if batching.steps_per_round is not None and (batching.kind != 'vmapped' or batching.steps_per_round < 1):
        raise ValueError(f'steps_per_round = {batching.steps_per_round} must be >= 1, and the kind vmapped.')


def bytes_per_inr(shape: FitShape) -> int:
    """Return the bytes that one INR needs in a batched program.

    They hold weights, gradient and optimiser moments (all twice), points, errors, snapshots and what the backward pass
    needs of each point. A mapped program holds them once for each device, not for each INR.
    """
    kept = 8 * shape.num_weights + shape.num_points * shape.num_values + shape.num_steps + 1
    arrays = 4 * (kept + (shape.num_recorded + 1) * shape.num_weights)
    return arrays + math.ceil(shape.bytes_per_point * shape.num_points)


@functools.lru_cache(maxsize=64)
def bytes_kept_per_point(apply: Callable[[InrWeights, Array], Array], spec: WeightSpec, coord_dims: int) -> float:
    """Return the bytes of a point that automatic differentiation keeps from the forward to the backward pass.

    They are those of the residuals of ``jax.vjp``, which is traced at two numbers of points and not computed: for a
    SIREN the coordinates, and the sine and its derivative at each hidden unit.

    Args:
      apply: ``apply`` of an `Inr`.
      spec: layout of its weights.
      coord_dims: D.
    """

    def kept(num_points: int) -> int:
        coords = jax.ShapeDtypeStruct((num_points, coord_dims), np.float32)
        flat = jax.ShapeDtypeStruct((weights_lib.count(spec),), np.float32)
        backward = lambda flat, coords: jax.vjp(lambda w: apply(weights_lib.unflatten(w, spec), coords), flat)[1]
        return sum(leaf.size * leaf.dtype.itemsize for leaf in jax.tree.leaves(jax.eval_shape(backward, flat, coords)))

    return (kept(2 * PROBED_POINTS) - kept(PROBED_POINTS)) / PROBED_POINTS


def choose_batching(
    platform: str, num_devices: int, shape: FitShape, *, memory: int | None = None, fused: bool = False
) -> Batching:
    """Choose a batching for this platform and this fit.

    Args:
      platform: ``'cpu'``, ``'gpu'``, ...
      num_devices: number of local devices.
      shape: sizes of the fit.
      memory: free bytes of one device; ``None``: unknown.
      fused: whether `hyperinr.fitting.kernels` has a kernel for this INR that compiles here.

    Returns:
      A `Batching`. On a CPU the group size is a power of two, so that few shapes are compiled. Unused rows of a mapped
      program cost no time.

    Example:
      >>> shape = FitShape(200, 1153, 784, 4, 500, 512)
      >>> choose_batching('cpu', 2, shape)[:3]
      ('mapped', 64, 2)
    """
    devices = max(1, min(num_devices, shape.num_inrs))
    each = -(-shape.num_inrs // devices)
    if platform == 'cpu':
        group = min(CPU_GROUP, 1 << (each - 1).bit_length())
        return Batching(
            'mapped',
            group,
            devices,
            reason=f'{devices} CPU device(s), one INR after the other on each: its activations stay in the cache, and '
            'one that is finished costs nothing more',
        )
    budget = (memory or DEFAULT_MEMORY) // 2
    group = max(1, min(each, budget // bytes_per_inr(shape)))
    rounds = max(1, shape.num_steps // 10) if shape.has_target else None
    return Batching(
        'vmapped',
        group,
        devices,
        steps_per_round=rounds,
        kernel='pallas' if fused else 'xla',
        reason=f'{devices} {platform} device(s), {group} INRs at once on each, within half of the free memory'
        + (f'; finished INRs make room every {rounds} steps' if rounds else '')
        + ('; fused SIREN kernel' if fused else ''),
    )
