"""Pictures: what is computed for them, and that the files are what they should be."""

import sys

import numpy as np
import pytest
from PIL import Image

from hyperinr import panels
from hyperinr.errors import InputError
from hyperinr.evaluation.curves import Example
from hyperinr.inspection import pictures
from hyperinr.types import DatasetSpec


def make_example(channels=3, error=0.1):
    original = np.full((8, 10, channels), 0.5, np.float32)
    weight = np.ones((8, 10), np.float32)
    weight[:, 8:] = 0
    reconstructions = {'far': original + error, 'near': original}
    spec = DatasetSpec('waves', (8, 10), 80, 2, channels, (0.0, 1.0))
    return Example('wave', spec, original, weight, reconstructions, {'far': 20.0, 'near': 99.0})


CURVES = {
    name: {
        'steps': [0, 1, 3],
        'psnr_db': [10.0, 20.0, 30.0],
        'seconds': [0.001, 0.002, 0.004],
        'psnr_db_per_datapoint': [[9.0, 19.0, 29.0], [11.0, 21.0, 31.0]],
    }
    for name in ('generated', 'random')
}


def test_error_maps_measure_and_leave_padding_out():
    error = pictures.error_map(make_example(error=0.25), 'far')
    np.testing.assert_allclose(error[:, :8], 0.25, rtol=1e-6)
    np.testing.assert_array_equal(error[:, 8:], 0)


@pytest.mark.parametrize('channels', [1, 2, 3])
def test_each_example_is_a_row(tmp_path, channels):
    sizes = []
    for count in (1, 2):
        path = pictures.draw_comparison(tmp_path / f'{count}.png', [make_example(channels)] * count)
        with Image.open(path) as picture:
            sizes.append(picture.size)
    assert sizes[1] == (sizes[0][0], 2 * sizes[0][1])


def images_in(figure):
    return [np.asarray(axes.images[0].get_array()) for axes in figure.axes]


def titles_in(figure):
    return [axes.get_title() for axes in figure.axes]


def test_a_comparison_shows_the_images_and_their_psnr(tmp_path, figures):
    example = make_example(error=0.1)
    pictures.draw_comparison(tmp_path / 'a.png', [example])
    for shown, image in zip(images_in(figures[0]), [example.original, *example.reconstructions.values()], strict=True):
        np.testing.assert_allclose(shown, image, atol=1e-6)
    assert titles_in(figures[0]) == ['original\nwave', 'far\n20.0 dB', 'near\n99.0 dB']


def test_errors_are_shown_on_one_scale(tmp_path, figures):
    pictures.draw_errors(tmp_path / 'a.png', [make_example(error=0.1), make_example(error=0.3)])
    _, far, near, _, farther, _ = images_in(figures[0])
    assert (far.max(), near.max(), farther.max()) == pytest.approx((0.1, 0, 0.3), abs=1e-6)
    scales = [axes.images[0].get_clim() for axes in figures[0].axes]
    np.testing.assert_allclose([scales[1], scales[2], scales[4]], [(0, 0.3)] * 3, atol=1e-6)
    assert '0.3 (white)' in figures[0].get_suptitle()


def test_a_sound_is_drawn_as_a_waveform_and_its_error_as_a_stripe(tmp_path, figures):
    sound = np.sin(np.arange(600, dtype=np.float32))[:, None]
    spec = DatasetSpec('sounds', (600,), 600, 1, 1, (-1.0, 1.0), kind='sound')
    example = Example('voice', spec, sound, np.ones(600, np.float32), {'near': 0.9 * sound}, {'near': 26.0})
    for draw in (pictures.draw_comparison, pictures.draw_errors):
        draw(tmp_path / 'a.png', [example])
    compared, errors = map(images_in, figures)
    np.testing.assert_array_equal(compared[1], panels.panel(0.9 * sound, spec))
    assert errors[1].shape == (32, 256)
    np.testing.assert_allclose(errors[1].mean(), 0.1 * np.abs(sound).mean(), rtol=0.02)


def test_equal_images_have_no_error(tmp_path, figures):
    pictures.draw_errors(tmp_path / 'a.png', [make_example(error=0.0)])
    assert titles_in(figures[0])[1:] == ['far\nlargest 0', 'near\nlargest 0']
    assert not any(image.any() for image in images_in(figures[0])[1:])


def test_curves_are_drawn_over_steps_and_milliseconds_with_a_gap_where_a_value_is_missing(tmp_path, figures):
    pictures.draw_curves(tmp_path / 'a.png', {**CURVES, 'random': {**CURVES['random'], 'psnr_db': [None, 20.0, 30.0]}})
    by_steps, by_seconds = figures[0].axes
    for axes, x in ((by_steps, [0, 1, 3]), (by_seconds, [1, 2, 4])):
        whole, broken = (line.get_xydata() for line in axes.lines)
        np.testing.assert_allclose(whole, np.transpose([x, [10, 20, 30]]))
        np.testing.assert_allclose(broken, np.transpose([x, [np.nan, 20, 30]]))
        quartiles = axes.collections[0].get_paths()[0].vertices
        assert {9.5, 10.5, 29.5, 30.5} <= set(np.round(quartiles[:, 1], 6))


def test_without_matplotlib_the_extra_is_named(tmp_path, monkeypatch):
    for name in [name for name in sys.modules if name.partition('.')[0] == 'matplotlib']:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, 'matplotlib', None)
    with pytest.raises(InputError, match=r'hyperinr\[viz\]'):
        pictures.draw_curves(tmp_path / 'a.png', CURVES)
    assert not list(tmp_path.iterdir())
