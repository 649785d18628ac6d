"""The error of a field on the sphere, in which a square degree near a pole counts less."""

import jax.numpy as jnp
import numpy as np

from hyperinr.annotations import checked
from hyperinr.errors import InputError
from hyperinr.metrics.points import check_shapes, mean_squared_error
from hyperinr.types import Array

__all__ = ['latitude_weighted_rmse']


@checked
def latitude_weighted_rmse(predicted: Array, values: Array, weight: Array | None = None) -> Array:
    """Compute the root of the mean squared error, each sample weighted by the cosine of its latitude.

    The RMSE of Rasp et al., "WeatherBench: a benchmark data set for data-driven weather forecasting" (2020); the mean
    over channels is taken before the root. The grid is that of the layout ``'sphere'`` of `hyperinr.coordinates.grid`:
    latitudes from 90 to -90 degrees, so that the samples at the poles have weight 0.

    Args:
      predicted: ``[..., H, W, C]``, H >= 3 latitudes, W longitudes.
      values: ``[..., H, W, C]``.
      weight: ``[..., H, W]`` >= 0, such as 0 over land; ``None``: 1.

    Returns:
      ``[...]`` >= 0, in the unit of the values; NaN where all weights are 0.

    Raises:
      InputError: shapes that do not fit, or fewer than three latitudes.
    """
    check_shapes(predicted, values, weight)
    if np.ndim(values) < 3 or values.shape[-3] < 3:
        raise InputError(f'a field on the sphere is [..., H, W, C] with H >= 3 latitudes, not {np.shape(values)}.')
    latitude = jnp.radians(jnp.linspace(90.0, -90.0, values.shape[-3]))
    area = jnp.maximum(jnp.cos(latitude), 0)[:, None]  # At the poles the cosine of float32 is -4e-8.
    areas = jnp.broadcast_to(area, values.shape[:-1]) * (1 if weight is None else jnp.asarray(weight))
    as_points = lambda array: jnp.reshape(array, (*array.shape[:-3], -1, array.shape[-1]))
    return jnp.sqrt(mean_squared_error(as_points(predicted), as_points(values), as_points(areas[..., None])[..., 0]))
