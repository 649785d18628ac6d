"""The starts that generated weights are compared with, and the optimisers that each of them may choose from."""

from collections.abc import Callable, Mapping
from typing import NamedTuple

import jax
import jax.numpy as jnp

from hyperinr import fitting, inrs
from hyperinr import weights as weights_lib
from hyperinr.fitting import optimizers
from hyperinr.inrs.initialisation import in_range
from hyperinr.inrs.named_schemes import named_scheme
from hyperinr.model import Model
from hyperinr.types import Array, Datapoint, DatasetSpec, Inr, InrWeights
from hyperinr.weights import WeightSpec

__all__ = ['ANY_INR', 'FAMILIES', 'Start', 'equal_feature_grid', 'other_starts', 'random_weights']

ANY_INR = WeightSpec((), ())
"""A spec for optimisers that treat all weights alike."""
FAMILIES: Mapping[str, fitting.Family] = {
    **fitting.FAMILIES,
    'lbfgs': optimizers.family('lbfgs', ANY_INR),
    'conjugate_gradient': optimizers.family('conjugate_gradient', ANY_INR),
}
"""Name -> optimiser that treats all weights alike, and so suits every INR. Conjugate gradients are what generated
weights get, too."""


class Start(NamedTuple):
    """A kind of start.

    Attributes:
      inr: evaluates the weights.
      weights: ``datapoints [B, ...] -> weights [B, ...]``.
    """

    inr: Inr
    weights: Callable[[Datapoint], InrWeights]


def other_starts(model: Model, datapoint: Datapoint, seed: int) -> dict[str, Start]:
    """Return the starts that need no hypernetwork, by name.

    ``random`` is a fresh INR of the model's kind, ``weight_scaled`` the best random start known for its family (SIREN
    only), ``constant`` the learned weights that all datapoints share, and ``feature_grid`` a grid of values with as
    many parameters as the INR. ``constant`` is left out if the model has none or generates just these.

    Args:
      model: the trained model.
      datapoint: any datapoint, unbatched; it shows whether the model's weights depend on it.
      seed: seed of fresh weights.
    """
    spec, inr = model.spec, model.inr
    fresh = {'random': inr}
    if inr.metadata['kind'] == 'siren':
        sizes = {name: inr.metadata[name] for name in ('channels', 'width', 'depth', 'omega_0', 'hidden_omega_0')}
        scaled = inrs.siren(**sizes, initialisation=named_scheme('weight_scaling'))
        fresh['weight_scaled'] = inr._replace(init=in_range(scaled, spec.data_range).init)
    fresh['feature_grid'] = equal_feature_grid(spec, weights_lib.count(weights_lib.spec_of_inr(inr, spec.coord_dims)))
    starts = {name: Start(each, random_weights(each, spec, seed)) for name, each in fresh.items()}
    base = model.learner.hypernetwork.base
    if base is not None and not _is_constant(model, datapoint):
        repeated = lambda leaf, count: jnp.broadcast_to(leaf, (count, *leaf.shape))
        shared = lambda batch: jax.tree.map(lambda leaf: repeated(leaf, len(batch.coords)), base(model.params))
        starts['constant'] = Start(inr, shared)
    return starts


def random_weights(inr: Inr, spec: DatasetSpec, seed: int) -> Callable[[Datapoint], InrWeights]:
    """Return ``datapoints [B, ...] -> fresh weights [B, ...]``; each depends on the seed and the datapoint's index."""

    @jax.jit
    def fresh(index: Array) -> InrWeights:
        each = lambda one: inr.init(jax.random.fold_in(jax.random.key(seed), one), spec.coord_dims)
        return jax.vmap(each)(index)

    return lambda batch: fresh(batch.index)


def equal_feature_grid(spec: DatasetSpec, count: int) -> Inr:
    """Return the `inrs.feature_grid` whose number of parameters is nearest to ``count``."""
    size = lambda resolution: spec.channels * (resolution**spec.coord_dims + 1)
    largest = 2
    while size(largest) < count:
        largest += 1
    resolution = min((max(2, largest - 1), largest), key=lambda each: abs(size(each) - count))
    return in_range(inrs.feature_grid(channels=spec.channels, resolution=resolution), spec.data_range)


def _is_constant(model: Model, datapoint: Datapoint) -> bool:
    """Tell whether a signal and its negative get the same weights."""
    raw = jax.jit(lambda values: model.learner.adapt(model.params, datapoint._replace(values=values), 0))
    first, second = raw(datapoint.values), raw(sum(model.spec.data_range) - datapoint.values)
    return all(bool(jnp.array_equal(a, b)) for a, b in zip(*map(jax.tree.leaves, (first, second)), strict=True))
