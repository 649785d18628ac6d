"""Drawings of each kind of signal: what stands where, and which way it points."""

import numpy as np
import pytest

from hyperinr import coordinates, panels
from hyperinr.errors import InputError
from hyperinr.types import DatasetSpec


def make_spec(shape, channels=1, kind=None, *, data_range=(0.0, 1.0), layout='pixel_centres'):
    dims = coordinates.dims(shape, layout)
    return DatasetSpec('any', shape, int(np.prod(shape)), dims, channels, data_range, kind=kind, layout=layout)


def drawn(values, kind=None, **options):
    """The panel; it is RGB in [0, 1] whatever the kind."""
    found = panels.panel(values, make_spec(values.shape[:-1], values.shape[-1], kind, **options))
    assert found.ndim == 3
    assert found.shape[-1] == 3
    assert 0 <= found.min() <= found.max() <= 1
    return found


def test_an_image_is_itself_and_two_channels_stand_side_by_side():
    image = np.random.default_rng(0).uniform(-1, 1, (4, 5, 3)).astype(np.float32)
    np.testing.assert_allclose(drawn(image, 'image', data_range=(-1.0, 1.0)), (image + 1) / 2)
    np.testing.assert_array_equal(drawn(2 * image[..., :1]), np.repeat(np.clip(2 * image[..., :1], 0, 1), 3, axis=-1))
    two = drawn(image[..., :2], data_range=(-1.0, 1.0))
    np.testing.assert_allclose(two[:, :5], np.repeat((image[..., :1] + 1) / 2, 3, axis=-1), rtol=1e-6)
    np.testing.assert_array_equal(two[:, 5], 1)
    np.testing.assert_allclose(two[:, 6:], np.repeat((image[..., 1:2] + 1) / 2, 3, axis=-1), rtol=1e-6)
    assert drawn(np.zeros((4, 5, 9))).shape == (4, 4 * 5 + 3, 3)


def test_a_fourth_channel_of_an_image_is_how_much_covers_the_white():
    image = np.full((2, 2, 4), 0.5)
    image[0, 0, 3] = 0
    found = drawn(image, 'image')
    np.testing.assert_array_equal(found[0, 0], 1)
    np.testing.assert_array_equal(found[1, 1], 0.75)
    assert drawn(image).shape == (2, 11, 3)


@pytest.mark.parametrize('count', [20, 4000])
def test_a_waveform_goes_up_with_its_values_and_to_the_right_in_time(count):
    values = np.linspace(-1, 1, count)[:, None]
    ink = drawn(values, data_range=(-1.0, 1.0))[..., 0] < 0.5
    heights = ink.argmax(axis=0)
    np.testing.assert_allclose(heights, np.linspace(63, 0, 256), atol=1.5)
    assert ink.sum(axis=0).max() <= 4
    peak = np.zeros((count, 2))
    peak[count // 4, 1] = 1
    ink = drawn(peak, data_range=(-1.0, 1.0))[..., 0] < 0.5
    assert np.argwhere(ink[64:]).min(axis=0)[0] == 0
    assert ink[64:67].any(axis=0).argmax() == pytest.approx(64, abs=13 if count == 20 else 2)
    assert not ink[:24].any()


def test_a_spectrogram_shows_when_a_tone_sounds_and_how_high_it_is():
    """A period of 8 samples is a quarter of half the sampling rate."""
    time = np.arange(4000)
    tone = np.where(time < 2000, 0.5 * np.sin(2 * np.pi * time / 8), 0)[:, None]
    found = drawn(tone, 'sound', data_range=(-1.0, 1.0))[64:, :, 0]
    assert found.shape == (64, 256)
    assert found[:, 100].argmin() == pytest.approx(63 - 64 / 4, abs=1)
    assert found[:, 100].min() < 0.2
    np.testing.assert_array_equal(found[:, 200:], 1)
    assert drawn(tone[:40], 'sound', data_range=(-1.0, 1.0)).shape == (64, 256, 3)


@pytest.mark.parametrize('kind', [None, 'volume'])
def test_a_volume_is_cut_through_the_middle_across_each_axis(kind):
    volume = np.random.default_rng(0).uniform(0, 1, (4, 6, 5, 1)).astype(np.float32)
    found = drawn(volume, kind)[..., 0]
    assert found.shape == (6, 5 + 1 + 5 + 1 + 6)
    np.testing.assert_array_equal(found[:, :5], volume[2, :, :, 0])
    np.testing.assert_array_equal(found[:4, 6:11], volume[:, 3, :, 0])
    np.testing.assert_array_equal(found[:4, 12:], volume[:, :, 2, 0])
    assert (found[4:, 6:] == 1).all()
    np.testing.assert_array_equal(drawn(volume[None])[..., 0], found)


def test_a_video_is_a_strip_of_frames():
    video = np.broadcast_to(np.linspace(0, 1, 15)[:, None, None, None], (15, 3, 4, 3))
    found = drawn(video, 'video')
    assert found.shape == (3, 8 * 4 + 7, 3)
    np.testing.assert_allclose(found[0, ::5, 0], np.linspace(0, 1, 8))


def test_a_map_has_north_above_and_greenwich_in_the_middle():
    points = coordinates.grid((5, 8), 'sphere').reshape(5, 8, 3)
    found = drawn(points, 'field', data_range=(-1.0, 1.0), layout='sphere')
    assert found[0, :, 2].min() == 1
    assert found[2, :, 0].argmax() == 4
    assert found[2, :, 1].argmax() == 6


@pytest.mark.parametrize('kind', ['occupancy', 'signed_distance'])
def test_a_solid_is_seen_from_the_front_lit_from_above(kind):
    x, y, z = coordinates.grid((24, 24, 24)).T
    ball = np.sqrt((x - 0.3) ** 2 + y**2 + (z - 0.2) ** 2) - 0.5
    values = np.clip(0.5 - 4 * ball, 0, 1) if kind == 'occupancy' else ball
    found = drawn(values.reshape(24, 24, 24, 1), kind, data_range=(-1.0, 2.0))
    assert found.shape == (24, 24, 3)
    rows, columns = np.nonzero(found[..., 0] < 1)
    assert (columns.mean() + 0.5) / 12 - 1 == pytest.approx(0.3, abs=0.05)
    assert 1 - (rows.mean() + 0.5) / 12 == pytest.approx(0.2, abs=0.05)
    top, bottom = found[rows.min() + 2, 15, 0], found[rows.max() - 2, 15, 0]
    assert top > bottom + 0.2
    behind = np.where((y > 0.5) & (ball > 0), 0.9 if kind == 'occupancy' else -0.9, values)
    hidden = drawn(behind.reshape(24, 24, 24, 1), kind, data_range=(-1.0, 2.0))
    np.testing.assert_array_equal(hidden[8:11, 14:17], found[8:11, 14:17])
    assert drawn(np.full((4, 1, 1, 1), 0.5), kind).min() == 1
    assert drawn(np.full((1, 4, 1, 1), 0.9 if kind == 'occupancy' else -0.9), kind, data_range=(-1.0, 2.0)).max() < 1


def test_an_error_is_a_fraction_of_the_range_and_of_a_sound_a_stripe_of_means():
    original = np.zeros((1024, 2))
    values = np.where(np.arange(1024)[:, None] < 512, [0.2, 0.4], 0)
    found = panels.error_panel(values, original, make_spec((1024,), 2, 'sound', data_range=(-1.0, 1.0)), gain=5.0)
    assert found.shape == (32, 256, 3)
    np.testing.assert_allclose(found[:, :128], 0.75, rtol=1e-6)
    np.testing.assert_array_equal(found[:, 128:], 0)


def test_panels_of_any_size_are_laid_out_by_row():
    first, second = np.zeros((2, 3, 3)), np.full((1, 1, 3), 0.5)
    found = panels.mosaic([[first, second], [second, first]], gap=1)[..., 0]
    rows = [[0, 0, 0, 1, 0.5, 1, 1], [0, 0, 0, 1, 1, 1, 1], [1] * 7, [0.5, 1, 1, 1, 0, 0, 0], [1] * 4 + [0] * 3]
    np.testing.assert_array_equal(found, rows)
    large = panels.mosaic([[first, second], [second, first]], enlarge=3, gap=3)[..., 0]
    np.testing.assert_array_equal(large[::3, ::3], rows)


@pytest.mark.parametrize(
    ('kind', 'shape'),
    [('sound', (600,)), ('image', (4, 5)), ('video', (9, 4, 5)), ('volume', (4, 4, 4)), ('occupancy', (4, 4, 4))],
)
def test_what_a_diverged_inr_gives_is_drawn(kind, shape):
    for content in (np.nan, np.inf, -np.inf, 1e38):
        values = np.full((*shape, 1), 0.3)
        values[1:3] = content
        assert np.isfinite(drawn(values, kind)).all()
        assert np.isfinite(panels.error_panel(values, np.zeros_like(values), make_spec(shape, 1, kind))).all()


def test_what_lies_on_no_grid_is_not_drawn():
    for spec in (make_spec((4, 4)), make_spec((8,))._replace(grid_shape=None)):
        with pytest.raises(InputError, match='do not lie on a grid'):
            panels.panel(np.zeros((8, 1)), spec)
