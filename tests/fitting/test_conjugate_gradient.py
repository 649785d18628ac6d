"""Measured lengths: the formulas written out, the plane's minimum, and that no start is undone."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from hyperinr import fitting, inrs, metrics
from hyperinr import weights as weights_lib
from hyperinr.fitting import optimizers
from hyperinr.fitting.batching import Batching
from hyperinr.fitting.freezing import frozen
from hyperinr.fitting.loss import points_of
from hyperinr.fitting.quadratic_model import quadratic_model
from tests.exhaustive import thin
from tests.fitting import problems

SIREN = problems.SIREN
SPEC = weights_lib.spec_of(problems.take(problems.starts(SIREN, 1), 0))
MANY_POINTS = 18
"""A side; its 324 points make parts of at least 64."""


def values_at(flat, coords):
    return SIREN.apply(weights_lib.unflatten(flat, SPEC), coords)


def problem(*, side=6):
    """Points, weights and gradient of one INR."""
    datapoint = problems.take(problems.batch(1, side=side), 0)
    flat = weights_lib.flatten(problems.take(problems.starts(SIREN, 1), 0), SPEC)

    def loss(flat):
        return metrics.mean_squared_error(values_at(flat, datapoint.coords), datapoint.values, datapoint.weight)

    return points_of(datapoint), flat, loss


def smooth(batch):
    """Waves in place of noise."""
    waves = np.sin(4 * batch.coords.sum(axis=-1, keepdims=True) + np.arange(3.0))
    return batch._replace(values=(0.5 + 0.3 * waves).astype(np.float32))


def model_at(flat, points, loss, *, step_scale=(1.0,)):
    return quadratic_model(values_at, points, flat, jax.grad(loss)(flat), jnp.asarray(step_scale))


@pytest.mark.exhaustive
def test_the_model_has_the_derivatives_of_the_linearised_loss():
    points, flat, loss = problem()
    scale = np.random.default_rng(0).uniform(0.5, 2, flat.size).astype(np.float32)
    directions = np.random.default_rng(1).normal(size=(2, flat.size)).astype(np.float32)
    slopes, curvatures = model_at(flat, points, loss, step_scale=scale)(directions)
    jacobian = np.asarray(jax.jacobian(lambda flat: values_at(flat, points.coords))(flat), np.float64)
    changes = np.einsum('ncp,kp->knc', jacobian, scale * directions)
    np.testing.assert_allclose(slopes, (scale * directions) @ np.asarray(jax.grad(loss)(flat)), rtol=1e-4)
    expected = 2 * np.einsum('n,knc,lnc->kl', np.asarray(points.scale, np.float64), changes, changes)
    np.testing.assert_allclose(curvatures, expected, rtol=1e-4)


@pytest.mark.exhaustive
def test_curvatures_of_the_parts_average_to_that_of_all_points():
    points, flat, loss = problem(side=MANY_POINTS)
    points = points._replace(scale=jnp.full_like(points.scale, 1 / points.scale.size))
    model = model_at(flat, points, loss)
    directions = np.random.default_rng(0).normal(size=(1, flat.size)).astype(np.float32)
    whole = model(directions)[1]
    parts = [model(directions, part=part, parts=3)[1] for part in range(3)]
    np.testing.assert_allclose(np.mean(parts, axis=0), whole, rtol=1e-4)
    assert np.std(parts) > 1e-3 * whole
    np.testing.assert_array_equal(model(directions, part=4, parts=3)[1], parts[1])
    np.testing.assert_allclose(model(directions, part=1, parts=10**6)[1], model(directions, part=1, parts=5)[1])


@pytest.mark.exhaustive
def test_few_points_are_not_divided_and_points_without_weight_count_nothing():
    points, flat, loss = problem()
    directions = np.ones((1, flat.size), np.float32)
    np.testing.assert_array_equal(
        model_at(flat, points, loss)(directions, part=1, parts=3)[1], model_at(flat, points, loss)(directions)[1]
    )
    points, flat, loss = problem(side=MANY_POINTS)
    nothing = points._replace(scale=jnp.zeros_like(points.scale))
    np.testing.assert_array_equal(model_at(flat, nothing, loss)(directions, parts=3)[1], [[0]])


@pytest.mark.parametrize(
    'change',
    thin(
        [{}, {'learning_rate': 0.5}, {'decay': 0.5}, {'damping': 0.3}, {'retreat': 0.6}],
        lambda change: change == {'retreat': 0.6},
    ),
    ids=str,
)
def test_steps_are_those_of_the_formulas(change):
    """Double precision, with the Gauss-Newton matrix in full; the loss is told to have risen after the third step."""
    options = {'learning_rate': 1.0, 'decay': 0.99, 'damping': 1e-3, 'retreat': 0.25} | change
    points, flat, loss = problem()
    optimizer = optimizers.conjugate_gradient(parts=1, **options)(SPEC)
    told = [1.0, 0.9, 0.8, 0.95, 0.7]

    state, found, place = optimizer.init(flat), [], flat
    for value in told:
        gradient = jax.grad(loss)(place)
        update, state = optimizer.update(
            gradient, state, place, value=jnp.float32(value), model=model_at(place, points, loss)
        )
        found.append(np.asarray(update))
        place = place + update

    square, last, place, best = 0.0, np.zeros(flat.size), np.asarray(flat, np.float64), np.inf
    for step, value in enumerate(told, start=1):
        gradient = np.asarray(jax.grad(loss)(jnp.float32(place)), np.float64)
        jacobian = np.asarray(jax.jacobian(lambda flat: values_at(flat, points.coords))(jnp.float32(place)), np.float64)
        square = options['decay'] * square + (1 - options['decay']) * gradient**2
        direction = -gradient / np.sqrt(square / (1 - options['decay'] ** step))
        plane = np.stack([direction, last])[: 1 if step == 1 else 2]
        changes = np.einsum('ncp,kp->knc', jacobian, plane)
        curvature = 2 * np.einsum('n,knc,lnc->kl', np.asarray(points.scale, np.float64), changes, changes)
        damped = curvature + options['damping'] * np.diag(np.diag(curvature))
        moved = options['learning_rate'] * (np.linalg.solve(damped, -plane @ gradient) @ plane)
        if value > best:
            moved, last = (options['retreat'] - 1) * last, options['retreat'] * last
        else:
            last, best = moved, value
        np.testing.assert_allclose(found[step - 1], moved, rtol=2e-2, atol=2e-3 * np.abs(moved).max())
        place = place + moved


def test_a_step_ends_where_the_plane_of_a_linear_inr_is_lowest():
    grid = inrs.feature_grid(channels=3, resolution=5)
    spec = weights_lib.spec_of(grid.init(jax.random.key(0), 2))
    batch = problems.batch(1)
    points = points_of(problems.take(batch, 0))
    flat = jnp.zeros(sum(spec.sizes))
    evaluate = lambda flat, coords: grid.apply(weights_lib.unflatten(flat, spec), coords)
    gradient = jax.grad(
        lambda flat: jnp.sum(
            points.scale * jnp.sum(jnp.square(evaluate(flat, points.coords).T - points.values), axis=0)
        )
    )
    optimizer = optimizers.conjugate_gradient(damping=1e-6)(spec)
    state = optimizer.init(flat)
    for _ in range(4):
        before = state.last
        model = quadratic_model(evaluate, points, flat, gradient(flat), jnp.ones(1))
        update, state = optimizer.update(gradient(flat), state, flat, model=model)
        flat = flat + update
        for direction in (update, before):
            across = jnp.linalg.norm(gradient(flat)) * jnp.linalg.norm(direction)
            assert abs(float(jnp.vdot(gradient(flat), direction))) <= 2e-3 * float(across)


@pytest.mark.exhaustive
@pytest.mark.parametrize(
    'family', ['siren', 'relu_mlp', 'gabor_net', 'hash_grid', 'feature_grid', 'wire', 'finer', 'fourier_mlp']
)
def test_no_fit_of_any_family_climbs(family):
    """One step may, by a little, where an INR is far from linear; the next one takes it back."""
    inr = getattr(inrs, family)(channels=3)
    batch = problems.batch(3, side=16)
    batch = smooth(batch)
    optimizer = optimizers.conjugate_gradient()(SPEC)
    mse = fitting.fit(inr, problems.starts(inr, 3), batch, optimizer=optimizer, num_steps=40).mse
    assert (mse <= 1.1 * mse[:, :1]).all()
    assert (mse[:, -1] < 0.2 * mse[:, 0]).all()


def test_a_loss_that_rose_is_taken_back():
    """A rate of 2.5 steps beyond where the bowl is as high as before; the way back makes a descent of it."""
    batch, grid = problems.batch(2), inrs.feature_grid(channels=3, resolution=5)
    run = lambda **options: (
        fitting.fit(
            grid,
            problems.starts(grid, 2),
            batch,
            optimizer=optimizers.conjugate_gradient(learning_rate=2.5, **options)(SPEC),
            num_steps=30,
        ).mse
    )
    assert (run(retreat=0.25)[:, -1] < 0.7 * run(retreat=0.25)[:, 0]).all()


@pytest.mark.parametrize(('value', 'back'), [(1 + 2e-6, False), (1 + 1e-3, True)])
def test_a_rise_within_rounding_is_none(value, back):
    points, flat, loss = problem()
    optimizer = optimizers.conjugate_gradient()(SPEC)
    told = {'model': model_at(flat, points, loss)}
    first, state = optimizer.update(jax.grad(loss)(flat), optimizer.init(flat), flat, value=jnp.float32(1), **told)
    second, _ = optimizer.update(jax.grad(loss)(flat), state, flat, value=jnp.float32(value), **told)
    assert np.allclose(second, -0.75 * first) == back


@pytest.mark.exhaustive
def test_parts_of_the_points_fit_as_well_as_all():
    batch = problems.batch(2, side=MANY_POINTS)
    batch = smooth(batch)
    ends = {}
    for parts in (1, 2, 5):
        optimizer = optimizers.conjugate_gradient(parts=parts)(SPEC)
        ends[parts] = fitting.fit(SIREN, problems.starts(SIREN, 2), batch, optimizer=optimizer, num_steps=30).mse[:, -1]
    assert len({tuple(end) for end in ends.values()}) == 3
    adam = fitting.fit(SIREN, problems.starts(SIREN, 2), batch, optimizer=optax.adam(3e-3), num_steps=30).mse[:, -1]
    for end in ends.values():
        assert (end < 0.5 * adam).all()


def test_it_is_told_the_scale_of_its_updates():
    """A tensor of scale 0 stays, and so does one that is frozen; the lengths are those of what moves."""
    starts, batch = problems.starts(SIREN, 2), problems.batch(2)
    held = {layer: dict.fromkeys(tensors, 1.0) for layer, tensors in starts.items()}
    held['layer_0'] = dict.fromkeys(held['layer_0'], 0.0)
    scale = jax.tree.map(lambda factor, leaf: np.full_like(leaf, factor), held, starts)
    plain = optimizers.conjugate_gradient()(SPEC)
    run = lambda optimizer, **options: fitting.fit(SIREN, starts, batch, optimizer=optimizer, num_steps=6, **options)
    scaled, freezed = run(plain, step_scale=scale), run(frozen(plain, ['layer_0'], SPEC))
    for fitted in (scaled, freezed):
        jax.tree.map(np.testing.assert_array_equal, fitted.weights['layer_0'], starts['layer_0'])
        assert (fitted.mse[:, -1] < 0.8 * fitted.mse[:, 0]).all()
    np.testing.assert_allclose(scaled.mse, freezed.mse, rtol=1e-3)


@pytest.mark.exhaustive
def test_one_by_one_and_together_are_the_same():
    starts, batch = problems.starts(SIREN, 3), problems.batch(3)
    optimizer = optimizers.conjugate_gradient()(SPEC)
    mse = [
        fitting.fit(SIREN, starts, batch, optimizer=optimizer, num_steps=5, batching=Batching(kind, 3, 1)).mse
        for kind in ('mapped', 'vmapped')
    ]
    np.testing.assert_allclose(*mse, rtol=1e-3)
    alone = fitting.fit_one(
        SIREN, problems.take(starts, 1), problems.take(batch, 1), optimizer=optimizer, num_steps=5
    ).mse
    np.testing.assert_allclose(alone, mse[0][1], rtol=1e-3)


def test_drawn_points_have_a_model_of_their_own():
    batch = problems.batch(2, side=MANY_POINTS)
    fitted = fitting.fit(
        SIREN,
        problems.starts(SIREN, 2),
        batch,
        optimizer=optimizers.conjugate_gradient(learning_rate=0.5)(SPEC),
        num_steps=20,
        subsampling=fitting.uniform(num_points=100),
    )
    assert (fitted.mse[:, -1] < 0.8 * fitted.mse[:, 0]).all()


@pytest.mark.parametrize('wrong', [{'parts': 0}, {'decay': 1.0}, {'damping': 0.0}, {'retreat': 1.0}], ids=str)
def test_what_makes_no_sense_is_refused(wrong):
    with pytest.raises(ValueError, match=f'{next(iter(wrong))}={next(iter(wrong.values()))}'):
        optimizers.conjugate_gradient(**wrong)
