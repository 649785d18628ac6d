"""Metrics against closed forms and scikit-image."""

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


def test_a_constant_error_of_a_tenth_is_20_db():
    values = np.random.default_rng(0).uniform(0.2, 0.8, (50, 3)).astype(np.float32)
    assert float(metrics.psnr(values + 0.1, values, data_range=(0.0, 1.0))) == pytest.approx(20, abs=1e-4)


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


def test_intersection_over_union_is_that_of_a_loop_and_of_the_volumes_of_balls():
    rng = np.random.default_rng(0)
    first, second, weight = rng.random((3, 9)) > 0.5, rng.random((3, 9)) > 0.5, rng.random((3, 9)).astype(np.float32)
    found = metrics.intersection_over_union(first, second, weight)
    for row in range(3):
        both = sum(w for a, b, w in zip(first[row], second[row], weight[row], strict=True) if a and b)
        either = sum(w for a, b, w in zip(first[row], second[row], weight[row], strict=True) if a or b)
        np.testing.assert_allclose(found[row], both / either, rtol=1e-5)
    radii = np.linalg.norm(rng.uniform(-1, 1, (100_000, 3)), axis=1)
    np.testing.assert_allclose(metrics.intersection_over_union(radii < 0.5, radii < 0.8), (0.5 / 0.8) ** 3, rtol=0.05)
    assert metrics.intersection_over_union(radii < 0, radii < 0) == 1
    assert metrics.intersection_over_union(radii < 0, radii < 0.5) == 0
