"""Step sizes of the adaptation, learned as constants or predicted from the datapoint."""

import functools
import re
from collections.abc import Callable
from typing import Literal, NamedTuple, get_args

import jax
import jax.numpy as jnp

from hyperinr.annotations import checked
from hyperinr.arguments import check_choice, check_positive
from hyperinr.errors import InputError
from hyperinr.types import Array, Code, Key, Params

__all__ = ['Rates', 'learned_rates', 'only_leaves', 'predicted_rates']

SharedBy = Literal['code', 'leaf', 'nothing']
"""What shares one number: the whole code, each leaf of it, or nothing."""


class Rates(NamedTuple):
    """A rule for the step sizes of a code.

    Attributes:
      init: ``(key, code, embedding [E]) -> Params``; consumes the key.
      apply: ``(params, code, embedding [E]) -> rates`` >= 0, with leaves as in `hyperinr.types.Start`.
    """

    init: Callable[[Key, Code, Array], Params]
    apply: Callable[[Params, Code, Array], Code]


@checked
def learned_rates(
    *,
    shared_by: SharedBy = 'nothing',
    num_steps: int = 1,
    initial: float = 0.1,
    gain: float = 200.0,
) -> Rates:
    """Make rates ``initial * exp(gain * parameter)`` that are the same for every datapoint.

    Li, Zhou, Chen and Li, "Meta-SGD" (2017), has one rate per number of the code. Antoniou, Edwards and Storkey, "How
    to train your MAML" (2019), has one per leaf and step. There rates may become negative; here the exponential keeps
    them positive.

    Args:
      shared_by: what shares one rate: the whole code, each leaf of it, or nothing.
      num_steps: number of steps with their own rates, >= 1; 1: all steps share them.
      initial: initial rate, > 0, in units of code per gradient of the error.
      gain: how much faster than other parameters the logarithms move under the outer optimiser, > 0.

    Raises:
      ValueError: a value outside the ranges above.
    """
    check_choice('shared_by', shared_by, get_args(SharedBy))
    check_positive('learned_rates', num_steps=num_steps, initial=initial, gain=gain)
    return Rates(
        init=lambda key, code, embedding: _zeros(code, shared_by, num_steps),
        apply=lambda params, code, embedding: _positive(params, code, shared_by, initial, gain),
    )


@checked
def predicted_rates(
    *,
    shared_by: SharedBy = 'nothing',
    predicted_by: SharedBy = 'leaf',
    num_steps: int = 1,
    initial: float = 0.1,
    gain: float = 200.0,
    prediction_gain: float = 1.0,
) -> Rates:
    """Make `learned_rates` times ``exp(prediction_gain * A e)``, where ``e`` is the datapoint's embedding.

    Baik, Choi, Choi, Kim and Lee, "Meta-learning with adaptive hyperparameters" (ALFA, 2020), predict rates and weight
    decays of each step and layer from the means of its weights and gradients. Here the rates are predicted from the
    hypernetwork's own embedding, together with the start. ``A`` is zero at first, so training begins with the constant
    rates. It has E numbers for each predicted factor.

    Args:
      shared_by: what shares one constant rate, as in `learned_rates`.
      predicted_by: what shares one predicted factor in each step.
      num_steps: as in `learned_rates`.
      initial: as in `learned_rates`.
      gain: as in `learned_rates`.
      prediction_gain: > 0.

    Raises:
      ValueError: a value outside its range.
    """
    check_choice('predicted_by', predicted_by, get_args(SharedBy))
    check_positive('predicted_rates', prediction_gain=prediction_gain)
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


@checked
def only_leaves(*, rates: Rates, pattern: str) -> Rates:
    """Apply ``rates`` to the leaves of the code whose path matches; all other leaves do not move.

    Raghu, Raghu, Bengio and Vinyals, "Rapid learning or feature reuse? Towards understanding the effectiveness of MAML"
    (ANIL, 2020), section 4: only the last layer adapts, the others are learned features. Here any part of a code can
    adapt.

    Args:
      rates: rates of the leaves that adapt; there are no parameters for the other leaves.
      pattern: a regular expression that must match the whole path of a leaf, such as ``'layer_3/.*'`` or ``'.*/b'``.

    Raises:
      ValueError: the pattern is not a regular expression; at initialisation, it matches no leaf.
    """
    try:
        wanted = re.compile(pattern)
    except re.error as error:
        raise InputError(f'pattern must be a regular expression, not {pattern!r}: {error}.') from error

    name_of = functools.partial(jax.tree_util.keystr, simple=True, separator='/')

    def chosen(code: Code) -> dict[str, Array]:
        leaves = {name_of(path): leaf for path, leaf in jax.tree.leaves_with_path(code)}
        found = {name: leaf for name, leaf in leaves.items() if wanted.fullmatch(name)}
        if not found:
            raise InputError(f'pattern {pattern!r} matches no leaf of the code; they are {", ".join(leaves)}.')
        return found

    def apply(params: Params, code: Code, embedding: Array) -> Code:
        found = rates.apply(params, chosen(code), embedding)
        still = lambda leaf: jnp.zeros((1, *[1] * leaf.ndim))
        return jax.tree.map_with_path(lambda path, leaf: found.get(name_of(path), still(leaf)), code)

    return Rates(init=lambda key, code, embedding: rates.init(key, chosen(code), embedding), apply=apply)


def _zeros(code: Code, shared_by: str, num_steps: int) -> Params:
    """Make initial logarithms of relative rates: one array for the whole code, or a tree of the code's structure."""
    if shared_by == 'code':
        return jnp.zeros(num_steps)
    if shared_by == 'leaf':
        return jax.tree.map(lambda leaf: jnp.zeros((num_steps, *[1] * leaf.ndim)), code)
    return jax.tree.map(lambda leaf: jnp.zeros((num_steps, *leaf.shape)), code)


def _positive(logarithms: Params, code: Code, shared_by: str, initial: float, gain: float) -> Code:
    if shared_by == 'code':
        logarithms = jax.tree.map(lambda leaf: logarithms.reshape(-1, *[1] * leaf.ndim), code)
    return jax.tree.map(lambda leaf: initial * jnp.exp(gain * leaf), logarithms)
