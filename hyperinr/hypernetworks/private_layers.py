"""First layers that all datapoints share, and last layers of each datapoint alone."""

import jax

from hyperinr.annotations import checked
from hyperinr.arguments import check_positive
from hyperinr.errors import InputError
from hyperinr.hypernetworks.assembly import Head, Target, assemble, linear_heads, natural_layers
from hyperinr.hypernetworks.rates import Rates, learned_rates
from hyperinr.types import Array, Code, Encoder, Hypernetwork, Inr, InrWeights, Key, Params

__all__ = ['private_layers']


@checked
def private_layers(
    *,
    inr: Inr,
    encoder: Encoder,
    num_private: int = 1,
    initial_delta: float = 0.1,
    rates: Rates = learned_rates(),  # noqa: B008
) -> Hypernetwork:
    """Predict the last ``num_private`` layers, which are the code; the other layers are shared parameters.

    Vyas, Humayun, Dashpute, Baraniuk, Veeraraghavan and Balakrishnan, "Learning transferable features for implicit
    neural representations" (STRAINER, 2024): the first layers are trained on a few signals together, each signal with
    its own last layer. The fit of a new signal then starts from these first layers. With `encoders.table` and no
    adaptation steps, the outer optimiser trains both, and a new signal starts from the mean of the last layers. With
    `encoders.constant` and adaptation steps it is "almost no inner loop" (ANIL: Raghu et al., 2020) on a learned last
    layer.

    Parameters, besides the encoder and the rates: the P numbers of an INR, and ``E`` numbers for each private weight,
    that is ``E (width + 1) C`` for one layer. Decoding costs nothing.

    Args:
      inr: the INR whose weights are predicted.
      encoder: Datapoint -> embedding [E], from which a linear map makes the private layers. A table with at least as
        many dimensions as there are private weights allows any values for them.
      num_private: number of private layers, >= 1 and fewer than the INR has.
      initial_delta: standard deviation of the difference between datapoints at step 0, > 0. The unit is each tensor's
        standard deviation in a fresh INR.
      rates: step sizes of the private layers.

    Returns:
      A `Hypernetwork` with parameters ``{'shared', 'private', 'encoder', 'heads', 'rates'}``.

    Raises:
      ValueError: a value outside the ranges above.
    """
    check_positive('private_layers', num_private=num_private, initial_delta=initial_delta)

    def outputs(target: Target) -> dict[str, dict[str, Head]]:
        names = natural_layers(target.shapes)
        if num_private >= len(names):
            raise InputError(f'num_private must be less than the {len(names)} layers of the INR, not {num_private}.')
        head = lambda tensor, scale: Head(tensor.shape, scale, initial_delta)
        private = names[-num_private:]
        return {layer: jax.tree.map(head, target.shapes[layer], target.scales[layer]) for layer in private}

    def init_own(key: Key, base: InrWeights, target: Target, embedding: Array) -> Params:
        private = outputs(target)
        return {
            'shared': {layer: tensors for layer, tensors in base.items() if layer not in private},
            'private': {layer: base[layer] for layer in private},
            'heads': linear_heads(private, ()).init(key, embedding),
        }

    def emit(params: Params, target: Target, embedding: Array) -> Code:
        deltas = linear_heads(outputs(target), ()).apply(params['heads'], embedding)
        return jax.tree.map(lambda leaf, delta: leaf + delta, params['private'], deltas)

    return assemble(
        inr=inr, encoder=encoder, rates=rates, init_own=init_own, emit=emit,
        decode=lambda params, code: {**params['shared'], **code},
        base=lambda params: {**params['shared'], **params['private']},
    )  # fmt: skip
