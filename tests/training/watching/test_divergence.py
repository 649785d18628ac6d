import jax
import jax.numpy as jnp
import pytest

from hyperinr.errors import RunError
from hyperinr.training.watching.divergence import FallGuard, first_not_finite, locate, not_finite
from tests.training.tiny_run import tiny_dataset
from tests.training.toy import toy_learner


@pytest.fixture
def parts():
    dataset = tiny_dataset()
    learner, batch = toy_learner(dataset.spec), dataset.splits['train'].batch(range(4))
    return learner, learner.init(jax.random.key(0), dataset.splits['train'][0]), batch


def test_not_finite_names_metrics():
    assert not_finite({'loss': float('nan'), 'psnr_db': 3.0, 'norm': float('inf')}) == ['loss is nan', 'norm is inf']


def test_first_not_finite_gives_the_path():
    assert first_not_finite({'a': {'b': jnp.ones(2)}, 'c': [jnp.array([1.0, jnp.nan])]}) == 'c/0'
    assert first_not_finite({'a': jnp.ones(2)}) is None


def test_locate_names_a_bad_parameter(parts):
    learner, state, batch = parts
    state.params['head']['w'] = state.params['head']['w'].at[0, 0].set(jnp.inf)
    assert locate(learner, state, batch, {'loss': float('nan')}) == 'the parameter head/w is not finite'


def test_locate_names_the_loss_and_the_module_with_a_bad_gradient(parts):
    learner, state, batch = parts
    batch = batch._replace(values=batch.values * jnp.float32(1e30))
    said = locate(learner, state, batch, {'loss': float('inf')})
    assert said == 'loss is inf, the gradient of head/w is not finite'


def test_a_lasting_fall_stops_the_run_and_noise_does_not():
    guard = FallGuard()
    for step, psnr in enumerate([5.0, 30.0, 12.0, 31.0, None]):
        guard.check(step, psnr)
    with pytest.raises(RunError, match=r'by step 9: psnr_db fell from 31\.0 to 10\.5 dB'):
        guard.check(9, 10.5)
