"""Where samples lie: loops and properties as references."""

import itertools

import hypothesis.strategies as st
import numpy as np
import pytest
from hypothesis import given

from hyperinr import coordinates

SHAPES = st.lists(st.integers(1, 7), min_size=1, max_size=4).map(tuple)


@given(SHAPES)
def test_pixel_centres_of_any_dimension_in_row_major_order(shape):
    expected = [
        [(2 * position + 1) / size - 1 for position, size in zip(positions, shape, strict=True)]
        for positions in itertools.product(*(range(size) for size in shape))
    ]
    found = coordinates.grid(shape)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, expected, atol=1e-6)
    rows = np.arange(len(found))[::-2]
    np.testing.assert_array_equal(coordinates.grid_rows(shape, rows), found[rows])


def test_a_non_square_image_is_not_transposed():
    """The classic bug: coordinates in column-major order, or the axes exchanged."""
    image = np.zeros((2, 5))
    image[1, 3] = 1
    lit = coordinates.grid(image.shape)[image.reshape(-1) == 1]
    np.testing.assert_allclose(lit, [[0.5, 0.4]], atol=1e-6)


@given(SHAPES)
def test_a_grid_fills_the_cube_evenly(shape):
    coords = coordinates.grid(shape).reshape(*shape, len(shape)).astype(np.float64)
    for axis, size in enumerate(shape):
        line = np.moveaxis(coords[..., axis], axis, 0).reshape(size, -1)
        np.testing.assert_allclose(line, line[:, :1] + np.zeros_like(line))
        np.testing.assert_allclose(np.diff(line[:, 0]), 2 / size, atol=1e-6)
        np.testing.assert_allclose([line[0, 0] + 1, 1 - line[-1, 0]], 1 / size, atol=1e-6)


@pytest.mark.parametrize('shape', [(), (0,), (3, 0), (-1, 2)])
def test_a_shape_without_samples_is_refused(shape):
    with pytest.raises(ValueError, match='at least one axis and only sizes >= 1'):
        coordinates.grid(shape)


@given(st.integers(2, 7), st.integers(1, 9))
def test_a_sphere_runs_from_pole_to_pole_and_once_around(rows, columns):
    found = coordinates.grid((rows, columns), coordinates.SPHERE)
    assert found.dtype == np.float32
    assert found.shape == (rows * columns, coordinates.dims((rows, columns), 'sphere'))
    np.testing.assert_allclose(np.linalg.norm(found, axis=-1), 1, atol=1e-6)
    grid = found.reshape(rows, columns, 3)
    poles = np.tile([0.0, 0.0, 1.0], (columns, 1))
    np.testing.assert_allclose(grid[0], poles, atol=1e-6)
    np.testing.assert_allclose(grid[-1], -poles, atol=1e-6)
    np.testing.assert_allclose(np.degrees(np.arcsin(grid[:, 0, 2])), np.linspace(90, -90, rows), atol=0.05)
    steps = np.linalg.norm(np.roll(grid, -1, axis=1) - grid, axis=-1)
    np.testing.assert_allclose(steps, steps[:, :1].repeat(columns, axis=1), atol=1e-6)  # The date line is no seam.
    order = np.arange(len(found))[::-2]
    np.testing.assert_array_equal(coordinates.grid_rows((rows, columns), order, 'sphere'), found[order])


@pytest.mark.parametrize(('shape', 'layout'), [((1, 4), 'sphere'), ((4,), 'sphere'), ((3, 4), 'torus')])
def test_a_grid_that_no_layout_has_is_refused(shape, layout):
    with pytest.raises(ValueError, match='layout'):
        coordinates.grid(shape, layout)
