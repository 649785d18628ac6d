"""A small learner under any options, its gradient on a batch of four, and how two gradients differ."""

import functools

import jax
import numpy as np

from hyperinr import hypernetworks, meta_learning
from tests import parts

KEY = jax.random.key(0)
SHARP = {'rates': hypernetworks.learned_rates(gain=10.0)}
"""Inner steps large enough for their second derivatives to matter."""
SHARP_BY_LAYER = {'rates': hypernetworks.learned_rates(shared_by='leaf', num_steps=2, gain=10.0)}
MSE = meta_learning.mse()


def take(tree, row):
    return jax.tree.map(lambda leaf: leaf[row], tree)


def context():
    return parts.datapoints(4)


def target():
    """The same signals as `context` at other points, with other weights."""
    batch = parts.datapoints(4)
    order = np.random.default_rng(5).permutation(batch.coords.shape[1])[:30]
    return batch._replace(
        coords=batch.coords[:, order], values=batch.values[:, order], weight=batch.weight[:, order] ** 2
    )


@functools.cache
def make(encoder='set_encoder', **options):
    """A learner and its parameters; all options that tests vary are given, whatever the defaults."""
    options |= {'hypernetwork': dict(options.get('hypernetwork', SHARP))}
    plain = {'loss': MSE, 'average_decay': None, 'num_steps': 2}
    return parts.make_learner(encoder=encoder, **(plain | options)), fresh(encoder, options['hypernetwork'])


def fresh(encoder, hypernetwork):
    """Parameters do not depend on the options of the learner."""
    key = (encoder, *sorted(hypernetwork.items()))
    if key not in FRESH:
        part = parts.make_hypernetwork(encoder=encoder, **hypernetwork)
        FRESH[key] = jax.device_get(jax.jit(part.init)(KEY, take(context(), 0)))
    return FRESH[key]


FRESH = {}


@functools.cache
def compiled(encoder='set_encoder', **options):
    learner, _ = make(encoder, **options)
    return jax.jit(lambda params, key, step: parts.gradient(learner, params, context(), target(), key, step))


@functools.cache
def gradient(encoder='set_encoder', key=0, step=0, **options):
    _, params = make(encoder, **options)
    return jax.device_get(compiled(encoder, **options)(params, jax.random.key(key), step))


def largest(tree):
    return max(float(np.abs(leaf).max()) for leaf in jax.tree.leaves(tree))


def difference(one, other):
    """Largest difference between two gradients, as a fraction of the largest entry."""
    return largest(jax.tree.map(lambda a, b: np.asarray(a) - np.asarray(b), one, other)) / largest(one)
