"""The grouped gradient of a mean equals the plain one."""

import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from hyperinr.meta_learning.mapped_gradients import automatic_group_size, mean_over_batch

BATCH = 6


def arguments():
    rng = np.random.default_rng(0)
    normal = lambda *shape: jnp.asarray(rng.normal(size=shape), jnp.float32)
    shared = {'w': normal(3, 2), 'unused': normal(2)}
    private = (normal(BATCH, 4, 3), normal(BATCH, 2))
    data = {'x': normal(BATCH, 4, 2), 'index': jnp.arange(BATCH)}
    return shared, private, data


def loss(shared, private, data):
    hidden, bias = private
    values = jnp.sin(hidden @ shared['w'] + bias[None]) * data['x'] * (1 + data['index'])
    return jnp.mean(values**2), {'sum': jnp.sum(values), 'bias': bias}


def plain(shared, private, data):
    losses, aux = jax.vmap(loss, (None, 0, 0))(shared, private, data)
    return jnp.mean(losses), aux


def close(found, expected):
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6), found, expected)


@pytest.mark.parametrize('group_size', [1, 2, 3, 6])
def test_value_aux_and_gradients_are_those_of_vmap(group_size):
    shared, private, data = arguments()
    grouped = lambda shared, private: mean_over_batch(loss, shared, private, data, group_size=group_size)
    close(jax.jit(grouped)(shared, private), plain(shared, private, data))
    found = jax.jit(jax.value_and_grad(grouped, argnums=(0, 1), has_aux=True))(shared, private)
    expected = jax.value_and_grad(plain, argnums=(0, 1), has_aux=True)(shared, private, data)
    close(found, expected)


@pytest.mark.parametrize('group_size', [1, 2, 3, 6])
def test_as_many_datapoints_run_together_as_asked_for(group_size):
    shared, private, data = arguments()
    grouped = lambda shared: mean_over_batch(loss, shared, private, data, group_size=group_size)[0]
    text = str(jax.make_jaxpr(jax.grad(grouped))(shared))
    assert set(re.findall(r'\blength=(\d+)', text)) == {str(BATCH // group_size)}


def test_the_chain_rule_goes_through_it():
    shared, private, data = arguments()

    def outer(mean, scale):
        return jnp.exp(3 * mean(scale)) + scale

    grouped = lambda scale: mean_over_batch(
        loss, jax.tree.map(lambda leaf: scale * leaf, shared), private, data, group_size=2
    )[0]
    direct = lambda scale: plain(jax.tree.map(lambda leaf: scale * leaf, shared), private, data)[0]
    close(jax.grad(lambda s: outer(grouped, s))(0.3), jax.grad(lambda s: outer(direct, s))(0.3))


def test_aux_carries_no_gradient():
    shared, private, data = arguments()
    total = lambda shared: jnp.sum(mean_over_batch(loss, shared, private, data, group_size=2)[1]['sum'])
    assert all((np.asarray(leaf) == 0).all() for leaf in jax.tree.leaves(jax.grad(total)(shared)))


def test_the_group_is_one_datapoint_on_a_cpu_and_the_batch_elsewhere(monkeypatch):
    assert automatic_group_size(48) == 1
    monkeypatch.setattr(jax, 'default_backend', lambda: 'gpu')
    assert automatic_group_size(48) == 48
