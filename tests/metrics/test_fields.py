"""The error of a field on the sphere against integrals over it."""

import numpy as np
import pytest

from hyperinr import coordinates, metrics
from hyperinr.errors import InputError

SHAPE = (61, 40)
POINTS = coordinates.grid(SHAPE, coordinates.SPHERE).reshape(*SHAPE, 3)


def test_the_error_is_the_integral_over_the_sphere():
    """The mean of z^2 over the unit sphere is 1 / 3, of a constant its square; over a grid in degrees they differ."""
    values = np.zeros((*SHAPE, 1), np.float32)
    found = metrics.latitude_weighted_rmse(values + POINTS[..., 2:], values)
    np.testing.assert_allclose(found, np.sqrt(1 / 3), atol=2e-3)
    assert np.sqrt(np.mean(POINTS[..., 2] ** 2)) > 0.7
    np.testing.assert_allclose(metrics.latitude_weighted_rmse(values + 2, values), 2, rtol=1e-6)


def test_what_weighs_nothing_may_hold_anything():
    values = np.zeros((2, *SHAPE, 2), np.float32)
    land = np.broadcast_to(POINTS[..., 0] > 0, (2, *SHAPE))
    predicted = np.where(land[..., None], np.nan, np.float32(3))
    found = metrics.latitude_weighted_rmse(predicted, values, (~land).astype(np.float32))
    np.testing.assert_allclose(found, [3, 3], rtol=1e-6)


def test_what_is_no_field_is_refused():
    with pytest.raises(InputError, match='H >= 3 latitudes'):
        metrics.latitude_weighted_rmse(np.zeros((2, 8, 1)), np.zeros((2, 8, 1)))
