"""A permutation-invariant encoder of (coordinate, value) pairs, for any number of points at any coordinates."""

import haiku as hk
import jax
import jax.numpy as jnp

from hyperinr.annotations import checked
from hyperinr.arguments import check_not_negative, check_positive
from hyperinr.encoders.observations import point_features
from hyperinr.types import Array, Datapoint, DatasetSpec, Encoder

__all__ = ['set_encoder']


@checked
def set_encoder(
    *, spec: DatasetSpec, embedding_dims: int = 256, width: int = 256, depth: int = 2, num_frequencies: int = 4
) -> Encoder:
    """Make an encoder that embeds each point with an MLP, averages over the points, and applies another MLP.

    Zaheer et al., "Deep sets" (2017), theorem 2: ``rho(sum_i phi(x_i, y_i))``. Here the sum is a mean with the points'
    weights. So the embedding does not depend on the number of points or on their order, and points of weight 0 do not
    count. The sines and cosines of ``num_frequencies`` octaves of the coordinates are inputs as well.

    Args:
      spec: specification of the dataset; only its data range and dimensions are used.
      embedding_dims: E.
      width: width of both MLPs.
      depth: hidden layers of each MLP, >= 1.
      num_frequencies: octaves of the coordinate features, >= 0.

    Returns:
      An `Encoder` whose ``apply`` takes datapoints of any N, not only of the N at initialisation.

    Raises:
      ValueError: a size that is not positive.
    """
    check_positive('a set_encoder', embedding_dims=embedding_dims, width=width, depth=depth)
    check_not_negative('a set_encoder', num_frequencies=num_frequencies)

    def forward(datapoint: Datapoint) -> Array:
        points = point_features(datapoint, spec, num_frequencies)
        weight = jnp.asarray(datapoint.weight)
        embedded = hk.nets.MLP([width] * (depth + 1), activation=jax.nn.silu, name='point')(points)
        mean = jnp.sum(embedded * weight[:, None], axis=0) / jnp.maximum(jnp.sum(weight), 1e-6)
        return hk.nets.MLP([width] * depth + [embedding_dims], activation=jax.nn.silu, name='set')(mean)

    return Encoder(*hk.without_apply_rng(hk.transform(forward)))
