"""A latent vector that modulates the hidden layers of a shared INR."""

from collections.abc import Sequence
from typing import Any, Literal

import haiku as hk
import jax
import jax.numpy as jnp

from hyperinr.annotations import checked
from hyperinr.arguments import check_choice, check_positive
from hyperinr.errors import InputError
from hyperinr.hypernetworks.assembly import Head, Target, assemble, linear_heads, natural_layers
from hyperinr.hypernetworks.rates import Rates, learned_rates
from hyperinr.types import Array, Code, Encoder, Hypernetwork, Inr, InrWeights, Key, Params

__all__ = ['modulations']


@checked
def modulations(
    *,
    inr: Inr,
    encoder: Encoder,
    latent_dims: int = 256,
    kind: Literal['shift', 'film'] = 'shift',
    map_hidden: Sequence[int] = (),
    map_spread: float = 0.1,
    matrices: Sequence[int] = (),
    matrix_spread: float = 0.3,
    initial_latent: float = 1.0,
    head_gain: float = 1.0,
    rates: Rates = learned_rates(),  # noqa: B008
) -> Hypernetwork:
    """Predict a latent ``z [latent_dims]``, the code; a shared map ``m(z)`` turns it into modulations of hidden layers.

    - ``'shift'``: ``b = b_base + m_b(z)``. A hidden unit of a SIREN is then ``sin(omega (W h + b_base + m_b(z)))``:
      Dupont, Kim, Eslami, Rezende and Rosenbaum, "From data to functa" (2022), and Dupont, Loya, Alizadeh, Golinski,
      Teh and Doucet, "COIN++: neural compression across modalities" (2022).
    - ``'film'``: units are scaled too, ``W = W_base (1 + m_g(z))``, ``b = b_base (1 + m_g(z)) + m_b(z)``. The columns
      of ``W`` are the units: Perez, Strub, de Vries, Dumoulin and Courville, "FiLM: visual reasoning with a general
      conditioning layer" (2018), section 2.1, eq. 2, before the activation.

    With ``matrices`` the latent also changes whole matrices of hidden layers, ``W = W_base + m_W(z)``, since a latent
    of some hundred numbers can carry more than biases can express. To change one layer alone is the choice of Kim, Lee,
    Kim, Cho and Han, "Generalizable implicit neural representations via instance pattern composers" (2023); here the
    change comes from a latent and has full rank.

    All modulations are changes of weights, so that the result is a plain INR. The map is linear or an MLP. It has no
    offset, which would only repeat the base.

    With `encoders.constant` the latent starts at zero, and the adaptation alone finds it (functa, COIN++; CAVIA:
    Zintgraf, Shiarlis, Kurin, Hofmann and Whiteson, "Fast context adaptation via meta-learning" (2019)). Any other
    encoder predicts its start; a table of codes makes it an auto-decoder.

    Parameters, besides the base (P numbers), the encoder and the rates: ``latent_dims`` times the number of modulations
    (one or two for every hidden unit, and each entry of ``matrices``), and ``(E + 1) latent_dims`` with an encoder.
    Decoding costs twice as many operations as the map has numbers, once per datapoint and step.

    Args:
      inr: the INR; all its layers but the last are modulated. Each has a ``b [out]``, and for FiLM a ``w [in, out]``.
      encoder: Datapoint -> embedding [E]. With `encoders.constant` the latent starts at zero.
      latent_dims: numbers of the code, >= 1.
      kind: see above.
      map_hidden: widths of the map's hidden layers; without any the map is linear.
      map_spread: standard deviation of a modulation at step 0 for a latent of unit variance, > 0. For a shift the unit
        is the standard deviation of its bias in a fresh INR.
      matrices: numbers of the hidden layers, from 0, whose matrices are changed too.
      matrix_spread: like ``map_spread``, for an entry of these matrices, > 0. The unit is the standard deviation of the
        matrix in a fresh INR.
      initial_latent: standard deviation of a predicted latent at step 0, > 0.
      head_gain: factor of the head that predicts the latent, > 0: how much faster than other parameters the latent
        moves under the outer optimiser. All numbers of a latent move together, so with adaptation steps 1 is too fast.
      rates: step sizes of the latent.

    Returns:
      A `Hypernetwork` with parameters ``{'base', 'encoder', 'map', 'heads', 'rates'}``.

    Raises:
      ValueError: a value outside the ranges above; an INR without hidden biases, or without one of the ``matrices``.
    """
    check_choice('kind', kind, ('shift', 'film'))
    check_positive('modulations', latent_dims=latent_dims, map_hidden=map_hidden, map_spread=map_spread)
    check_positive('modulations', matrix_spread=matrix_spread, initial_latent=initial_latent, head_gain=head_gain)
    heads = linear_heads({'latent': Head((latent_dims,), head_gain, initial_latent / head_gain)}, ())

    def modulated(weights: InrWeights) -> dict[str, int]:
        """Return the number of units of each hidden layer."""
        hidden = natural_layers(weights)[:-1]
        needed = {'b'} if kind == 'shift' else {'w', 'b'}
        units = {layer: weights[layer]['b'].shape[-1] for layer in hidden if needed <= set(weights[layer])}
        if not units:
            raise InputError(
                f'{kind} modulations need hidden layers with {" and ".join(sorted(needed))}; take low_rank.'
            )
        return units

    def moved(weights: InrWeights) -> list[str]:
        """Return the layers whose matrices the latent changes."""
        hidden = natural_layers(weights)[:-1]
        missing = [number for number in matrices if not 0 <= number < len(hidden) or 'w' not in weights[hidden[number]]]
        if missing:
            raise InputError(f'matrices {missing} are none of the {len(hidden)} hidden layers, 0 to {len(hidden) - 1}.')
        return [hidden[number] for number in matrices]

    def mapping(weights: InrWeights, scales: Any) -> hk.Transformed:
        """Make the map from a latent to modulations by name.

        ``LAYER`` has the layer's shifts, then its factors; ``LAYER_matrix`` has the change of its matrix. ``scales``
        are used at initialisation alone.
        """

        def forward(latent: Array) -> dict[str, Array]:
            hidden = latent
            for index, width in enumerate(map_hidden):
                hidden = jax.nn.silu(hk.Linear(width, name=f'hidden_{index}')(hidden))
            spreads = {}
            for layer, units in modulated(weights).items():
                unit = jnp.array([scales[layer]['b']] if kind == 'shift' else [scales[layer]['b'], 1.0])
                spreads[layer] = map_spread * jnp.repeat(unit, units)
            for layer in moved(weights):
                spreads[f'{layer}_matrix'] = jnp.full(weights[layer]['w'].size, matrix_spread * scales[layer]['w'])
            found = {}
            for name, each in spreads.items():
                w_init = lambda shape, dtype, each=each: (
                    each[None] / shape[0] ** 0.5 * hk.initializers.RandomNormal()(shape, dtype)
                )
                found[name] = hk.Linear(each.size, with_bias=False, w_init=w_init, name=name)(hidden)
            return found

        return hk.without_apply_rng(hk.transform(forward))

    def init_own(key: Key, base: InrWeights, target: Target, embedding: Array) -> Params:
        map_key, heads_key = jax.random.split(key)
        latent_map = mapping(target.shapes, target.scales).init(map_key, jnp.zeros(latent_dims))
        return {'base': base, 'map': latent_map, 'heads': heads.init(heads_key, embedding)}

    def emit(params: Params, target: Target, embedding: Array) -> Code:
        return heads.apply(params['heads'], embedding)

    def decode(params: Params, code: Code) -> InrWeights:
        weights = {layer: dict(tensors) for layer, tensors in params['base'].items()}
        found = mapping(weights, jax.tree.map(lambda leaf: 1.0, weights)).apply(params['map'], code['latent'])
        for layer in moved(weights):
            weights[layer]['w'] = weights[layer]['w'] + found[f'{layer}_matrix'].reshape(weights[layer]['w'].shape)
        for layer in modulated(weights):
            tensors, values = weights[layer], found[layer]
            units = tensors['b'].shape[-1]
            if kind == 'film':
                factor = 1 + values[units:]
                tensors['w'], tensors['b'] = tensors['w'] * factor[None, :], tensors['b'] * factor
            tensors['b'] = tensors['b'] + values[:units]
        return weights

    return assemble(
        inr=inr, encoder=encoder, rates=rates, init_own=init_own, emit=emit, decode=decode,
        base=lambda params: decode(params, {'latent': jnp.zeros(latent_dims)}),
    )  # fmt: skip
