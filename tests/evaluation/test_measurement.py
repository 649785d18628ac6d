"""What is measured of a way of fitting, with a fit whose every step is known."""

import jax.numpy as jnp
import numpy as np
import pytest

from hyperinr import coordinates
from hyperinr.evaluation.measurement import measure
from hyperinr.fitting import FitResult
from hyperinr.types import Datapoint, DatasetSpec, Inr

SLOPE = Inr(lambda key, dims: {}, lambda weights, coords: coords[:, :1] * weights['layer_0']['w'], {})
"""An INR of one weight, the slope along the first coordinate."""


def halving(datapoints, *, num_steps, record_steps=()):
    """A fit whose slope begins at 2 and comes to 1 at the last step; the signals have slope 1."""
    slopes = np.linspace(2, 1, num_steps + 1, dtype=np.float32)
    mse = np.broadcast_to((slopes - 1) ** 2 / 3, (len(datapoints.coords), num_steps + 1))
    snapshots = np.broadcast_to(slopes[list(record_steps)], (len(mse), len(record_steps)))
    return FitResult({}, mse, {'layer_0': {'w': jnp.asarray(snapshots)}}, None, None, None)


def measured(spec, coords, **options):
    batch = Datapoint(
        coords=np.broadcast_to(coords, (2, *coords.shape)),
        values=np.broadcast_to(coords[:, :1], (2, len(coords), 1)),
        weight=np.ones((2, len(coords)), np.float32),
        index=np.arange(2),
    )
    return measure(
        halving, SLOPE, spec, batch, record_steps=(0, 2, 4), timed_steps=(0, 4), num_timing_datapoints=1, **options
    )


@pytest.mark.parametrize('num_kept', [0, 1, 5])
def test_a_signal_has_the_figures_of_its_kind_and_its_values_are_kept(num_kept):
    spec = DatasetSpec('sound', (40,), 40, 1, 1, (-1.0, 1.0), kind='sound')
    found = measured(spec, coordinates.grid((40,)), num_kept=num_kept)
    np.testing.assert_allclose(found.figures['snr_db'], [[0, 20 * np.log10(2), 300]] * 2, atol=1e-3)
    assert np.isnan(found.figures['log_spectral_distance_db']).all()
    if num_kept == 0:
        assert found.values is None
        return
    assert found.values.shape == (min(2, num_kept), 3, 40, 1)
    np.testing.assert_allclose(found.values[-1, 1, :, 0], 1.5 * coordinates.grid((40,))[:, 0], rtol=1e-6)


def test_solids_at_scattered_points_are_judged_at_points_of_their_own():
    """A signed distance of slope s to the plane x = 0 is right at every s; shifted probes see another plane."""
    spec = DatasetSpec('solids', None, 50, 3, 1, (-1.0, 1.0), kind='signed_distance')
    points = np.random.default_rng(0).uniform(-1, 1, (50, 3)).astype(np.float32)
    found = measured(spec, points, num_kept=2)
    np.testing.assert_array_equal(found.figures['iou'], 1)
    assert found.values is None
    x = np.linspace(-1, 1, 401, dtype=np.float32)[:, None]
    probes = Datapoint(
        coords=np.broadcast_to(np.pad(x, ((0, 0), (0, 2))), (2, 401, 3)),
        values=np.broadcast_to(x + 0.5, (2, 401, 1)),
        weight=np.ones((2, 401), np.float32),
        index=np.arange(2),
    )
    np.testing.assert_allclose(measured(spec, points, probes=probes).figures['iou'], 0.5, atol=0.01)


def test_scattered_points_of_other_data_have_no_figures():
    spec = DatasetSpec('points', None, 30, 1, 1, (-1.0, 1.0))
    found = measured(spec, np.linspace(-1, 1, 30, dtype=np.float32)[:, None], num_kept=2)
    assert (found.figures, found.values) == ({}, None)
