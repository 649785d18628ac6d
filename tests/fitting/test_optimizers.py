"""Optimisers of flat vectors: against optax on pytrees, the papers' loops, and problems with an answer."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from hyperinr import fitting, inrs
from hyperinr import weights as weights_lib
from hyperinr.errors import InputError
from hyperinr.fitting import optimizers
from hyperinr.types import Datapoint
from tests.exhaustive import thin

SIREN = inrs.siren(channels=1, width=8, depth=3)
WEIGHTS = SIREN.init(jax.random.key(0), 2)
SPEC = weights_lib.spec_of(WEIGHTS)
SPEC_SIZE = sum(SPEC.sizes)
CURVATURES = jnp.array([0.5, 1.0, 4.0])


def descend(optimizer, flat, gradient, num_steps):
    state = optimizer.init(flat)
    step = jax.jit(optimizer.update)
    for _ in range(num_steps):
        updates, state = step(gradient(flat), state, flat)
        flat = flat + updates
    return flat


def test_an_optimiser_of_layers_is_that_of_their_flat_vector():
    gradient = jax.tree.map(lambda leaf: jnp.cos(3 * leaf), WEIGHTS)
    flat = optimizers.by_layers(optax.adamw(1e-2), SPEC)
    start = weights_lib.flatten(WEIGHTS, SPEC)
    updates, _ = flat.update(weights_lib.flatten(gradient, SPEC), flat.init(start), start)
    expected, _ = optax.adamw(1e-2).update(gradient, optax.adamw(1e-2).init(WEIGHTS), WEIGHTS)
    np.testing.assert_allclose(updates, weights_lib.flatten(expected, SPEC), rtol=1e-5)


def test_muon_orthogonalises_hidden_matrices_and_leaves_the_rest_to_adam():
    gradient = jax.tree.map(lambda leaf: jnp.cos(1e3 * leaf), WEIGHTS)
    optimizer = optimizers.make('muon', 0.01, SPEC)
    flat = weights_lib.flatten(WEIGHTS, SPEC)
    updates, _ = optimizer.update(weights_lib.flatten(gradient, SPEC), optimizer.init(flat), flat)
    updates = weights_lib.unflatten(updates, SPEC)
    nesterov = optax.adam(0.01, nesterov=True)
    adam, _ = nesterov.update(gradient, nesterov.init(WEIGHTS), WEIGHTS)
    for layer, tensors in updates.items():
        for name, update in tensors.items():
            if name == 'w' and layer in ('layer_1', 'layer_2'):
                # Five Newton-Schulz steps bring singular values into about [0.7, 1.2], wherever they were.
                singular = np.linalg.svd(np.asarray(update) / 0.01, compute_uv=False)
                assert singular.max() < 1.4
                assert np.median(singular) > 0.6
                assert float(jnp.vdot(update, gradient[layer][name])) < 0
            else:
                np.testing.assert_allclose(update, adam[layer][name], rtol=1e-5)


@pytest.mark.parametrize('name', ['lbfgs', 'diagonal_curvature'])
def test_curvature_beats_gradient_descent_on_an_ill_conditioned_bowl(name):
    """Curvatures of 0.5, 1 and 4: descent at its best rate, 2/4.5, shrinks errors by 7/9 a step."""
    gradient = lambda flat: CURVATURES * (flat - 1)
    spec = weights_lib.WeightSpec(('layer_0/b',), ((3,),))
    optimizer = optimizers.make('lbfgs', 1.0, spec)
    if name == 'diagonal_curvature':
        optimizer = optimizers.diagonal_curvature(learning_rate=1.0, decay=0.0, floor=0.5)(spec)
    found = descend(optimizer, jnp.zeros(3), gradient, 20)
    plain = descend(optax.sgd(2 / 4.5), jnp.zeros(3), gradient, 20)
    assert np.abs(found - 1).max() < 0.5 * np.abs(plain - 1).max()


def test_diagonal_curvature_is_apollos_weak_secant_equation():
    """The numbers of a double-precision loop, and the equation that they stand for."""
    gradients = np.random.default_rng(0).normal(size=(6, 5))
    make = optimizers.diagonal_curvature(learning_rate=0.3, decay=0.8, floor=0.05, epsilon=1e-9, largest_step=2.0)
    optimizer = make(SPEC)
    state = optimizer.init(jnp.zeros(5))
    mean, diagonal, last = np.zeros(5), np.zeros(5), np.zeros(5)
    for step, gradient in enumerate(gradients, start=1):
        updates, state = optimizer.update(jnp.float32(gradient), state)
        old = mean
        mean = (0.8 * (1 - 0.8 ** (step - 1)) * old + 0.2 * gradient) / (1 - 0.8**step)
        if step > 1:
            diagonal = diagonal + (last @ (mean - old) - last @ (diagonal * last)) / np.sum(last**4) * last**2
            np.testing.assert_allclose(last @ (diagonal * last), last @ (mean - old), atol=1e-9)
        last = -0.3 * mean / np.maximum(np.abs(diagonal), 0.05)
        last *= min(1, 2 / np.linalg.norm(last))
        np.testing.assert_allclose(updates, last, rtol=2e-3, atol=1e-5)


def test_the_first_step_of_lbfgs_is_no_longer_than_its_cut():
    optimizer = optimizers.lbfgs(learning_rate=0.5, largest_step=0.1)(SPEC)
    for size in (1e-3, 1e3):
        updates, _ = optimizer.update(jnp.full(4, size), optimizer.init(jnp.zeros(4)), jnp.zeros(4))
        assert float(jnp.linalg.norm(updates)) <= 0.05 * 1.0001
        assert (updates < 0).all()


@pytest.mark.parametrize('name', optimizers.OPTIMIZERS)
def test_every_optimiser_fits_a_wave_at_a_rate_of_its_own(name):
    """And under a traced rate, which the search compiles once for all rates."""
    coords = np.linspace(-1, 1, 64, dtype=np.float32)[:, None]
    batch = Datapoint(
        coords[None], 0.5 + 0.4 * np.sin(9 * coords[None]), np.ones((1, 64), np.float32), np.zeros(1, int)
    )
    inr = inrs.siren(channels=1, width=16, depth=2, omega_0=10.0, hidden_omega_0=10.0)
    starts = jax.vmap(inr.init, (0, None))(jax.random.split(jax.random.key(0), 1), 1)
    spec = weights_lib.spec_of(jax.tree.map(lambda leaf: leaf[0], starts))
    make = optimizers.family(name, spec).make
    mse = np.array([
        fitting.fit(inr, starts, batch, optimizer=fitting.AtRate(make, rate), num_steps=60).mse[0]
        for rate in optimizers.RATES[name]
    ])  # fmt: skip
    assert np.isfinite(mse).all()
    assert mse[:, -1].min() < 0.1 * mse[0, 0]
    assert len(set(mse[:, -1])) == len(mse)


@pytest.mark.parametrize('name', thin(optimizers.OPTIMIZERS, lambda name: name in ('adam', 'conjugate_gradient')))
def test_a_schedule_is_a_factor_of_the_rate_in_every_step(name):
    """Two steps under a schedule are those of two constant rates, the state carried over."""
    factors = (0.5, 0.2)
    schedule = lambda step: jnp.asarray(factors)[jnp.asarray(step, int)]
    gradients = [jnp.cos(jnp.arange(SPEC_SIZE) + k) for k in range(2)]
    flat = weights_lib.flatten(WEIGHTS, SPEC)
    make = lambda **options: optax.with_extra_args_support(optimizers.OPTIMIZERS[name](**options)(SPEC))
    scheduled = make(learning_rate=0.1, schedule=schedule)
    state, plain_state = scheduled.init(flat), None
    for gradient, factor in zip(gradients, factors, strict=True):
        plain = make(learning_rate=0.1 * factor)
        plain_state = plain.init(flat) if plain_state is None else plain_state
        bowl = lambda directions, gradient=gradient, **_: (directions @ gradient, directions @ directions.T)
        update, state = scheduled.update(gradient, state, flat, model=bowl)
        expected, plain_state = plain.update(gradient, plain_state, flat, model=bowl)
        np.testing.assert_allclose(update, expected, rtol=2e-4, atol=1e-7)


def test_a_rate_that_is_not_positive_is_refused():
    for name, factory in optimizers.OPTIMIZERS.items():
        with pytest.raises(ValueError, match='learning_rate must be above 0, not -1'):
            factory(learning_rate=-1)
        assert name in optimizers.RATES


def test_an_unknown_optimiser_is_named():
    with pytest.raises(InputError, match="'adamm'.*muon"):
        optimizers.family('adamm', SPEC)
