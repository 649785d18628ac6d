"""Step sizes of the adaptation: learned constants, or predicted from the datapoint."""

import re
from collections.abc import Callable
from typing import Literal, NamedTuple

import jax
import jax.numpy as jnp

from hyperinr.types import Array, Code, Key, Params

__all__ = ['Rates', 'learned_rates', 'only_leaves', 'predicted_rates']

SharedBy = Literal['code', 'leaf', 'nothing']
"""What has one number together: the whole code, each of its leaves, or nothing."""


class Rates(NamedTuple):
    """Where the step sizes of a code come from.

    Attributes:
      init: ``(key, code, embedding [E]) -> Params``; consumes the key.
      apply: ``(params, code, embedding [E]) -> rates``, none negative, with the leaves that `hyperinr.types.Start`
        states.
    """

    init: Callable[[Key, Code, Array], Params]
    apply: Callable[[Params, Code, Array], Code]


def learned_rates(
    *,
    shared_by: SharedBy = 'nothing',
    num_steps: int = 1,
    initial: float = 0.1,
    gain: float = 200.0,
) -> Rates:
    """``initial * exp(gain * parameter)``, the same for every datapoint.

    Li, Zhou, Chen and Li, "Meta-SGD" (2017), for one rate per number of the code; Antoniou, Edwards and Storkey, "How
    to train your MAML" (2019), for one per leaf and step. There rates may become negative; the exponential keeps them
    positive.

    Args:
      shared_by: what has one rate together: the whole code, each of its leaves, or nothing.
      num_steps: steps with rates of their own, >= 1; 1 shares them between all steps.
      initial: > 0, in units of code per gradient of the error.
      gain: how much faster than other parameters the logarithms move under the outer optimiser, > 0.

    Raises:
      ValueError: a value outside the ranges above.
    """
    _check(shared_by, num_steps, initial, gain)

    return Rates(
        init=lambda key, code, embedding: _zeros(code, shared_by, num_steps),
        apply=lambda params, code, embedding: _positive(params, code, shared_by, initial, gain),
    )


def predicted_rates(
    *,
    shared_by: SharedBy = 'nothing',
    predicted_by: SharedBy = 'leaf',
    num_steps: int = 1,
    initial: float = 0.1,
    gain: float = 200.0,
    prediction_gain: float = 1.0,
) -> Rates:
    """`learned_rates` times ``exp(prediction_gain * A e)``: the datapoint's embedding ``e`` decides how far to go.

    Baik, Choi, Choi, Kim and Lee, "Meta-learning with adaptive hyperparameters" (ALFA, 2020), predict rates and weight
    decays of each step and layer from the means of its weights and gradients; here the rates come from the
    hypernetwork's own embedding, so that start and step sizes are predicted together. ``A`` is zero at first: training
    begins with the constant rates. It has E numbers for each predicted factor.

    Args:
      shared_by: of the constant rates, as in `learned_rates`.
      predicted_by: what has one predicted factor together, for each step.
      num_steps: as in `learned_rates`.
      initial: as in `learned_rates`.
      gain: as in `learned_rates`.
      prediction_gain: > 0.

    Raises:
      ValueError: a value outside its range.
    """
    _check(shared_by, num_steps, initial, gain)
    _check_shared('predicted_by', predicted_by)
    if prediction_gain <= 0:
        raise ValueError(f'prediction_gain must be positive, not {prediction_gain}.')
    constant = learned_rates(shared_by=shared_by, num_steps=num_steps, initial=initial, gain=gain)

    def init(key: Key, code: Code, embedding: Array) -> Params:
        factors = _zeros(code, predicted_by, num_steps)
        weights = jax.tree.map(lambda leaf: jnp.zeros((embedding.size, *leaf.shape)), factors)
        return {'constant': constant.init(key, code, embedding), 'predicted': weights}

    def apply(params: Params, code: Code, embedding: Array) -> Code:
        logarithms = jax.tree.map(lambda weights: jnp.tensordot(embedding, weights, axes=1), params['predicted'])
        factors = _positive(logarithms, code, predicted_by, 1.0, prediction_gain)
        return jax.tree.map(jnp.multiply, constant.apply(params['constant'], code, embedding), factors)

    return Rates(init=init, apply=apply)


def only_leaves(*, rates: Rates, pattern: str) -> Rates:
    """``rates`` on the leaves of the code whose path matches, and no step at all on the others.

    Raghu, Raghu, Bengio and Vinyals, "Rapid learning or feature reuse? Towards understanding the effectiveness of MAML"
    (ANIL, 2020), section 4: only the last layer adapts, the others are learned features. Here any part of a code may.

    Args:
      rates: of the leaves that adapt; it has no parameters for the others.
      pattern: a regular expression that must match the whole path of a leaf, such as ``'layer_3/.*'`` or ``'.*/b'``.

    Raises:
      ValueError: a pattern that is no regular expression; at initialisation, one that matches no leaf.
    """
    try:
        wanted = re.compile(pattern)
    except re.error as error:
        raise ValueError(f'pattern must be a regular expression, not {pattern!r}: {error}.') from error

    def chosen(code: Code) -> dict[str, Array]:
        paths = [('/'.join(str(key.key) for key in path), leaf) for path, leaf in jax.tree.leaves_with_path(code)]
        found = {path: leaf for path, leaf in paths if wanted.fullmatch(path)}
        if not found:
            names = ', '.join(path for path, _ in paths)
            raise ValueError(f'pattern {pattern!r} matches no leaf of the code; they are {names}.')
        return found

    def init(key: Key, code: Code, embedding: Array) -> Params:
        return rates.init(key, chosen(code), embedding)

    def apply(params: Params, code: Code, embedding: Array) -> Code:
        found = rates.apply(params, chosen(code), embedding)
        still = lambda leaf: jnp.zeros((1, *[1] * leaf.ndim))
        return jax.tree.map_with_path(
            lambda path, leaf: found.get('/'.join(str(key.key) for key in path), still(leaf)), code
        )

    return Rates(init=init, apply=apply)


def _check(shared_by: str, num_steps: int, initial: float, gain: float) -> None:
    _check_shared('shared_by', shared_by)
    if num_steps < 1 or initial <= 0 or gain <= 0:
        raise ValueError(f'must be positive: {num_steps=}, {initial=}, {gain=}.')


def _check_shared(name: str, value: str) -> None:
    if value not in ('code', 'leaf', 'nothing'):
        raise ValueError(f"{name} must be 'code', 'leaf' or 'nothing', not {value!r}.")


def _zeros(code: Code, shared_by: str, num_steps: int) -> Params:
    """Logarithms of relative rates: one array for the whole code, or a tree of the code's structure."""
    if shared_by == 'code':
        return jnp.zeros(num_steps)
    if shared_by == 'leaf':
        return jax.tree.map(lambda leaf: jnp.zeros((num_steps, *[1] * leaf.ndim)), code)
    return jax.tree.map(lambda leaf: jnp.zeros((num_steps, *leaf.shape)), code)


def _positive(logarithms: Params, code: Code, shared_by: str, initial: float, gain: float) -> Code:
    if shared_by == 'code':
        logarithms = jax.tree.map(lambda leaf: logarithms.reshape(-1, *[1] * leaf.ndim), code)
    return jax.tree.map(lambda leaf: initial * jnp.exp(gain * leaf), logarithms)
