"""Statistics of parameters, weights, gradients and rates, each against NumPy."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from hyperinr.errors import InputError
from hyperinr.training import devices as devices_lib
from hyperinr.training.watching.evaluators import (
    gradient_norms,
    parameter_statistics,
    step_sizes,
    weight_statistics,
)
from hyperinr.types import Start
from tests.training.subjects import make_state, make_subject
from tests.training.tiny_run import tiny_dataset
from tests.training.toy import toy_learner


@pytest.fixture(scope='module')
def subject():
    dataset = tiny_dataset()
    return make_subject(toy_learner(dataset.spec), dataset)


@pytest.fixture
def state(subject):
    found = make_state(subject)
    params = jax.tree.map(lambda leaf: leaf + 0.25, found.params)
    return found._replace(params=params)


def measured(evaluator, subject, state):
    """Findings, whose figures are those that were promised."""
    prepared = evaluator.prepare(subject)
    findings = prepared.measure(state)
    assert set(prepared.figures) == set(findings.figures)
    return findings


def test_parameters_are_described_module_by_module(subject, state):
    found = measured(parameter_statistics(), subject, state)
    values = np.concatenate([np.ravel(state.params['head'][name]) for name in ('b', 'w')])
    expected = {
        'head/norm': np.sqrt((values**2).sum()),
        'head/deviation': values.std(),
        'head/largest': np.abs(values).max(),
    }
    assert found.figures == pytest.approx(expected, rel=1e-5)
    np.testing.assert_array_equal(np.sort(found.histograms['head']), np.sort(values))
    assert measured(parameter_statistics(histograms=False), subject, state).histograms == {}


def test_weights_are_those_emitted_and_their_spread_is_that_between_datapoints(subject, state):
    found = measured(weight_statistics(num_datapoints=3), subject, state)
    head = jax.tree.map(np.asarray, state.average['head'])
    source = subject.dataset.splits['validation']
    codes = np.stack([source[index].values.mean(axis=0) @ head['w'] + head['b'] for index in (0, 2, 5)])
    for tensor, values in (('layer_0/w', codes[:, :6]), ('layer_0/b', codes[:, 6:])):
        assert found.figures[f'{tensor}/deviation'] == pytest.approx(values.std(), rel=1e-4)
        spread = np.sqrt(np.mean([column.var() for column in values.T]))
        assert found.figures[f'{tensor}/spread'] == pytest.approx(spread, rel=1e-4)
        np.testing.assert_allclose(np.sort(found.histograms[tensor]), np.sort(np.ravel(values)), rtol=1e-4)


def test_a_hypernetwork_that_does_not_look_has_no_spread(subject, state):
    blind = state._replace(average=jax.tree.map(lambda leaf: leaf * 0 + 0.5, state.average))
    blind.average['head']['w'] = blind.average['head']['w'] * 0
    found = measured(weight_statistics(), subject, blind).figures
    assert found['layer_0/w/spread'] == found['layer_0/b/spread'] == 0


def test_gradient_norms_are_those_of_finite_differences(subject, state):
    found = measured(gradient_norms(num_datapoints=4), subject, state).figures
    batch = jax.tree.map(lambda leaf: leaf[:4], subject.batches(0))
    values, unravel = jax.flatten_util.ravel_pytree(state.params)

    @jax.jit
    def loss(values):
        moved = devices_lib.unpack(state._replace(params=unravel(values)))
        return subject.learner.gradient(moved, batch, batch)[1]['loss']

    width = 1e-2
    axes = np.eye(len(values), dtype=np.float32) * width
    slopes = [(float(loss(values + axis)) - float(loss(values - axis))) / (2 * width) for axis in axes]
    assert found['head'] == pytest.approx(np.linalg.norm(slopes), rel=1e-2)
    assert found['all'] == pytest.approx(found['head'])


def test_a_module_that_the_gradient_does_not_reach_is_at_zero(subject, state):
    learner = subject.learner

    def gradient(state, context, target):
        return {'frozen': {'w': jnp.zeros(3)}, 'moving': {'w': jnp.array([3.0, 0.0]), 'b': jnp.array(4.0)}}, {}

    params = {'frozen': {'w': jnp.ones(3)}, 'moving': {'w': jnp.ones(2), 'b': jnp.ones(())}}
    other = subject._replace(learner=learner._replace(gradient=gradient), like=subject.like._replace(params=params))
    found = measured(gradient_norms(), other, state._replace(params=params)).figures
    assert found == {'frozen': 0.0, 'moving': 5.0, 'all': 5.0}


def test_a_number_of_datapoints_that_the_learner_cannot_take_is_refused_before_training(subject):
    def gradient(state, context, target):
        raise ValueError('group_size 4 must divide the 3 datapoints of a device.')

    other = subject._replace(learner=subject.learner._replace(gradient=gradient))
    with pytest.raises(InputError, match='group_size 4 must divide.*another gradient_norms.num_datapoints'):
        gradient_norms(num_datapoints=3).prepare(other)


def with_rates(subject, rates, *, num_steps):
    code = {'a': jnp.zeros((2, 3)), 'b': jnp.zeros(4)}
    encode = lambda params, datapoint: Start(code, jax.tree.map(lambda leaf: leaf * datapoint.values[0, 0], rates))
    hypernetwork = subject.learner.hypernetwork._replace(encode=encode)
    return subject._replace(learner=subject.learner._replace(hypernetwork=hypernetwork, num_steps=num_steps))


def test_step_sizes_count_every_weight_in_every_step(subject, state):
    rates = {'a': jnp.array([1.0, 10.0]).reshape(2, 1, 1), 'b': jnp.array([[1000.0, 0.0, 1000.0, 1000.0]])}
    found = measured(step_sizes(num_datapoints=1), with_rates(subject, rates, num_steps=3), state)
    scale = float(subject.dataset.splits['validation'][0].values[0, 0])
    # Six weights of `a`, four of `b`; the third step goes on with the second's rates.
    for step, own in ((1, 1.0), (2, 10.0), (3, 10.0)):
        expected = {'median': own * scale, 'smallest': 0.0, 'largest': 1000 * scale}
        assert {k: found.figures[f'step_{step}/{k}'] for k in expected} == pytest.approx(expected, rel=1e-5)
        logarithms = np.log10(np.array([own] * 6 + [1000.0] * 3) * scale)
        np.testing.assert_allclose(np.sort(found.histograms[f'step_{step}']), np.sort(logarithms), rtol=1e-4)


def test_a_learner_without_steps_has_no_step_sizes(subject):
    with pytest.raises(InputError, match="adapts in 0 steps, so there are no step sizes: take 'step_sizes' out"):
        step_sizes().prepare(subject)


def test_no_datapoint_is_refused(subject):
    with pytest.raises(InputError, match='its num_datapoints is 0'):
        gradient_norms(num_datapoints=0)
