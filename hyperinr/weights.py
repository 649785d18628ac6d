"""Conversion between a pytree of weights and a flat vector ``[P]``, by an ordered specification.

Layers are in the order ``layer_0, layer_1, ..., layer_10`` (by number, not by letter). Within a layer the names are
sorted, so ``b`` comes before ``w``. The order never depends on how a mapping was built.
"""

import functools
import math
import re
from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp

from hyperinr.types import Array, Inr, InrWeights, Key

__all__ = ['WeightSpec', 'count', 'flatten', 'spec_of', 'spec_of_inr', 'unflatten']


class WeightSpec(NamedTuple):
    """Ordered names and shapes of the tensors of one INR.

    Attributes:
      paths: ``'layer_0/b'``, ``'layer_0/w'``, ... in the order of the flat vector.
      shapes: shapes of the tensors in the same order, without batch axes.
    """

    paths: tuple[str, ...]
    shapes: tuple[tuple[int, ...], ...]

    @property
    def layers(self) -> tuple[str, ...]:
        """Names of the layers by number, ``layer_2`` before ``layer_10``; the last is the output layer of an `Inr`.

        Example:
          >>> WeightSpec(('filter_0/w', 'layer_0/b', 'layer_0/w', 'layer_1/w'), ((2,),) * 4).layers
          ('filter_0', 'layer_0', 'layer_1')
        """
        return tuple(dict.fromkeys(path.split('/')[0] for path in self.paths))

    @property
    def sizes(self) -> tuple[int, ...]:
        """Number of elements of each tensor."""
        return tuple(map(math.prod, self.shapes))


def _by_number(name: str) -> tuple:
    return tuple(int(part) if part.isdigit() else part for part in re.split(r'(\d+)', name))


def spec_of(weights: InrWeights) -> WeightSpec:
    """Return the specification of one INR's (unbatched) weights.

    Example:
      >>> spec_of({'layer_0': {'w': jnp.zeros((2, 3)), 'b': jnp.zeros(3)}}).paths
      ('layer_0/b', 'layer_0/w')
    """
    paths, shapes = [], []
    for layer in sorted(weights, key=_by_number):
        for name in sorted(weights[layer]):
            paths.append(f'{layer}/{name}')
            shapes.append(tuple(weights[layer][name].shape))
    return WeightSpec(tuple(paths), tuple(shapes))


def spec_of_inr(inr: Inr, coord_dims: int) -> WeightSpec:
    """Return the specification of an INR of ``coord_dims`` coordinates; no weights are computed or allocated.

    Example:
      >>> from hyperinr import inrs
      >>> count(spec_of_inr(inrs.siren(channels=3, width=64, depth=3), 2))
      8707
    """
    return _spec_of_init(inr.init, coord_dims)


@functools.lru_cache(maxsize=64)
def _spec_of_init(init: Callable[[Key, int], InrWeights], coord_dims: int) -> WeightSpec:
    return spec_of(jax.eval_shape(lambda: init(jax.random.key(0), coord_dims)))


def count(spec: WeightSpec) -> int:
    """Return P, the number of weights."""
    return sum(spec.sizes)


def flatten(weights: InrWeights, spec: WeightSpec) -> Array:
    """Flatten weights with leaves ``[..., *shape]`` to ``[..., P]``; leading (batch) axes are kept.

    Raises:
      ValueError: the weights have other names or shapes than ``spec``.
    """
    paths = spec_of(weights).paths
    if paths != spec.paths:
        raise ValueError(f'the weights are {", ".join(paths)}; their specification says {", ".join(spec.paths)}.')
    parts = []
    for path, shape, size in zip(paths, spec.shapes, spec.sizes, strict=True):
        layer, name = path.split('/')
        leaf = jnp.asarray(weights[layer][name])
        lead = leaf.ndim - len(shape)
        if lead < 0 or leaf.shape[lead:] != shape:
            raise ValueError(f'{path!r} has shape {leaf.shape}, its specification says [..., {shape}].')
        parts.append(leaf.reshape(*leaf.shape[:lead], size))
    return jnp.concatenate(parts, axis=-1)


def unflatten(vector: Array, spec: WeightSpec) -> InrWeights:
    """Turn ``[..., P]`` into weights with leaves ``[..., *shape]``: the exact inverse of `flatten`.

    Raises:
      ValueError: the last axis is not ``P`` long.
    """
    if vector.shape[-1] != count(spec):
        raise ValueError(f'a vector of {vector.shape[-1]} weights does not fit a specification of {count(spec)}.')
    weights: dict[str, dict[str, Array]] = {}
    start = 0
    for path, shape, size in zip(spec.paths, spec.shapes, spec.sizes, strict=True):
        layer, name = path.split('/')
        part = vector[..., start : start + size].reshape(*vector.shape[:-1], *shape)
        weights.setdefault(layer, {})[name] = part
        start += size
    return weights
