"""Share the work of a batch among devices.

A state lives on the first device, *packed* (its typed key as raw key data, which any device and any file takes). A
batch is cut into equal shards in its order. In a step every device gets the parameters and computes the gradient of its
shard (`jax.pmap`); the first one averages the gradients and applies them. The result is the same for any number of
devices up to rounding, because the mean of the means of equal shards is the mean of the batch.

The average is no collective inside the mapped function: several CPU devices of one process deadlock in collectives, and
the large thread pool that makes this rarer halves the speed of everything else (docs/decisions.md). In a run of several
processes the averages of their first devices are summed by one collective, see `hyperinr.training.distributed`.
"""

import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import jax
import jax.numpy as jnp
import numpy as np
from jax.flatten_util import ravel_pytree

from hyperinr.errors import InputError
from hyperinr.runtime.sharding import broadcast, map_on_devices, sharding_over
from hyperinr.training.distributed import ALONE, Group
from hyperinr.types import Array, Datapoint, MetaLearner, Metrics, TrainState

__all__ = [
    'GIBIBYTE',
    'STOP',
    'CompiledUpdate',
    'available_memory',
    'check_memory',
    'choose',
    'compile_update',
    'pack',
    'unpack',
]

Tree = TypeVar('Tree')
GIBIBYTE = 2.0**30
STOP = 'stop'
"""A metric of runs of several processes: above 0 when one of them wants to stop, learnt by all in the same step."""


def choose(batch_size: int, devices: Sequence[jax.Device] | None = None) -> tuple[list[jax.Device], str | None]:
    """Choose the largest number of devices that divides the batch.

    Args:
      batch_size: B >= 1.
      devices: devices to choose from; ``None``: all local devices.

    Returns:
      The devices, and a line for the user if some devices stay idle.
    """
    devices = list(jax.local_devices() if devices is None else devices)
    count = max(n for n in range(1, len(devices) + 1) if batch_size % n == 0)
    if count == len(devices):
        return devices, None
    note = f'{count} of {len(devices)} devices are used: BATCH_SIZE {batch_size} is not a multiple of {len(devices)}'
    return devices[:count], note


def pack(state: TrainState) -> TrainState:
    """Replace the typed key by its ``uint32`` key data."""
    return state._replace(key=jax.random.key_data(state.key))


def unpack(state: TrainState) -> TrainState:
    """Replace the ``uint32`` key data by the typed key: the inverse of `pack`."""
    return state._replace(key=jax.random.wrap_key_data(jnp.asarray(state.key)))


class CompiledUpdate(NamedTuple):
    """A training step, compiled for one shape of batch; it cannot be traced again.

    Attributes:
      call: ``(state, sharded batch, stop=False) -> (state, metrics [])``. States are packed and on the first device, as
        ``jax.device_put(pack(state), devices[0])`` puts them. The given state stays valid. ``stop`` says whether this
        process wants to end the run early. In a run of several processes the metric `STOP` is its mean over them.
      bytes_needed: bytes of arguments, results and workspace on all devices together; ``None`` if the compiler does not
        report them.
    """

    call: Callable[..., tuple[TrainState, Metrics]]
    bytes_needed: int | None


def compile_update(
    learner: MetaLearner, state: TrainState, batch: Datapoint, devices: Sequence[jax.Device], group: Group = ALONE
) -> CompiledUpdate:
    """Compile the learner's update for ``devices``. No data are needed.

    Args:
      learner: its ``gradient`` and ``apply_gradient`` are traced once.
      state: an unpacked state; arrays or shapes only.
      batch: this process's share of a batch, leaves ``[B, ...]``, used as context and as target; arrays or shapes only.
        B is a multiple of the number of devices.
      devices: devices of this process to run on.
      group: the processes of the run; their shares have the same size.

    Returns:
      The compiled step.
    """
    count, sharding = len(devices), sharding_over(devices)
    lead = jax.sharding.SingleDeviceSharding(devices[0])
    packed = jax.eval_shape(pack, state)
    # Parameters and gradients are sent as one vector: hundreds of small transfers took longer than the optimiser step.
    _, unravel = ravel_pytree(jax.tree.map(lambda leaf: np.zeros(leaf.shape, leaf.dtype), packed.params))

    def travelling(state: TrainState) -> tuple[jax.Array, Array, jax.Array]:
        return ravel_pytree(state.params)[0], state.step, state.key

    def gradient(read: tuple[jax.Array, Array, jax.Array], batch: Datapoint) -> tuple[jax.Array, Metrics]:
        flat, step, key = read
        found, metrics = learner.gradient(unpack(TrainState(step, unravel(flat), None, None, key)), batch, batch)
        return ravel_pytree(found)[0], metrics

    def local_mean(parts: Sequence[tuple[jax.Array, Metrics]]) -> tuple[jax.Array, Metrics]:
        return jax.tree.map(lambda *leaves: sum(leaves) / count, *parts)

    def shape(leaf: Any, *axes: int, on: Any) -> jax.ShapeDtypeStruct:
        return jax.ShapeDtypeStruct(axes, leaf.dtype, sharding=on)

    read = jax.tree.map(lambda leaf: shape(leaf, count, *leaf.shape, on=sharding), jax.eval_shape(travelling, packed))
    parts = jax.tree.map(lambda leaf: shape(leaf, count, leaf.shape[0] // count, *leaf.shape[1:], on=sharding), batch)
    lowered = map_on_devices(gradient, devices).lower(read, parts)
    found = jax.tree.map(lambda leaf: shape(leaf, *leaf.shape[1:], on=lead), lowered.out_info)
    placed = jax.tree.map(lambda leaf: shape(leaf, *leaf.shape, on=lead), packed)
    programs = [lowered, jax.jit(travelling).lower(placed)]

    # What goes from the parts of the devices into the optimiser's step, and how that step gets the mean from it.
    merge: Callable[[Any, bool], Any] = lambda parts, stop: parts
    merged: Any = [found] * count
    mean_of: Callable[[Any], tuple[jax.Array, Metrics]] = local_mean
    if group.count > 1:
        no = np.zeros((), np.float32)
        zeros = jax.tree.map(lambda leaf: np.zeros(leaf.shape, leaf.dtype), found)
        _, unravel_row = ravel_pytree((*zeros, {STOP: no}))

        def to_row(parts: Sequence[tuple[jax.Array, Metrics]], stop: Array) -> jax.Array:
            return ravel_pytree((*local_mean(parts), {STOP: stop}))[0][None]

        def from_total(total: jax.Array) -> tuple[jax.Array, Metrics]:
            flat, metrics, stop = unravel_row(total / group.count)
            return flat, {**metrics, **stop}

        row = jax.eval_shape(to_row, [found] * count, no)
        mean_of, merged = from_total, shape(row, row.shape[1], on=lead)
        compiled_row = jax.jit(to_row).lower([found] * count, no).compile()
        merge = lambda parts, stop: jax.device_put(group.total(compiled_row(parts, np.float32(stop))), devices[0])

    def apply(state: TrainState, merged: Any) -> tuple[TrainState, Metrics]:
        flat, metrics = mean_of(merged)
        state, applied = learner.apply_gradient(unpack(state), unravel(flat))
        return pack(state), {**metrics, **applied}

    programs.append(jax.jit(apply).lower(placed, merged))
    # The compiler takes one core for each program.
    with ThreadPoolExecutor(len(programs)) as pool:
        compiled_gradient, compiled_travelling, compiled_apply = pool.map(lambda each: each.compile(), programs)

    def call(state: TrainState, batch: Datapoint, stop: bool = False) -> tuple[TrainState, Metrics]:
        found = compiled_gradient(broadcast(compiled_travelling(state), devices), batch)
        return compiled_apply(state, merge([_to_lead(found, index, devices[0]) for index in range(count)], stop))

    return CompiledUpdate(call, _bytes_needed((compiled_gradient, count), (compiled_apply, 1)))


def _to_lead(tree: Tree, index: int, lead: jax.Device) -> Tree:
    """Move the copy on device ``index`` to the first device."""
    return jax.tree.map(lambda leaf: jax.device_put(leaf.addressable_data(index)[0], lead), tree)


def _bytes_needed(*programs: tuple[Any, int]) -> int | None:
    """Return the bytes of compiled programs, each on a number of devices; ``None`` where the compiler reports none."""
    try:
        found = [(compiled.memory_analysis(), count) for compiled, count in programs]
        return sum(
            count * (each.temp_size_in_bytes + each.argument_size_in_bytes + each.output_size_in_bytes)
            for each, count in found
        )
    except (AttributeError, NotImplementedError, jax.errors.JaxRuntimeError):
        return None


def available_memory(devices: Sequence[jax.Device]) -> int | None:
    """Return the free bytes of all ``devices`` together; ``None`` if the platform does not report them.

    CPU devices share the memory of the machine, or of the control group of the process.
    """
    if devices[0].platform != 'cpu':
        stats = [device.memory_stats() or {} for device in devices]
        if any('bytes_limit' not in stat for stat in stats):
            return None
        return sum(stat['bytes_limit'] - stat.get('bytes_in_use', 0) for stat in stats)
    free = [found for found in (_machine_free(), _group_free()) if found is not None]
    return min(free, default=None)


def _machine_free(path: str | os.PathLike = '/proc/meminfo') -> int | None:
    try:
        lines = Path(path).read_text().splitlines()
    except OSError:
        return None
    found = [int(line.split()[1]) * 1024 for line in lines if line.startswith('MemAvailable:')]
    return found[0] if found else None


def _group_free(folder: str | os.PathLike = '/sys/fs/cgroup') -> int | None:
    try:
        limit, used = ((Path(folder) / name).read_text().strip() for name in ('memory.max', 'memory.current'))
        lines = (Path(folder) / 'memory.stat').read_text().splitlines()
    except OSError:
        return None
    reclaimable = sum(int(line.split()[1]) for line in lines if line.startswith('inactive_file '))
    return None if limit == 'max' else int(limit) - int(used) + reclaimable


def check_memory(compiled: CompiledUpdate, devices: Sequence[jax.Device], batch_size: int) -> None:
    """Refuse a step that does not fit into memory, before anything is allocated.

    Raises:
      InputError: the step needs more memory than is free.
    """
    available = available_memory(devices)
    if available is None or compiled.bytes_needed is None or compiled.bytes_needed <= available:
        return
    raise InputError(
        f'one training step needs about {compiled.bytes_needed / GIBIBYTE:.1f} GiB and {available / GIBIBYTE:.1f} GiB '
        f'are free: lower BATCH_SIZE (now {batch_size}), the resolution or the size of the model.'
    )
