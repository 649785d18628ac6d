"""A point of weight 0 is as if it were not there: what it holds changes no bit of what any public function returns."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from hyperinr import fitting, metrics
from hyperinr.errors import InputError
from hyperinr.evaluation.measurement import measure
from hyperinr.fitting import optimizers, rate_range, subsampling
from hyperinr.model import Model
from hyperinr.neural_datasets.fit_job import fit_rows
from hyperinr.training.input_pipeline import check_batch
from hyperinr.types import Datapoint
from hyperinr.weights import spec_of
from tests import parts
from tests.exhaustive import thin
from tests.neural_datasets.tiny_store import tiny_job
from tests.promises import all_finite, assert_equal, take

KEY = jax.random.key(0)
CONTENTS = {'NaN': np.nan, 'infinity': np.inf, '1e30': 1e30}
SPEC = parts.SPEC._replace(grid_shape=(12, 12), num_points=144)


@functools.cache
def letterboxed(content=0.0) -> Datapoint:
    """A batch of which a corner counts; coordinates and values of all other points are ``content``."""
    batch = parts.datapoints(4, SPEC)
    counts = np.zeros((12, 12), bool)
    counts[:6, :6] = True
    return hide(batch, np.broadcast_to(counts.reshape(-1), batch.weight.shape), content)


def hide(batch, counts, content):
    fill = lambda leaf: np.where(counts[..., None], leaf, np.float32(content))
    return batch._replace(
        coords=fill(batch.coords), values=fill(batch.values), weight=np.where(counts, batch.weight, 0)
    )


@functools.cache
def model_of(encoder='set_encoder'):
    learner = parts.make_learner(spec=SPEC, encoder=encoder)
    return Model(learner, jax.jit(learner.init)(KEY, take(letterboxed(), 0)).params, SPEC)


@functools.cache
def starts():
    return jax.vmap(model_of().inr.init, (0, None))(jax.random.split(KEY, 4), 2)


def fit(batch, **options):
    options = {'optimizer': ADAM, 'num_steps': 3} | options
    return fitting.fit(model_of().inr, starts(), batch, **options)


def fit_by(name):
    @functools.cache
    def optimizer():
        return optimizers.make(name, optimizers.RATES[name][0], spec_of(take(starts(), 0)))

    return lambda batch: fit(batch, optimizer=optimizer())


def fit_to_goal(batch):
    return fit(batch, goal=GOAL, probes=batch)


def fit_one(batch):
    one = lambda start, each: fitting.fit_one(model_of().inr, start, each, optimizer=ADAM, num_steps=3)
    return jax.jit(jax.vmap(one))(starts(), batch)


def best_rate(batch):
    found = fitting.best_rate(model_of().inr, starts(), batch, num_steps=2, data_range=SPEC.data_range)
    return [trial.psnr_db for trial in found.trials]


def range_test(batch):
    return rate_range.rate_range(model_of().inr, starts(), batch, make=optax.adam)._asdict()


def measured(batch):
    found = measure(
        lambda datapoints, **steps: model_of().finetune(datapoints, **steps), model_of().inr, SPEC, batch,
        record_steps=(0, 3), timed_steps=(0, 3), num_timing_datapoints=1, num_kept=2,
    )  # fmt: skip
    return found.psnr_db, found.values


def structural_similarity(batch):
    image = lambda points: jnp.reshape(points, (12, 12, 3))
    one = lambda values, weight: metrics.ssim(
        image(0.9 * values), image(values), weight.reshape(12, 12), data_range=(0.0, 1.0), window_size=5
    )
    return jax.vmap(one)(batch.values, batch.weight)


ADAM = optax.adam(1e-2)
GOAL = fitting.Goal(lambda predicted, points: jnp.sum(jnp.square(predicted - points.values)) < 0, 2)
FUNCTIONS = {
    'Model.generate': lambda batch: model_of().generate(batch),
    'Model.generate, an encoder of pictures': lambda batch: model_of('convolutional').generate(batch),
    'Model.finetune': lambda batch: model_of().finetune(batch, num_steps=4, record_steps=(1, 4)),
    'fitting.fit': fit,
    'fitting.fit, conjugate gradients': fit_by('conjugate_gradient'),
    'fitting.fit, some points': lambda batch: fit(
        batch, subsampling=subsampling.by_error(num_points=8, full_pass_every=2)
    ),
    'fitting.fit, a goal': fit_to_goal,
    'fitting.fit_one': fit_one,
    'fitting.best_rate': best_rate,
    'fitting.rate_range': range_test,
    'metrics.psnr': lambda batch: metrics.psnr(0.9 * batch.values, batch.values, batch.weight, data_range=(0.0, 1.0)),
    'metrics.ssim': structural_similarity,
    'evaluation.measure': measured,
}


SLOW = ('evaluation.measure', 'Model.finetune', 'Model.generate, an encoder of pictures')


@functools.cache
def expected(name):
    return FUNCTIONS[name](letterboxed())


@pytest.mark.parametrize('content', CONTENTS)
@pytest.mark.parametrize('name', thin(FUNCTIONS, lambda name: name not in SLOW))
def test_what_does_not_count_changes_no_bit(name, content):
    found = FUNCTIONS[name](letterboxed(CONTENTS[content]))
    assert_equal(found, expected(name))
    assert all_finite([leaf for leaf in jax.tree.leaves(found) if np.shape(leaf)])


UPDATES = {
    'all points': {},
    'drawn points': {'context_points': parts.LEARNERS['some of the points']['context_points'], 'num_target_points': 24},
    'points by error': parts.LEARNERS['points by error, truncated'],
    'every other point': parts.LEARNERS['every other point'],
    'a tenth observed': {'observed_fraction': 0.1},
}


@pytest.mark.parametrize('options', thin(UPDATES, lambda options: options == 'drawn points'))
def test_an_update_sees_only_what_counts(options):
    learner = parts.make_learner(spec=SPEC, **UPDATES[options])
    state, update = jax.jit(learner.init)(KEY, take(letterboxed(), 0)), jax.jit(learner.update)
    after, measured = update(state, letterboxed(), letterboxed())
    for content in CONTENTS.values():
        again, same = update(state, letterboxed(content), letterboxed(content))
        assert_equal((again.params, dict(same)), (after.params, dict(measured)))
    assert all_finite((after.params, measured))


FEW_POINTS = {name: UPDATES[name] | {'num_target_points': 8} for name in ('drawn points', 'a tenth observed')}


@pytest.mark.parametrize('options', thin(FEW_POINTS, lambda options: options == 'drawn points'))
def test_points_are_drawn_among_those_that_count(options):
    """Even where few count, no update is 0 / 0."""
    learner = parts.make_learner(spec=SPEC, **FEW_POINTS[options])
    counts = np.zeros((4, 144), bool)
    counts[:, 50:54] = True
    batch = hide(parts.datapoints(4, SPEC), counts, np.nan)
    state, update = jax.jit(learner.init)(KEY, take(letterboxed(), 0)), jax.jit(learner.update)
    for _ in range(10):
        state, measured = update(state, batch, batch)
        assert all_finite((state.params, measured))


def test_a_store_does_not_depend_on_it(tmp_path):
    job = tiny_job(seeds=(0,))
    signals = job.signals
    size = signals.spec.num_points
    counts = np.arange(size) < size // 2
    found = []
    for content in (0.0, np.nan, 1e30):
        batch = lambda positions, content=content: hide(signals.batch(positions), counts[None], content)
        hidden = type(
            'Hidden', (), {'__getattr__': lambda self, name: getattr(signals, name), 'batch': staticmethod(batch)}
        )
        found.append(fit_rows(job._replace(signals=hidden()), np.arange(4)))
        assert np.isfinite(found[-1]['mse']).all()
    for other in found[1:]:
        for name, column in found[0].items():
            np.testing.assert_array_equal(other[name], column)


def test_a_batch_is_refused_for_what_counts_alone():
    check_batch(letterboxed(np.nan), SPEC, str)
    with pytest.raises(InputError, match='not finite'):
        check_batch(letterboxed()._replace(values=np.full((4, 144, 3), np.nan, np.float32)), SPEC, str)


UNUSABLE = {
    'all weights 0': lambda batch: batch._replace(weight=0 * batch.weight),
    'too large to be summed': lambda batch: batch._replace(weight=np.full_like(batch.weight, 1e38)),
    'negative': lambda batch: batch._replace(weight=-batch.weight),
    'one channel for three': lambda batch: batch._replace(values=batch.values[..., :1]),
    'weights [B, N, 1]': lambda batch: batch._replace(weight=batch.weight[..., None]),
    'fewer coordinates': lambda batch: batch._replace(coords=batch.coords[:, :-1]),
}


@pytest.mark.parametrize('name', UNUSABLE)
def test_a_fit_refuses_unusable_datapoints(name):
    with pytest.raises(InputError, match='weight'):
        fit(UNUSABLE[name](letterboxed()))
