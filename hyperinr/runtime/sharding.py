"""Distribute arrays over the devices of one process. The devices do not communicate; each works on its own shard."""

import weakref
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import jax
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec

__all__ = ['Placed', 'broadcast', 'fetch', 'map_on_devices', 'shard', 'sharding_over']

Tree = TypeVar('Tree')


def fetch(tree: Tree) -> Tree:
    """Copy the leaves to NumPy arrays that share no memory with the device."""
    return jax.tree.map(np.array, tree)


def sharding_over(devices: Sequence[jax.Device]) -> NamedSharding:
    """Return the sharding of arrays ``[devices, ...]`` with one row on each device."""
    return NamedSharding(Mesh(np.asarray(devices), ('devices',)), PartitionSpec('devices'))


def broadcast(tree: Tree, devices: Sequence[jax.Device]) -> Tree:
    """Turn leaves ``[...]`` into leaves ``[devices, ...]``, one copy on each device."""
    sharding = sharding_over(devices)
    leaves, structure = jax.tree.flatten(tree)
    rows = [_row(leaf) for leaf in leaves]
    # One transfer for each device, not one for each leaf: each takes 0.3 ms, most of the time of a short call.
    parts = zip(*(jax.device_put(rows, device, may_alias=False) for device in devices), strict=True)
    copies = [
        jax.make_array_from_single_device_arrays((len(devices), *leaf.shape), sharding, list(each))
        for leaf, each in zip(leaves, parts, strict=True)
    ]
    return jax.tree.unflatten(structure, copies)


class Placed:
    """`broadcast` with a cache of its last result, so that parameters are sent to the devices once for many batches.

    The copies are kept no longer than the arrays exist.
    """

    def __init__(self) -> None:
        self._sources: list[weakref.ref] = []
        self._known: Any = None
        self._copies: Any = None

    def __call__(self, tree: Tree, devices: Sequence[jax.Device]) -> Tree:
        """Call `broadcast`, or return its last result for the same arrays; NumPy arrays are always sent again."""
        leaves, structure = jax.tree.flatten(tree)
        if not leaves or not all(isinstance(leaf, jax.Array) for leaf in leaves):
            return broadcast(tree, devices)
        same = self._known == (structure, tuple(devices))
        if not same or any(known() is not leaf for known, leaf in zip(self._sources, leaves, strict=True)):
            self._copies = broadcast(tree, devices)
            self._known, self._sources = (
                (structure, tuple(devices)),
                [weakref.ref(leaf, self._forget) for leaf in leaves],
            )
        copies: Tree = self._copies
        return copies

    def _forget(self, source: weakref.ref) -> None:
        del source
        self._known = self._copies = None


def _row(leaf: Any) -> Any:
    """Reshape ``[...]`` to ``[1, ...]``, without an operation of jax if the host can read the leaf."""
    readable = isinstance(leaf.dtype, np.dtype)  # Keys are not.
    on_host = not isinstance(leaf, jax.Array) or all(device.platform == 'cpu' for device in leaf.devices())
    # A copy: the placed array may share memory with what it was placed from, and so keep it.
    return (np.array(leaf) if readable and on_host else leaf)[None]


def shard(batch: Tree, devices: Sequence[jax.Device]) -> Tree:
    """Turn leaves ``[B, ...]`` into leaves ``[devices, B / devices, ...]``, one shard on each device."""
    sharding, count = sharding_over(devices), len(devices)

    def shards(leaf: Any) -> jax.Array:
        leaf = np.asarray(leaf)
        return jax.device_put(leaf.reshape(count, len(leaf) // count, *leaf.shape[1:]), sharding)

    return jax.tree.map(shards, batch)


def map_on_devices(function: Callable[..., Any], devices: Sequence[jax.Device], *, donate: Sequence[int] = ()) -> Any:
    """Map ``function(*shards)`` over devices, compiled once for each shape; all leaves are ``[devices, ...]``.

    In a run of several processes `jax.pmap` refers to the devices of all processes. There `jax.shard_map` is used
    instead, over the devices of this process.

    Args:
      function: takes one device's shards.
      devices: devices of this process to run on.
      donate: positions of arguments whose memory the results may reuse; these arguments are invalid afterwards.
    """
    if jax.process_count() == 1:
        return jax.pmap(function, devices=devices, donate_argnums=tuple(donate))

    def on_one(*shards: Any) -> Any:
        found = function(*jax.tree.map(lambda leaf: leaf[0], shards))
        return jax.tree.map(lambda leaf: leaf[None], found)

    sharding = sharding_over(devices)
    mapped = jax.shard_map(on_one, mesh=sharding.mesh, in_specs=sharding.spec, out_specs=sharding.spec, check_vma=False)
    return jax.jit(mapped, donate_argnums=tuple(donate))
