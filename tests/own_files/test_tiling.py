"""Cutting and stitching."""

import numpy as np
import pytest

from hyperinr.own_files import tiling


@pytest.mark.parametrize('shape', [(12, 16), (13, 16), (5, 7), (24, 33)])
@pytest.mark.parametrize('tile', [(12, 16), (4, 5)])
def test_stitch_undoes_cut(shape, tile):
    image = np.random.default_rng(0).uniform(size=(*shape, 3)).astype(np.float32)
    tiles = tiling.cut(image, tile)
    assert tiles.values.shape[1:] == (*tile, 3)
    assert tiles.weight.sum() == shape[0] * shape[1]
    np.testing.assert_array_equal(tiling.stitch(tiles.values, tiles.grid, shape), image)


def test_tiles_are_in_reading_order_with_padding_at_the_far_edges():
    image = np.arange(3 * 5, dtype=np.float32).reshape(3, 5, 1)
    tiles = tiling.cut(image, (2, 3))
    assert tiles.grid == (2, 2)
    np.testing.assert_array_equal(tiles.values[1, ..., 0], [[3, 4, 4], [8, 9, 9]])
    np.testing.assert_array_equal(tiles.weight[1], [[1, 1, 0], [1, 1, 0]])
    np.testing.assert_array_equal(tiles.values[2, ..., 0], [[10, 11, 12], [10, 11, 12]])
    np.testing.assert_array_equal(tiles.weight[2], [[1, 1, 1], [0, 0, 0]])
