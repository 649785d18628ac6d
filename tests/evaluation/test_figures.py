"""Figures of each kind of signal, against other programs and closed forms."""

import numpy as np
import pytest
from skimage.metrics import structural_similarity

from hyperinr import coordinates, metrics
from hyperinr.evaluation import figures
from hyperinr.types import DatasetSpec


def reference_ssim(image, original):
    return structural_similarity(
        image, original, channel_axis=-1, data_range=1.0, gaussian_weights=True, sigma=1.5, use_sample_covariance=False
    )


def test_ssim_looks_at_the_unpadded_rectangle_only():
    rng = np.random.default_rng(0)
    original = rng.uniform(0, 1, (20, 24, 3)).astype(np.float32)
    image = np.clip(original + rng.normal(0, 0.1, original.shape), 0, 1).astype(np.float32)
    weight = np.zeros((20, 24), np.float32)
    weight[3:19, 2:22] = 0.5
    damaged = np.where(weight[..., None] > 0, image, 7.0).astype(np.float32)
    found = figures.masked_ssim(np.stack([image, damaged, original]), original, weight, data_range=(0.0, 1.0))
    np.testing.assert_allclose(found[0], found[1])
    np.testing.assert_allclose(found[2], 1, rtol=1e-5)
    assert 0 < found[0] < 1
    full = figures.masked_ssim(image[None], original, np.ones_like(weight), data_range=(0.0, 1.0))
    np.testing.assert_allclose(full[0], reference_ssim(image, original), atol=1e-4)


def test_ssim_of_less_than_a_window_is_not_a_number():
    image = np.zeros((1, 20, 20, 1), np.float32)
    weight = np.zeros((20, 20), np.float32)
    weight[:10] = 1
    assert np.isnan(figures.masked_ssim(image, image[0], weight, data_range=(0.0, 1.0))).all()


def measured(spec, original, *reconstructions, weight=None):
    """Every figure that suits the data, of reconstructions of one signal."""
    weight = np.ones(original.shape[:-1], np.float32) if weight is None else weight
    values = np.stack(reconstructions)
    return {name: each.measure(values, original, weight, spec) for name, each in figures.figures_of(spec).items()}


def make_spec(shape, channels, data_range, kind, layout='pixel_centres'):
    dims = coordinates.dims(shape, layout)
    return DatasetSpec('any', shape, int(np.prod(shape)), dims, channels, data_range, kind=kind, layout=layout)


def test_a_sound_has_decibels_of_its_waveform_and_of_its_spectra():
    sound = np.random.default_rng(0).uniform(0, 0.5, (600, 1)).astype(np.float32)  # Silence is 1.
    spec = make_spec((600,), 1, (0.0, 2.0), 'sound')
    found = measured(spec, 1 + sound, 1 + 0.9 * sound, 1 + sound)
    np.testing.assert_allclose(found['snr_db'], [20, metrics.MOST_DB], rtol=1e-3)
    np.testing.assert_allclose(found['log_spectral_distance_db'], [-20 * np.log10(0.9), 0], atol=0.01)
    assert np.isnan(measured(spec, sound[:100], sound[:100])['log_spectral_distance_db'])


def test_a_field_has_its_error_in_the_unit_of_its_source():
    spec = make_spec((7, 8), 1, (0.0, 1.0), 'field', 'sphere')._replace(source_range=(-40.0, 60.0))
    field = np.zeros((7, 8, 1), np.float32)
    np.testing.assert_allclose(measured(spec, field, field + 0.02, field)['rmse'], [2, 0], rtol=1e-5)
    np.testing.assert_allclose(measured(spec._replace(source_range=None), field, field + 0.02)['rmse'], 0.02, rtol=1e-5)


@pytest.mark.parametrize('kind', ['occupancy', 'signed_distance'])
def test_a_solid_has_the_overlap_of_its_volumes_on_a_grid_and_at_points(kind):
    points = coordinates.grid((12, 12, 12))
    sign, middle = (-1, 0.5) if kind == 'occupancy' else (1, 0)
    boxes = [middle + sign * (np.abs(points).max(axis=1, keepdims=True) - half) for half in (0.5, 1.0)]
    spec = make_spec((12, 12, 12), 1, (-1.0, 2.0), kind)
    on_grid = [box.reshape(12, 12, 12, 1) for box in boxes]
    np.testing.assert_allclose(measured(spec, on_grid[1], *on_grid)['iou'], [1 / 8, 1])
    np.testing.assert_allclose(measured(spec._replace(grid_shape=None), boxes[1], *boxes)['iou'], [1 / 8, 1])


@pytest.mark.parametrize('kind', ['video', 'volume'])
def test_frames_and_slices_have_the_mean_of_their_ssim(kind):
    rng = np.random.default_rng(0)
    original = rng.uniform(0, 1, (3, 20, 24, 3)).astype(np.float32)
    noisy = (original + rng.normal(0, [[[[0.1]]], [[[0.2]]], [[[0.3]]]], original.shape)).astype(np.float32)
    expected = np.mean([reference_ssim(*pair) for pair in zip(noisy, original, strict=True)])
    found = measured(make_spec((3, 20, 24), 3, (0.0, 1.0), kind), original, noisy, original)
    np.testing.assert_allclose(found['ssim'], [expected, 1], atol=1e-4)


def test_data_without_a_kind_have_the_figures_of_their_grid():
    for shape, names in (((9,), []), ((9, 8), ['ssim']), ((9, 8, 7), [])):
        assert list(figures.figures_of(make_spec(shape, 1, (0.0, 1.0), None))) == names
    older = DatasetSpec('shapes of an older version', None, 50, 3, 1, (0.0, 1.0))
    assert list(figures.figures_of(older)) == ['iou']
    assert list(figures.figures_of(older._replace(kind='volume'))) == []
    assert {name for names in figures.BY_KIND.values() for name in names} | {'rmse', 'iou'} == figures.FIGURES.keys()


def test_small_images_have_no_ssim():
    image = np.zeros((10, 30, 1), np.float32)
    assert np.isnan(measured(make_spec((10, 30), 1, (0.0, 1.0), 'image'), image, image)['ssim']).all()
