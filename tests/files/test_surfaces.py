"""A surface of known shape comes out of an INR that is that shape."""

import jax.numpy as jnp
import numpy as np
import pytest

from hyperinr.errors import InputError
from hyperinr.files import surfaces
from hyperinr.types import Inr

pytest.importorskip('skimage')
RADIUS = 0.6


def ball(sign):
    """An 'INR' whose values are ``sign * (RADIUS - |x - centre|)``."""

    def apply(weights, coords):
        return sign * (RADIUS - jnp.linalg.norm(coords - weights['layer_0']['b'][None], axis=1, keepdims=True))

    return Inr(init=lambda key, dims: {}, apply=apply, metadata={})


WEIGHTS = {'layer_0': {'b': np.array([0.1, 0.0, -0.2], np.float32)}}


@pytest.mark.parametrize(('sign', 'inside_is_high'), [(1, True), (-1, False)])
def test_a_ball_has_the_radius_centre_and_volume_of_a_ball(sign, inside_is_high):
    surface = surfaces.extract_surface(ball(sign), WEIGHTS, resolution=40, level=0.0, inside_is_high=inside_is_high)
    radii = np.linalg.norm(surface.vertices - WEIGHTS['layer_0']['b'], axis=1)
    np.testing.assert_allclose(radii, RADIUS, atol=2e-3)
    a, b, c = (surface.vertices[surface.faces][:, corner].astype(float) for corner in range(3))
    volume = np.einsum('fi,fi->', a, np.cross(b, c)) / 6
    np.testing.assert_allclose(volume, 4 / 3 * np.pi * RADIUS**3, rtol=0.02)


def test_a_solid_that_touches_the_side_is_closed():
    weights = {'layer_0': {'b': np.array([0.8, 0.0, 0.0], np.float32)}}
    surface = surfaces.extract_surface(ball(1), weights, resolution=24, level=0.0)
    edges = np.sort(np.concatenate([surface.faces[:, [0, 1]], surface.faces[:, [1, 2]], surface.faces[:, [2, 0]]]))
    _, counts = np.unique(edges, axis=0, return_counts=True)
    assert set(counts.tolist()) == {2}


def test_an_empty_inr_is_said():
    with pytest.raises(InputError, match='no value inside 5'):
        surfaces.extract_surface(ball(1), WEIGHTS, resolution=8, level=5.0)


def test_points_are_drawn_on_the_surface():
    points = surfaces.sample_surface(surfaces.extract_surface(ball(1), WEIGHTS, resolution=32, level=0.0), 4000)
    np.testing.assert_allclose(np.linalg.norm(points - WEIGHTS['layer_0']['b'], axis=1), RADIUS, atol=0.01)


@pytest.mark.parametrize('suffix', ['.obj', '.ply'])
def test_other_programs_read_the_files(tmp_path, suffix):
    trimesh = pytest.importorskip('trimesh')
    surface = surfaces.extract_surface(ball(1), WEIGHTS, resolution=16, level=0.0)
    path = tmp_path / f'ball{suffix}'
    surfaces.write_surface(path, surface)
    read = trimesh.load_mesh(path)
    assert read.is_watertight
    assert len(read.faces) == len(surface.faces)
    np.testing.assert_allclose(read.volume, 4 / 3 * np.pi * RADIUS**3, rtol=0.1)
    with pytest.raises(InputError, match=r'\.obj or \.ply'):
        surfaces.write_surface(tmp_path / 'ball.stl', surface)


def test_a_picture_is_drawn_without_a_display(tmp_path):
    pytest.importorskip('matplotlib')
    from PIL import Image

    from hyperinr.inspection.solid_report import draw_surfaces

    surface = surfaces.extract_surface(ball(1), WEIGHTS, resolution=12, level=0.0)
    path = draw_surfaces({'one': surface, 'two': surface}, tmp_path / 'balls.png')
    pixels = np.asarray(Image.open(path).convert('RGB')).astype(int)
    blue = (pixels[..., 2] - pixels[..., 0]) > 40
    assert blue[:, : pixels.shape[1] // 2].mean() > 0.02
    assert blue[:, pixels.shape[1] // 2 :].mean() > 0.02
