"""Cutting and stitching, over any number of axes."""

import numpy as np
import pytest

from hyperinr.errors import InputError
from hyperinr.own_files import tiling

CASES = {
    'exact': ((12, 16), (12, 16), 0),
    'two axes': ((13, 33), (4, 5), 0),
    'smaller than a tile': ((3, 4), (4, 5), 2),
    'one axis': ((23,), (6,), 2),
    'three axes': ((5, 7, 6), (4, 3, 4), 1),
    'four axes': ((3, 4, 3, 5), (2, 3, 2, 2), 1),
}


@pytest.mark.parametrize(('shape', 'tile', 'overlap'), CASES.values(), ids=CASES)
def test_stitch_undoes_cut(shape, tile, overlap):
    values = np.random.default_rng(0).uniform(size=(*shape, 3)).astype(np.float32)
    weight = np.random.default_rng(1).uniform(size=shape).astype(np.float32)
    tiles = tiling.cut(values, tile, overlap, weight=weight)
    assert tiles.values.shape == (np.prod(tiles.grid), *tile, 3)
    np.testing.assert_allclose(tiling.stitch(tiles.values, tiles.grid, shape, overlap), values, atol=1e-6)
    back = tiling.stitch(tiles.weight[..., None], tiles.grid, shape, overlap)[..., 0]
    np.testing.assert_allclose(back, weight, atol=1e-6)
    assert (tiles.weight > 0).all() or min(np.subtract(shape, tile)) < 0


def test_tiles_are_in_reading_order_and_the_last_ones_end_at_the_edge():
    image = np.arange(3 * 5, dtype=np.float32).reshape(3, 5, 1)
    tiles = tiling.cut(image, (2, 3))
    assert tiles.grid == (2, 2)
    np.testing.assert_array_equal(tiles.values[1, ..., 0], [[2, 3, 4], [7, 8, 9]])
    np.testing.assert_array_equal(tiles.values[2, ..., 0], [[5, 6, 7], [10, 11, 12]])


def test_a_signal_smaller_than_a_tile_is_padded():
    tiles = tiling.cut(np.arange(2, dtype=np.float32)[:, None], (3,))
    np.testing.assert_array_equal(tiles.values[..., 0], [[0, 1, 1]])
    np.testing.assert_array_equal(tiles.weight, [[1, 1, 0]])


def test_a_wrong_number_of_tiles_is_refused():
    with pytest.raises(InputError, match=r'has \(2,\) tiles'):
        tiling.stitch(np.zeros((3, 4, 1), np.float32), (3,), (8,))


def test_overlapping_tiles_share_samples():
    tiles = tiling.cut(np.arange(10, dtype=np.float32)[:, None], (4,), 1)
    np.testing.assert_array_equal(tiles.values[..., 0], [[0, 1, 2, 3], [3, 4, 5, 6], [6, 7, 8, 9]])


def test_blending_leaves_no_seam():
    """Two constant tiles: the step between them becomes a ramp over the samples that they share."""
    tiles = np.stack([np.zeros((8, 1)), np.ones((8, 1))]).astype(np.float32)
    hard = tiling.stitch(tiles, (2,), (16,))[:, 0]
    soft = tiling.stitch(tiles, (2,), (12,), 4)[:, 0]
    assert np.abs(np.diff(hard)).max() == 1
    np.testing.assert_allclose(soft, [0] * 4 + [0.2, 0.4, 0.6, 0.8] + [1] * 4, atol=1e-6)


@pytest.mark.parametrize('overlap', [-1, 4])
def test_an_overlap_of_a_whole_tile_is_refused(overlap):
    with pytest.raises(InputError, match='overlap by 0 to 3'):
        tiling.cut(np.zeros((9, 9, 1), np.float32), (4, 5), overlap)
