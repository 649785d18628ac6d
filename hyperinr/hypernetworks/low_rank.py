"""Weights that differ from a learned base INR by a product of two thin matrices."""

from collections.abc import Sequence
from typing import Any, Literal

import haiku as hk
import jax

from hyperinr.annotations import checked
from hyperinr.arguments import check_choice, check_positive
from hyperinr.hypernetworks.assembly import Head, Target, assemble, linear_heads
from hyperinr.hypernetworks.rates import Rates, learned_rates
from hyperinr.types import Array, Code, Encoder, Hypernetwork, Inr, InrWeights, Key, Params

__all__ = ['low_rank']


@checked
def low_rank(
    *,
    inr: Inr,
    encoder: Encoder,
    rank: int = 8,
    combine: Literal['multiplicative', 'sigmoid', 'additive'] = 'multiplicative',
    trunk: Sequence[int] = (256,),
    initial_delta: float = 0.1,
    rates: Rates = learned_rates(),  # noqa: B008
) -> Hypernetwork:
    """Predict factors ``U [in, r]`` and ``V [r, out]`` of every matrix, and a shift of every bias. They are the code.

    - ``'multiplicative'``: ``W = W_base * (1 + U V)``. Peis et al., "Hyper-transforming latent diffusion models" (LDMI,
      2025), also scale learned templates by 1 plus a change. Their change is not a product, but a transformer's output
      for groups of columns (see `weight_tokens`).
    - ``'sigmoid'``: ``W = W_base * 2 sigma(U V)``. Schwarz, Tack, Teh, Lee and Shin, "Modality-agnostic variational
      compression of implicit neural representations" (VC-INR, 2023), multiply shared weights by a sigmoid of a low-rank
      matrix. The factor 2 is added here: it gives the base itself at ``U V = 0``.
    - ``'additive'``: ``W = W_base + s U V``, where ``s`` is the tensor's standard deviation in a fresh INR. Hu et al.,
      "LoRA: low-rank adaptation of large language models" (2022), section 4.1, on a shared base.

    Biases are ``b_base + s shift``. ``r`` is ``rank``, or less if a matrix has fewer rows or columns.

    Parameters, besides the base (P numbers), the encoder and the rates: the trunk, and ``(H + 1)`` numbers for each of
    the ``sum r (in + out)`` entries of the factors and the ``sum out`` shifts, where H is the trunk's last width. This
    is about ``width / (2 rank)`` times fewer than `weight_heads` has. Decoding costs ``2 r in out`` operations per
    matrix, once per datapoint and step.

    Args:
      inr: the INR whose weights are predicted. Tensors of two or more axes count as matrices ``[in ..., out]``.
      encoder: Datapoint -> embedding [E]. With `encoders.constant` the factors have one learned start.
      rank: r >= 1.
      combine: see above.
      trunk: widths of the MLP between the embedding and the heads.
      initial_delta: standard deviation at step 0 of the relative change of a weight, > 0.
      rates: step sizes of the code. They are scaled such that a step of a factor moves the weights about as far as a
        step of the weights themselves at the same rate.

    Returns:
      A `Hypernetwork` with parameters ``{'base', 'encoder', 'heads', 'rates'}``.

    Raises:
      ValueError: a value outside the ranges above.
    """
    check_choice('combine', combine, ('multiplicative', 'sigmoid', 'additive'))
    check_positive('low_rank', rank=rank, initial_delta=initial_delta)

    def heads(target: Target) -> hk.Transformed:
        def head(tensor: Any, scale: float) -> Any:
            if len(tensor.shape) < 2:
                return {'shift': Head(tensor.shape, scale, initial_delta)}
            columns = tensor.shape[-1]
            rows = tensor.size // columns
            inner = min(rank, rows, columns)
            # The slope of 2 sigma at 0 is 1/2.
            spread = initial_delta * inner**-0.5 * (2 if combine == 'sigmoid' else 1)
            right = Head((inner, columns), scale if combine == 'additive' else 1.0, spread)
            return {'left': Head((rows, inner), 1.0, 1.0), 'right': right}

        return linear_heads(jax.tree.map(head, target.shapes, target.scales), trunk, learned_start=True)

    def rate_units(target: Target) -> Any:
        def unit(tensor: Any, scale: float) -> Any:
            if len(tensor.shape) < 2:
                return {'shift': 1.0}
            rows = tensor.size // tensor.shape[-1]
            # The change of the weights for a change of 1 in the product.
            slope = {'multiplicative': scale, 'sigmoid': scale / 2, 'additive': 1.0}[combine]
            # dW = slope U dV + slope dU V. U U^T scales its range by the number of rows; V V^T by less.
            return {'left': scale**-2, 'right': slope**-2 / rows}

        return jax.tree.map(unit, target.shapes, target.scales)

    def init_own(key: Key, base: InrWeights, target: Target, embedding: Array) -> Params:
        return {'base': base, 'heads': heads(target).init(key, embedding)}

    def emit(params: Params, target: Target, embedding: Array) -> Code:
        return heads(target).apply(params['heads'], embedding)

    def decode(params: Params, code: Code) -> InrWeights:
        def tensor(leaf: Array, change: Any) -> Array:
            if 'shift' in change:
                return leaf + change['shift']
            product = (change['left'] @ change['right']).reshape(leaf.shape)
            if combine == 'additive':
                return leaf + product
            return leaf * (1 + product if combine == 'multiplicative' else 2 * jax.nn.sigmoid(product))

        return jax.tree.map(tensor, params['base'], code)

    return assemble(
        inr=inr, encoder=encoder, rates=rates, init_own=init_own, emit=emit, decode=decode, rate_units=rate_units
    )
