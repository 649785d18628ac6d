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
import numpy as np

from hyperinr.annotations import checked
from hyperinr.errors import InputError, first_line
from hyperinr.types import Array, Inr, InrWeights, Key

__all__ = ['WeightSpec', 'check_evaluable', 'count', 'flatten', 'spec_of', 'spec_of_inr', 'unflatten']


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
    return tuple(int(part) if part.isdecimal() else part for part in re.split(r'(\d+)', name))


@checked
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
            shapes.append(tuple(np.shape(weights[layer][name])))
    return WeightSpec(tuple(paths), tuple(shapes))


@checked
def spec_of_inr(inr: Inr, coord_dims: int) -> WeightSpec:
    """Return the specification of an INR of ``coord_dims`` coordinates; no weights are computed or allocated.

    Example:
      >>> from hyperinr import inrs
      >>> count(spec_of_inr(inrs.siren(channels=3, width=64, depth=3), 2))
      8707
    """
    if coord_dims < 1:
        raise InputError(f'an INR needs at least 1 coordinate, not {coord_dims=}.')
    return _spec_of_init(inr.init, coord_dims)


@functools.lru_cache(maxsize=64)
def _spec_of_init(init: Callable[[Key, int], InrWeights], coord_dims: int) -> WeightSpec:
    return spec_of(jax.eval_shape(lambda: init(jax.random.key(0), coord_dims)))


def check_evaluable(inr: Inr, spec: WeightSpec, coord_dims: int) -> None:
    """Raise `InputError` unless ``inr`` evaluates weights of this specification at ``coord_dims`` coordinates."""
    reason = _not_evaluable(inr.apply, spec, coord_dims)
    if reason is not None:
        raise InputError(
            f'the INR {inr.metadata.get("kind")!r} cannot evaluate weights {", ".join(map(str, spec.shapes))} named '
            f'{", ".join(spec.paths)} at {coord_dims} coordinates ({reason}); give weights like those of inr.init.'
        )


@functools.lru_cache(maxsize=64)
def _not_evaluable(apply: Callable[[InrWeights, Array], Array], spec: WeightSpec, coord_dims: int) -> str | None:
    weights = unflatten(jnp.zeros(count(spec)), spec)
    try:
        jax.eval_shape(apply, weights, jax.ShapeDtypeStruct((1, coord_dims), jnp.float32))
    except (IndexError, KeyError, TypeError, ValueError) as error:
        return f'{type(error).__name__}: {first_line(error)}'
    return None


def count(spec: WeightSpec) -> int:
    """Return P, the number of weights."""
    return sum(spec.sizes)


@checked
def flatten(weights: InrWeights, spec: WeightSpec) -> Array:
    """Flatten weights with leaves ``[..., *shape]`` to ``[..., P]``; leading (batch) axes are kept.

    Raises:
      ValueError: the weights have other names or shapes than ``spec``.
    """
    paths = spec_of(weights).paths
    if paths != spec.paths:
        raise ValueError(f'the weights are {", ".join(paths)}; their specification says {", ".join(spec.paths)}.')
    parts: list[Array] = []
    for path, shape, size in zip(paths, spec.shapes, spec.sizes, strict=True):
        layer, name = path.split('/')
        leaf = jnp.asarray(weights[layer][name])
        lead = leaf.ndim - len(shape)
        if lead < 0 or leaf.shape[lead:] != shape:
            raise ValueError(f'{path!r} has shape {leaf.shape}, its specification says [..., {shape}].')
        if parts and leaf.shape[:lead] != parts[0].shape[:-1]:
            raise InputError(f'{path!r} has the leading axes {leaf.shape[:lead]}, the others {parts[0].shape[:-1]}.')
        parts.append(leaf.reshape(*leaf.shape[:lead], size))
    return jnp.concatenate(parts, axis=-1)


@checked
def unflatten(vector: Array, spec: WeightSpec) -> InrWeights:
    """Turn ``[..., P]`` into weights with leaves ``[..., *shape]``: the exact inverse of `flatten`.

    Raises:
      ValueError: the last axis is not ``P`` long.
    """
    if np.shape(vector)[-1:] != (count(spec),):
        raise InputError(f'a vector {np.shape(vector)} of weights does not fit a specification of {count(spec)}.')
    weights: dict[str, dict[str, Array]] = {}
    start = 0
    for path, shape, size in zip(spec.paths, spec.shapes, spec.sizes, strict=True):
        layer, name = path.split('/')
        part = vector[..., start : start + size].reshape(*vector.shape[:-1], *shape)
        weights.setdefault(layer, {})[name] = part
        start += size
    return weights
