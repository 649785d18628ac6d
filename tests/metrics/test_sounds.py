"""Levels and distances of short-time spectra against SciPy and closed forms."""

import numpy as np
import pytest
from scipy import signal

from hyperinr import metrics
from hyperinr.errors import InputError

NOISE = np.random.default_rng(0).uniform(-0.5, 0.5, (2000, 1))


def test_levels_are_those_of_scipy():
    transform = signal.ShortTimeFFT(signal.windows.hann(128, sym=False), 32, 1.0, scale_to='magnitude')
    whole = transform.stft(NOISE[:, 0], p0=transform.lower_border_end[1], p1=transform.upper_border_begin(2000)[1])
    found = metrics.spectra_db(NOISE[:, 0], (-1.0, 1.0), 128, 32)
    np.testing.assert_allclose(found[:58], 20 * np.log10(2 * np.abs(whole.T[:58])), atol=1e-6)


def test_a_sine_that_fills_the_range_has_0_db_and_silence_the_floor():
    sine = 3 + 2 * np.sin(2 * np.pi * np.arange(512) * 16 / 128)
    levels = metrics.spectra_db(sine, (1.0, 5.0), 128)
    np.testing.assert_allclose(levels[:, 16], 0, atol=1e-6)
    np.testing.assert_allclose(levels[:, 30:], -80)


def test_a_sound_of_half_the_amplitude_is_6_db_away():
    loud = 0.9 * NOISE
    found = metrics.log_spectral_distance(np.stack([loud / 2, loud]), np.stack([loud, loud]), data_range=(-1.0, 1.0))
    np.testing.assert_allclose(found, [20 * np.log10(2), 0], atol=0.01)


def test_frames_with_a_sample_of_weight_0_are_left_out():
    weight = np.where(np.arange(2000) < 1000, 1, 0)
    damaged = np.where(weight[:, None] > 0, 0.5 * NOISE, np.nan)
    found = metrics.log_spectral_distance(damaged, NOISE, weight, data_range=(-1.0, 1.0), frame_size=64)
    expected = metrics.log_spectral_distance(0.5 * NOISE[:1000], NOISE[:1000], data_range=(-1.0, 1.0), frame_size=64)
    np.testing.assert_allclose(found, expected, rtol=1e-6)
    nothing = metrics.log_spectral_distance(NOISE, NOISE, 0 * weight, data_range=(-1.0, 1.0))
    assert np.isnan(nothing)


def test_less_than_a_frame_is_refused():
    with pytest.raises(InputError, match='at least one frame'):
        metrics.log_spectral_distance(NOISE[:100], NOISE[:100], data_range=(-1.0, 1.0))
