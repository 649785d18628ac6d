"""Hold some weights fixed while the others are fitted."""

import fnmatch
from collections.abc import Sequence
from typing import Any

import jax.numpy as jnp
import numpy as np
import optax

from hyperinr.errors import InputError
from hyperinr.types import Array
from hyperinr.weights import WeightSpec

__all__ = ['frozen', 'frozen_mask']


def frozen_mask(patterns: Sequence[str], spec: WeightSpec) -> np.ndarray:
    """Return a mask ``[P]`` bool, True where a weight is held fixed.

    Args:
      patterns: patterns of the paths in ``spec``, with shell wildcards: ``'layer_0/*'``, ``'*/b'``, ``'filter_*'``. A
        pattern without a slash means all tensors of the layers that it matches.
      spec: layout of the INR's weights.

    Raises:
      InputError: a pattern matches nothing, or the patterns together match all weights.

    Example:
      >>> frozen_mask(['*/b'], WeightSpec(('layer_0/b', 'layer_0/w'), ((1,), (2, 1)))).tolist()
      [True, False, False]
    """
    held = dict.fromkeys(spec.paths, False)
    for pattern in patterns:
        full = pattern if '/' in pattern else f'{pattern}/*'
        matching = fnmatch.filter(spec.paths, full)
        if not matching:
            raise InputError(f'nothing to freeze matches {pattern!r}; the weights are {", ".join(spec.paths)}.')
        held |= dict.fromkeys(matching, True)
    if all(held.values()):
        raise InputError(f'{", ".join(map(repr, patterns))} would freeze all weights; leave some to fit.')
    return np.repeat(np.array([held[path] for path in spec.paths]), spec.sizes)


def frozen(
    optimizer: optax.GradientTransformation, patterns: Sequence[str], spec: WeightSpec
) -> optax.GradientTransformation:
    """Return an optimiser of flat vectors ``[P]`` that holds the matching weights fixed, weight decay included.

    ``optimizer`` sees a gradient of 0 for fixed weights. A norm over all weights is then the norm over the free ones.

    Args:
      optimizer: the optimiser to restrict.
      patterns: see `frozen_mask`; if empty, ``optimizer`` itself is returned.
      spec: layout of the INR's weights.

    Raises:
      InputError: see `frozen_mask`.
    """
    if not patterns:
        return optimizer
    free = jnp.asarray(~frozen_mask(patterns, spec), jnp.float32)
    inner = optax.with_extra_args_support(optimizer)

    def update(
        gradient: Array, state: optax.OptState, params: Array | None = None, **told: Any
    ) -> tuple[Array, optax.OptState]:
        updates, state = inner.update(gradient * free, state, params, **told)
        return updates * free, state

    return optax.GradientTransformationExtraArgs(inner.init, update)
