"""Pictures: what is computed for them, and that the files are what they should be."""

import sys

import numpy as np
import pytest
from PIL import Image

from hyperinr.errors import InputError
from hyperinr.evaluation.curves import Example
from hyperinr.inspection import pictures


def make_example(channels=3, error=0.1):
    original = np.full((8, 10, channels), 0.5, np.float32)
    weight = np.ones((8, 10), np.float32)
    weight[:, 8:] = 0
    reconstructions = {'far': original + error, 'near': original}
    return Example('wave', (0.0, 1.0), original, weight, reconstructions, {'far': 20.0, 'near': 99.0})


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


def test_what_is_drawn_depends_on_the_values(tmp_path):
    draw = lambda name, error: pictures.draw_errors(tmp_path / name, [make_example(error=error)]).read_bytes()
    assert draw('a.png', 0.1) != draw('b.png', 0.3)
    assert draw('a.png', 0.1) == draw('b.png', 0.1)


def test_equal_images_can_be_drawn(tmp_path):
    assert pictures.draw_errors(tmp_path / 'a.png', [make_example(error=0.0)]).stat().st_size > 0


def test_curves_draw_missing_values(tmp_path):
    broken = {**CURVES['random'], 'psnr_db': [None, 20.0, 30.0]}
    with_gap = pictures.draw_curves(tmp_path / 'a.png', {**CURVES, 'random': broken})
    whole = pictures.draw_curves(tmp_path / 'b.png', CURVES)
    assert with_gap.read_bytes() != whole.read_bytes()


def test_without_matplotlib_the_extra_is_named(tmp_path, monkeypatch):
    for name in [name for name in sys.modules if name.partition('.')[0] == 'matplotlib']:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, 'matplotlib', None)
    with pytest.raises(InputError, match=r'hyperinr\[viz\]'):
        pictures.draw_curves(tmp_path / 'a.png', CURVES)
    assert not list(tmp_path.iterdir())
