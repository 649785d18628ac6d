"""The one seam between a learner, which knows a batch, and the devices that share its work.

Outside the seam a state is a `TrainState` of single arrays and a batch has leaves ``[B, ...]``. Inside, a state is
*packed* (its typed key as raw key data, which any device and any file takes) and every leaf has a leading device axis:
all copies of a state are equal, and a batch is cut into equal shards in its order. A step gives the same result for any
number of devices up to rounding, because the mean of the means of equal shards is the mean of the batch.
"""

import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from hyperinr.errors import InputError
from hyperinr.types import Datapoint, MetaLearner, Metrics, TrainState

__all__ = [
    'AXIS',
    'CompiledUpdate',
    'available_memory',
    'check_memory',
    'choose',
    'compile_update',
    'map_on_devices',
    'pack',
    'replicate',
    'shard',
    'unpack',
    'unreplicate',
]

AXIS = 'devices'
"""Name of the mapped axis."""

Tree = TypeVar('Tree')
GIBIBYTE = 2.0**30


def choose(batch_size: int, devices: Sequence[jax.Device] | None = None) -> tuple[list[jax.Device], str | None]:
    """As many devices as divide the batch.

    Args:
      batch_size: B >= 1.
      devices: to choose from; ``None``: all local ones.

    Returns:
      The devices, and a line for the user where some stay idle.
    """
    devices = list(jax.local_devices() if devices is None else devices)
    count = max(n for n in range(1, len(devices) + 1) if batch_size % n == 0)
    if count == len(devices):
        return devices, None
    note = f'{count} of {len(devices)} devices are used: BATCH_SIZE {batch_size} is not a multiple of {len(devices)}'
    return devices[:count], note


def pack(state: TrainState) -> TrainState:
    """Typed key -> ``uint32`` key data."""
    return state._replace(key=jax.random.key_data(state.key))


def unpack(state: TrainState) -> TrainState:
    """The inverse of `pack`."""
    return state._replace(key=jax.random.wrap_key_data(jnp.asarray(state.key)))


def _sharding(devices: Sequence[jax.Device]) -> NamedSharding:
    return NamedSharding(Mesh(np.asarray(devices), (AXIS,)), PartitionSpec(AXIS))


def replicate(tree: Tree, devices: Sequence[jax.Device]) -> Tree:
    """Leaves ``[...]`` -> ``[devices, ...]``, one copy on each."""
    sharding = _sharding(devices)

    def copies(leaf: Any) -> jax.Array:
        leaf = np.asarray(leaf)
        return jax.device_put(np.broadcast_to(leaf, (len(devices), *leaf.shape)), sharding)

    return jax.tree.map(copies, tree)


def unreplicate(tree: Tree) -> Tree:
    """The first device's copy, as NumPy arrays of their own."""
    return jax.tree.map(lambda leaf: np.array(leaf.addressable_data(0))[0], tree)


def shard(batch: Tree, devices: Sequence[jax.Device]) -> Tree:
    """Leaves ``[B, ...]`` -> ``[devices, B / devices, ...]``, one shard on each."""
    sharding, count = _sharding(devices), len(devices)

    def shards(leaf: Any) -> jax.Array:
        return jax.device_put(np.asarray(leaf).reshape(count, -1, *np.shape(leaf)[1:]), sharding)

    return jax.tree.map(shards, batch)


class CompiledUpdate(NamedTuple):
    """A step, compiled for one shape of batch; it cannot be traced again.

    Attributes:
      call: ``(packed replicated state, sharded batch) -> (state, metrics [devices])``.
      bytes_needed: on all devices together, its arguments, results and workspace; ``None`` where the compiler does not
        say.
    """

    call: Callable[[TrainState, Datapoint], tuple[TrainState, Metrics]]
    bytes_needed: int | None


def compile_update(
    learner: MetaLearner, state: TrainState, batch: Datapoint, devices: Sequence[jax.Device]
) -> CompiledUpdate:
    """Compiles the learner's update for ``devices``, without any data.

    Args:
      learner: its ``update`` is traced once.
      state: unpacked; arrays or only shapes.
      batch: leaves ``[B, ...]``, both context and target; arrays or only shapes. B is a multiple of the devices.
      devices: to run on.

    Returns:
      The compiled step.
    """
    count, sharding = len(devices), _sharding(devices)

    def update(state: TrainState, batch: Datapoint) -> tuple[TrainState, Metrics]:
        state, metrics = learner.update(unpack(state), batch, batch, axis_name=AXIS)
        return pack(state), metrics

    def shape(leaf: Any, *lead: int) -> jax.ShapeDtypeStruct:
        return jax.ShapeDtypeStruct((*lead, *leaf.shape[len(lead) - 1 :]), leaf.dtype, sharding=sharding)

    states = jax.tree.map(lambda leaf: shape(leaf, count), jax.eval_shape(pack, state))
    batches = jax.tree.map(lambda leaf: shape(leaf, count, leaf.shape[0] // count), batch)
    mapped = jax.pmap(update, axis_name=AXIS, devices=devices)
    compiled = mapped.lower(states, batches).compile()
    return CompiledUpdate(compiled, _bytes_needed(compiled, count))


def _bytes_needed(compiled: Any, count: int) -> int | None:
    try:
        analysis = compiled.memory_analysis()
        sizes = (analysis.temp_size_in_bytes, analysis.argument_size_in_bytes, analysis.output_size_in_bytes)
    except (AttributeError, NotImplementedError, jax.errors.JaxRuntimeError):
        return None
    return count * sum(sizes)


def available_memory(devices: Sequence[jax.Device]) -> int | None:
    """Free bytes of all ``devices`` together; ``None`` where the platform does not say.

    CPU devices share the memory of the machine, or of the control group that the process runs in.
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
    """Refuses a step that cannot fit, before anything is allocated.

    Raises:
      InputError: it needs more than is free; names the knob.
    """
    available = available_memory(devices)
    if available is None or compiled.bytes_needed is None or compiled.bytes_needed <= available:
        return
    raise InputError(
        f'one training step needs about {compiled.bytes_needed / GIBIBYTE:.1f} GiB and {available / GIBIBYTE:.1f} GiB '
        f'are free: lower BATCH_SIZE (now {batch_size}), the resolution or the size of the model.'
    )


def map_on_devices(function: Callable[..., Any], devices: Sequence[jax.Device]) -> Callable[..., Any]:
    """``function(params, batch [b, ...])`` over replicated params and sharded batches, compiled once per shape."""
    return jax.pmap(function, axis_name=AXIS, devices=devices)
