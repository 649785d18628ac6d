"""A trained model as a library object."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from hyperinr.errors import InputError
from tests import tiny


@pytest.fixture(name='batch', scope='module')
def _batch():
    source = tiny.Waves(tiny.make_spec(), 3)
    return jax.tree.map(lambda *leaves: np.stack(leaves), *(source[index] for index in range(3)))


def take(tree, row):
    return jax.tree.map(lambda leaf: leaf[row], tree)


def assert_close(found, expected):
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5), found, expected)


def test_generate_gives_each_datapoint_what_the_learner_gives_it(batch):
    model = tiny.make_model()
    weights = model.generate(batch)
    for row in range(3):
        assert_close(take(weights, row), model.learner.generate(model.params, take(batch, row)))
    assert not np.allclose(weights['layer_2']['w'][0], weights['layer_2']['w'][1])


def test_generate_composes_with_jit_vmap_and_grad(batch):
    model = tiny.make_model()
    expected = model.generate(batch)
    assert_close(jax.jit(model.generate)(batch), expected)
    assert_close(jax.vmap(model.generate)(batch), expected)
    nested = jax.tree.map(lambda leaf: leaf[None], batch)
    assert_close(model.generate(nested), jax.tree.map(lambda leaf: leaf[None], expected))

    def brightness(values):
        return jnp.sum(model.generate(batch._replace(values=values))['layer_2']['b'])

    assert float(jnp.abs(jax.grad(brightness)(batch.values)).sum()) > 0


def test_generate_is_fine_tuning_by_the_learners_own_steps(batch):
    model = tiny.make_model()
    result = model.finetune(batch, num_steps=4, record_steps=(0, 2, 4))
    assert result.mse.shape == (3, 5)
    assert_close(jax.tree.map(lambda leaf: leaf[:, 1], result.snapshots), model.generate(batch))
    assert_close(jax.tree.map(lambda leaf: leaf[:, 2], result.snapshots), result.weights)


def test_reconstruct_keeps_leading_axes_and_takes_any_resolution(batch):
    model = tiny.make_model()
    weights = model.generate(batch)
    assert model.reconstruct(weights).shape == (3, 12, 16, 3)
    large = model.reconstruct(take(weights, 0), (24, 8))
    assert large.shape == (24, 8, 3)
    # A grid of one pixel has its centre at the origin.
    at_origin = model.inr.apply(take(weights, 0), np.zeros((1, 2), np.float32))
    np.testing.assert_allclose(model.reconstruct(take(weights, 0), (1, 1))[0], at_origin, rtol=1e-5)


@pytest.mark.parametrize(
    ('change', 'message'),
    [
        (lambda batch: batch._replace(values=batch.values[..., :1]), '3 channels'),
        (lambda batch: batch._replace(coords=batch.coords[..., :1]), '2 coordinates'),
        (lambda batch: batch._replace(values=batch.values * np.nan), 'not finite'),
        (lambda batch: batch._replace(values=batch.values * 255), r'takes \[0, 1\]'),
        (lambda batch: batch._replace(values=2 * batch.values - 1), r'takes \[0, 1\]'),
        (lambda batch: batch._replace(weight=batch.weight * 0), 'no point of positive weight'),
        (lambda batch: batch._replace(coords=batch.coords[:, ::-1].copy()), r'its grid of \(12, 16\)'),
        (
            lambda batch: jax.tree.map(lambda leaf: leaf[:, :9] if leaf.ndim > 1 else leaf, batch),
            r'its grid of \(12, 16\)',
        ),
    ],
)
def test_datapoints_that_do_not_fit_are_refused(batch, change, message):
    with pytest.raises(InputError, match=message):
        tiny.make_model().generate(change(batch))


def test_held_out_values_may_lie_a_little_outside_the_range(batch):
    tiny.make_model().check(batch._replace(values=1.4 * batch.values - 0.1))


def test_a_model_that_reads_coordinates_takes_any_points(batch):
    """The weights of a constant encoder, adapted to the points: MAML."""
    turned = batch._replace(coords=batch.coords[:, ::-1].copy(), values=batch.values[:, ::-1].copy())
    model = tiny.make_model(constant=True)
    assert_close(model.generate(turned), model.generate(batch))


def test_a_large_grid_is_evaluated_in_pieces(batch, monkeypatch):
    model = tiny.make_model()
    weights = model.generate(batch)
    whole = model.reconstruct(weights, (24, 10))
    monkeypatch.setattr('hyperinr.model.MOST_POINTS', 64)
    np.testing.assert_allclose(model.reconstruct(weights, (24, 10)), whole, atol=1e-6)


def test_points_of_no_weight_may_hold_anything(batch):
    values = batch.values.copy()
    values[:, 0] = np.nan
    weight = batch.weight.copy()
    weight[:, 0] = 0
    tiny.make_model().check(batch._replace(values=values, weight=weight))
