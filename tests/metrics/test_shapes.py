"""Distances of solids and surfaces against loops and closed forms."""

import numpy as np

from hyperinr import metrics


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


def test_the_chamfer_distance_is_that_of_a_loop_and_of_concentric_spheres():
    rng = np.random.default_rng(0)
    first, second = rng.normal(size=(30, 3)), rng.normal(size=(20, 3))
    distances = np.array([[np.linalg.norm(x - y) for y in second] for x in first])
    expected = (distances.min(axis=1).mean() + distances.min(axis=0).mean()) / 2
    np.testing.assert_allclose(metrics.chamfer_distance(first, second), expected)
    sphere = rng.normal(size=(4000, 3))
    sphere /= np.linalg.norm(sphere, axis=1, keepdims=True)
    np.testing.assert_allclose(metrics.chamfer_distance(0.6 * sphere, 0.7 * sphere), 0.1, atol=0.01)
