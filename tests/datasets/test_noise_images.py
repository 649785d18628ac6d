"""Noise: its spectrum and its distribution."""

import numpy as np
import pytest

from hyperinr import datasets
from hyperinr.errors import InputError


def images(**options):
    source = datasets.noise_images(resolution=(64, 64), channels=1, num_train=24, **options).splits['train']
    return np.stack([source.image(index)[..., 0] for index in range(24)])


@pytest.mark.parametrize('exponent', [0.5, 1.0, 1.5])
def test_the_spectrum_falls_as_asked_for(exponent):
    """The slope of log amplitude against log frequency over two octaves, averaged over images; little is clipped."""
    power = np.mean(np.abs(np.fft.fft2(images(exponent=exponent, contrast=0.05) - 0.5)) ** 2, axis=0)
    frequency = np.hypot(*np.meshgrid(*[np.fft.fftfreq(64)] * 2, indexing='ij'))
    band = (frequency > 0.06) & (frequency < 0.3)
    slope, _ = np.polyfit(np.log(frequency[band]), 0.5 * np.log(power[band]), 1)
    np.testing.assert_allclose(-slope, exponent, atol=0.12)


@pytest.mark.parametrize('contrast', [0.05, 0.1])
def test_the_contrast_is_the_one_asked_for(contrast):
    np.testing.assert_allclose(np.std(images(exponent=1.0, contrast=contrast)), contrast, rtol=0.1)


def test_no_exponent_is_uniform():
    values = images(exponent=0.0)
    np.testing.assert_allclose(np.histogram(values, bins=8, range=(0, 1))[0] / values.size, 1 / 8, rtol=0.05)
    power = np.mean(np.abs(np.fft.fft2(values - 0.5)) ** 2, axis=0)
    np.testing.assert_allclose(power[1:20, 1:20].mean(), power[20:32, 20:32].mean(), rtol=0.1)


@pytest.mark.parametrize('change', [{'exponent': -1.0}, {'contrast': 0.0}, {'channels': 2}])
def test_wrong_arguments_are_named(change):
    with pytest.raises(InputError, match=next(iter(change))):
        datasets.noise_images(**change)
