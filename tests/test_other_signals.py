"""Every part on signals that are no RGB pictures: other dimensions, channels, ranges, and points of weight 0."""

import functools
import itertools

import jax
import numpy as np
import pytest

from hyperinr.types import Datapoint, DatasetSpec
from tests import parts
from tests.exhaustive import thin
from tests.promises import all_finite, assert_equal, shapes, shapes_of_init, size, take

KEY = jax.random.key(0)
SOUND = DatasetSpec('sound', (24,), 24, 1, 2, (-1.0, 1.0), num_datapoints=4, num_labels=3)
VOLUME = DatasetSpec('volume', (4, 4, 4), 64, 3, 4, (-5.0, 20.0), num_datapoints=4, num_labels=3)
SIGNALS = {'sound': SOUND, 'volume': VOLUME}
FIELD = DatasetSpec('field', (5, 8), 40, 3, 2, (0.0, 1.0), num_datapoints=4, num_labels=3, layout='sphere')

ENCODED = [
    *itertools.product(sorted(parts.ENCODERS), SIGNALS),
    *((name, 'field') for name in ('convolutional', 'dense', 'patch_transformer', 'residual')),
]
"""Encoders and what they read: those of grids a grid on the sphere as well."""

FEW = {'multiplicative', 'predicted rates', 'MAML', 'plain hypernetwork'}
"""Hypernetworks and learners that `make test` tries."""


@functools.cache
def hypernetwork_of(name, signal):
    hypernetwork = parts.make_hypernetwork(spec=SIGNALS[signal], **parts.HYPERNETWORKS[name])
    return hypernetwork, jax.jit(hypernetwork.init)(KEY, take(parts.datapoints(4, SIGNALS[signal]), 0))


@functools.cache
def learner_of(name, signal):
    batch = parts.datapoints(4, SIGNALS[signal])
    learner = parts.make_learner(spec=SIGNALS[signal], **parts.LEARNERS[name])
    state = jax.jit(learner.init)(KEY, take(batch, 0))
    return learner, state, jax.jit(learner.update)


def with_hidden(batch: Datapoint, content: float) -> Datapoint:
    """The batch whose first four points have weight 0 and hold ``content``."""
    weight, values = batch.weight.copy(), batch.values.copy()
    weight[..., :4], values[..., :4, :] = 0, content
    return batch._replace(weight=weight, values=values)


@pytest.mark.parametrize(('name', 'signal'), thin(ENCODED, lambda row: row[1] != 'field' or row[0] == 'convolutional'))
def test_an_encoder_reads_any_signal(name, signal):
    spec = (SIGNALS | {'field': FIELD})[signal]
    encoder, batch = parts.ENCODERS[name](spec), parts.datapoints(4, spec)
    params = jax.jit(encoder.init)(KEY, take(batch, 0))
    apply = jax.jit(encoder.apply)
    found = [apply(params, take(batch, row)) for row in range(2)]
    assert all_finite(found)
    assert (size(found[0] - found[1]) > 0) == (name != 'constant')
    assert_equal(*(apply(params, with_hidden(take(batch, 0), content)) for content in (np.nan, 1e30)))


@pytest.mark.parametrize('signal', thin(SIGNALS, lambda signal: signal == 'sound'))
@pytest.mark.parametrize('name', thin(parts.HYPERNETWORKS, lambda name: name in FEW))
def test_a_hypernetwork_emits_the_weights_of_any_signal(name, signal):
    spec = SIGNALS[signal]
    hypernetwork, params = hypernetwork_of(name, signal)
    inr = parts.INRS[parts.HYPERNETWORKS[name].get('inr', 'siren')](spec.channels)
    batch = parts.datapoints(4, spec)
    weights = jax.jit(lambda d: hypernetwork.decode(params, hypernetwork.encode(params, d).code))(take(batch, 0))
    assert shapes(weights) == shapes_of_init(inr, spec.coord_dims)
    assert inr.apply(weights, batch.coords[0]).shape == (spec.num_points, spec.channels)
    start = jax.jit(hypernetwork.encode)
    assert_equal(*(start(params, with_hidden(take(batch, 0), content)) for content in (np.nan, 1e30)))


@pytest.mark.parametrize('signal', thin(SIGNALS, lambda signal: signal == 'sound'))
@pytest.mark.parametrize('name', thin(parts.LEARNERS, lambda name: name in FEW))
def test_a_learner_trains_on_any_signal(name, signal):
    batch = parts.datapoints(4, SIGNALS[signal])
    _, state, update = learner_of(name, signal)
    after, metrics = update(state, batch, batch)
    assert all_finite((after.params, metrics))
    assert size(jax.tree.map(lambda a, b: a - b, after.params, state.params)) > 0
    # PSNR is in units of the range: that of mean squared error `range ** 2 / 10` is 10 dB.
    low, high = SIGNALS[signal].data_range
    assert -40 < metrics['psnr_db'] < 10 * np.log10((high - low) ** 2) + 60


@pytest.mark.parametrize('name', thin(parts.LEARNERS, lambda name: name in FEW))
def test_what_points_of_weight_0_hold_changes_no_update(name):
    learner, state, update = learner_of(name, 'sound')
    zero, large = (with_hidden(parts.datapoints(4, SOUND), content) for content in (0.0, 100.0))
    generate = jax.jit(learner.generate)
    assert_equal(generate(state.average, take(zero, 0)), generate(state.average, take(large, 0)))
    (after, metrics), (again, same) = (update(state, batch, batch) for batch in (zero, large))
    assert_equal((after.params, dict(metrics)), (again.params, dict(same)))
