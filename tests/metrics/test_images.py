"""SSIM against scikit-image, and what it shares with PSNR."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from hyperinr import metrics


def pictures(shape, channels=3, seed=0):
    """A smooth picture in [0, 1] and the same with noise."""
    rng = np.random.default_rng(seed)
    rows, columns = np.meshgrid(*(np.linspace(0, 1, size) for size in shape), indexing='ij')
    clean = np.stack([0.5 + 0.4 * np.sin(5 * (c + 1) * rows + 7 * columns) for c in range(channels)], axis=-1)
    noisy = np.clip(clean + 0.1 * rng.normal(size=clean.shape), 0, 1)
    return clean.astype(np.float32), noisy.astype(np.float32)


@pytest.mark.parametrize('data_range', [(-1.0, 1.0), (0.0, 255.0), (10.0, 14.0)])
def test_psnr_and_ssim_do_not_depend_on_the_units(data_range):
    low, high = data_range
    clean, noisy = pictures((16, 13))
    scaled = lambda image: low + (high - low) * image
    flat = lambda image: image.reshape(-1, 3)
    for measure, form in ((metrics.psnr, flat), (metrics.ssim, lambda image: image)):
        expected = measure(form(noisy), form(clean), data_range=(0.0, 1.0))
        found = measure(form(scaled(noisy)), form(scaled(clean)), data_range=data_range)
        np.testing.assert_allclose(found, expected, rtol=2e-4)
        assert not np.allclose(measure(form(noisy), form(clean), data_range=(0.0, 2.0)), expected, rtol=1e-3)


def test_a_perfect_reconstruction_has_the_highest_psnr_and_unit_ssim():
    clean, _ = pictures((12, 12))
    assert metrics.psnr(clean.reshape(-1, 3), clean.reshape(-1, 3), data_range=(0.0, 1.0)) == metrics.MOST_DB
    assert float(metrics.ssim(clean, clean, data_range=(0.0, 1.0))) == pytest.approx(1, abs=1e-6)


@pytest.mark.parametrize(('shape', 'channels'), [((11, 11), 1), ((16, 24), 3), ((40, 13), 3)])
@pytest.mark.parametrize('data_range', [(0.0, 1.0), (-1.0, 1.0)])
def test_ssim_is_scikit_images(shape, channels, data_range):
    """Both average over the pixels whose whole window lies inside. Variances in float32 cost 1e-5."""
    skimage_metrics = pytest.importorskip('skimage.metrics')
    clean, noisy = pictures(shape, channels)
    low, high = data_range
    expected = skimage_metrics.structural_similarity(
        clean.astype(np.float64),
        noisy.astype(np.float64),
        data_range=high - low,
        channel_axis=-1,
        gaussian_weights=True,
        sigma=1.5,
        use_sample_covariance=False,
    )
    # Scikit-image takes values as they are; ours are measured from the low end of their range.
    found = metrics.ssim(noisy + low, clean + low, data_range=data_range)
    np.testing.assert_allclose(found, expected, atol=2e-5)


@pytest.mark.parametrize('option', [{'window_size': 7}, {'sigma': 0.8}])
def test_the_window_of_ssim_is_configurable(option):
    clean, noisy = pictures((16, 16))
    default = metrics.ssim(noisy, clean, data_range=(0.0, 1.0))
    assert abs(float(metrics.ssim(noisy, clean, data_range=(0.0, 1.0), **option)) - float(default)) > 1e-3


def test_ssim_has_finite_gradients_where_images_are_flat():
    flat = jnp.zeros((12, 12, 1))
    gradient = jax.grad(lambda image: metrics.ssim(image, flat, data_range=(0.0, 1.0)))(flat)
    assert np.isfinite(gradient).all()


def test_an_image_smaller_than_the_window_is_refused():
    clean, noisy = pictures((10, 30))
    with pytest.raises(ValueError, match='at least 11 x 11 pixels'):
        metrics.ssim(noisy, clean, data_range=(0.0, 1.0))
