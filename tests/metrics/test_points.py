"""Errors of points against closed forms and loops."""

import numpy as np
import pytest

from hyperinr import metrics


def test_a_constant_error_of_a_tenth_is_20_db():
    values = np.random.default_rng(0).uniform(0.2, 0.8, (50, 3)).astype(np.float32)
    assert float(metrics.psnr(values + 0.1, values, data_range=(0.0, 1.0))) == pytest.approx(20, abs=1e-4)


def test_weights_count_as_repetitions():
    rng = np.random.default_rng(1)
    predicted, values = rng.normal(size=(2, 5, 3)).astype(np.float32)
    counts = np.array([0, 1, 3, 2, 0])
    repeated = metrics.mean_squared_error(np.repeat(predicted, counts, 0), np.repeat(values, counts, 0))
    np.testing.assert_allclose(metrics.mean_squared_error(predicted, values, counts), repeated, rtol=1e-6)
    np.testing.assert_allclose(metrics.mean_squared_error(predicted, values, 0.1 * counts), repeated, rtol=1e-6)


def test_leading_axes_are_kept():
    rng = np.random.default_rng(2)
    predicted, values = rng.normal(size=(2, 4, 2, 5, 3)).astype(np.float32)
    weight = rng.uniform(size=(4, 2, 5)).astype(np.float32)
    found = metrics.psnr(predicted, values, weight, data_range=(0.0, 1.0))
    assert found.shape == (4, 2)
    for row in np.ndindex(4, 2):
        squares = ((predicted[row].astype(np.float64) - values[row]) ** 2).mean(-1)
        expected = -10 * np.log10((squares * weight[row]).sum() / weight[row].sum())
        np.testing.assert_allclose(found[row], expected, rtol=1e-5)


def test_the_signal_to_noise_ratio_is_that_of_the_powers():
    """A tenth of the amplitude is 20 dB, and white noise of deviation 0.01 under a sine 10 log10(0.5 / 1e-4)."""
    values = np.sin(0.1 * np.arange(100_000, dtype=np.float32))[:, None]
    noise = 0.01 * np.random.default_rng(0).normal(size=values.shape).astype(np.float32)
    assert float(metrics.signal_to_noise_ratio(0.9 * values, values)) == pytest.approx(20, abs=1e-3)
    assert float(metrics.signal_to_noise_ratio(values + noise, values)) == pytest.approx(36.99, abs=0.05)
    half = np.where(np.arange(100_000) < 500, 0.0, 1.0)
    damaged = np.where(half[:, None] > 0, 0.9 * values, np.nan)
    assert float(metrics.signal_to_noise_ratio(damaged, values, half)) == pytest.approx(20, abs=1e-3)
    assert metrics.signal_to_noise_ratio(values, values) == metrics.MOST_DB
    assert metrics.signal_to_noise_ratio(values, 0 * values) == -np.inf
