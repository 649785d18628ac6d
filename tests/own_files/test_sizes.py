"""What `fit-one` chooses by the size of a signal."""

import numpy as np
import pytest

from hyperinr import coordinates
from hyperinr.kinds import Signal
from hyperinr.own_files.sizes import points_of_step, siren_size, steps_of_fit

PLAIN = (3, 64, 30.0, 30.0)
CASES = {
    'tile': ((32, 32), {}, PLAIN),
    'small image': ((128, 128), {}, PLAIN),
    'small volume': ((16, 16, 16), {}, PLAIN),
    'small field': ((73, 144), {'layout': coordinates.SPHERE}, PLAIN),
    'spoken digit': ((4000,), {}, (3, 64, 950.0, 30.0)),
    'music': ((308207,), {}, (3, 256, 8300.0, 30.0)),
    'photograph': ((512, 512), {}, (3, 256, 57.0, 30.0)),
    '24 megapixels': ((4000, 6000), {}, (3, 256, 100.0, 30.0)),
    'video': ((250, 272, 640), {}, (3, 256, 60.0, 30.0)),
    'field': ((241, 480), {'layout': coordinates.SPHERE}, (3, 128, 56.0, 30.0)),
    'scattered points': ((64**3,), {'coords': np.broadcast_to(np.float32(0), (64**3, 3))}, (3, 256, 34.0, 30.0)),
}


@pytest.mark.parametrize('name', CASES)
def test_the_siren_grows_with_the_signal(name):
    shape, places, expected = CASES[name]
    signal = Signal(np.broadcast_to(np.float32(0), (*shape, 1)), (0.0, 1.0), **places)
    assert siren_size(signal) == expected


@pytest.mark.parametrize(
    ('asked', 'total', 'drawn', 'measured', 'steps'),
    [
        (None, 2**14, 2**14, 2**14, 500),
        (None, 2**14 + 1, 2**13, 2**14, 5000),
        (None, 24 * 10**6, 2**13, 2**14, 5000),
        (10**5, 24 * 10**6, 10**5, 10**5, 5000),
        (20, 192, 20, 192, 5000),
        (10**9, 10**6, 10**6, 10**6, 500),
    ],
)
def test_many_points_are_drawn_and_few_are_all_seen(asked, total, drawn, measured, steps):
    points = points_of_step(asked, total)
    assert (points.drawn, points.measured, points.sees_all) == (drawn, measured, drawn == total)
    assert steps_of_fit(None, points) == steps
    assert steps_of_fit(7, points) == 7
