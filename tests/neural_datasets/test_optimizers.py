"""Schedules against their formulas, and optimisers that follow them."""

import jax.numpy as jnp
import numpy as np
import optax
import pytest

from hyperinr.neural_datasets import optimizers


def test_schedules_are_their_formulas():
    assert optimizers.constant(num_steps=9)(5) == 1
    warm = optimizers.constant(num_steps=9, warmup_steps=4)
    np.testing.assert_allclose([warm(step) for step in range(6)], [0.2, 0.4, 0.6, 0.8, 1, 1], rtol=1e-6)
    falling = optimizers.cosine(num_steps=10, final_factor=0.1)
    expected = [0.1 + 0.9 * (1 + np.cos(np.pi * step / 10)) / 2 for step in range(11)]
    np.testing.assert_allclose([falling(step) for step in range(11)], expected, atol=1e-6)


@pytest.mark.parametrize('make', [optimizers.adam, optimizers.amsgrad, optimizers.sgd])
def test_steps_scale_with_rate_and_schedule(make):
    def first_step(rate, factor):
        optimizer = make(schedule=lambda step: factor, learning_rate=rate)
        update, _ = optimizer.update(jnp.array([2.0, -1.0]), optimizer.init(jnp.zeros(2)), jnp.zeros(2))
        return np.asarray(optax.apply_updates(jnp.zeros(2), update))

    reference = first_step(0.1, 1.0)
    expected = [-0.2, 0.1] if make is optimizers.sgd else [-0.1, 0.1]
    np.testing.assert_allclose(reference, expected, rtol=1e-5)
    np.testing.assert_allclose(first_step(0.2, 0.5), reference, rtol=1e-5)
    with pytest.raises(ValueError, match='above 0'):
        make(schedule=lambda step: 1.0, learning_rate=-1.0)
