"""The outer optimiser against AdamW written out in NumPy; every option makes a difference."""

import math

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from hyperinr import meta_learning
from tests.meta_learning import reference

STEPS = 12
START = np.array([1.0, -2.0, 0.5])
GRADIENTS = np.random.default_rng(0).normal(size=(STEPS, 3)) * np.geomspace(0.1, 10, STEPS)[:, None]
DEFAULTS = {
    'learning_rate': 0.02, 'warmup_steps': 4, 'final_fraction': 0.1, 'clip_norm': 1.0, 'b1': 0.9, 'b2': 0.99,
    'weight_decay': 0.0,
}  # fmt: skip


def path(optimizer):
    @jax.jit
    def step(params, state, gradient):
        updates, state = optimizer.update(gradient, state, params)
        return optax.apply_updates(params, updates), state

    params = jnp.asarray(START, jnp.float32)
    state, found = optimizer.init(params), [params]
    for gradient in GRADIENTS:
        params, state = step(params, state, jnp.asarray(gradient, jnp.float32))
        found.append(params)
    return np.array(found)


def schedule(learning_rate, warmup, final_fraction):
    """Linear from zero, then half a cosine to the final fraction of the peak (SGDR, eq. 5)."""
    rates = []
    for step in range(STEPS):
        if step < warmup:
            rates.append(learning_rate * step / warmup)
        else:
            cosine = (1 + math.cos(math.pi * (step - warmup) / (STEPS - warmup))) / 2
            rates.append(learning_rate * (final_fraction + (1 - final_fraction) * cosine))
    return rates


@pytest.mark.parametrize('change', [
    {}, {'learning_rate': 0.05}, {'warmup_steps': 0}, {'warmup_steps': 100}, {'final_fraction': 0.5},
    {'clip_norm': None}, {'clip_norm': 0.3}, {'b1': 0.5}, {'b2': 0.8}, {'weight_decay': 0.3},
], ids=str)  # fmt: skip
def test_every_option_is_that_of_adamw(change):
    options = DEFAULTS | change
    found = path(meta_learning.adam_cosine(num_steps=STEPS, **options))
    expected = reference.adam(
        GRADIENTS,
        START,
        schedule(options['learning_rate'], min(options['warmup_steps'], STEPS // 2), options['final_fraction']),
        **{name: options[name] for name in ('b1', 'b2', 'weight_decay', 'clip_norm')},
    )
    np.testing.assert_allclose(found, expected, atol=1e-5)
    if change:
        plain = path(meta_learning.adam_cosine(num_steps=STEPS, **DEFAULTS))
        assert np.abs(found - plain).max() > 1e-3


def test_the_schedule_spans_the_steps_of_the_run():
    short, long = (path(meta_learning.adam_cosine(num_steps=steps, **DEFAULTS)) for steps in (STEPS, 10 * STEPS))
    assert np.abs(short[-1] - long[-1]).max() > 1e-3


def test_one_step_is_a_run_too():
    assert np.isfinite(path(meta_learning.adam_cosine(num_steps=1))).all()
