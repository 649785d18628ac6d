import jax
import jax.numpy as jnp
import numpy as np
import pytest

from hyperinr import metrics, panels
from hyperinr.datasets.base import Dataset
from hyperinr.errors import InputError, RunError
from hyperinr.training.watching.evaluators import held_out_psnr, reconstruction_grids
from hyperinr.types import DatasetSpec
from tests import tiny
from tests.exhaustive import thin
from tests.training.subjects import make_state, make_subject
from tests.training.tiny_run import SHAPE, tiny_dataset
from tests.training.toy import toy_learner


def subject_of(dataset, *, devices=None):
    return make_subject(toy_learner(dataset.spec), dataset, devices=devices)


def reconstruction(subject, state, datapoint):
    params = jax.tree.map(np.asarray, state.average)
    code = datapoint.values.mean(axis=0) @ params['head']['w'] + params['head']['b']
    return datapoint.coords @ code[:6].reshape(2, 3) + code[6:]


@pytest.mark.parametrize('count', [1, None])
def test_held_out_psnr_is_the_mean_over_datapoints_on_any_number_of_devices(several_devices, count):
    subject = subject_of(tiny_dataset(), devices=several_devices[:count])
    state = make_state(subject)
    found = held_out_psnr(num_datapoints=3).prepare(subject).measure(state)
    expected, rows = [], []
    for position in (0, 2, 5):
        datapoint = subject.dataset.splits['validation'][position]
        values = reconstruction(subject, state, datapoint)
        expected.append(-10 * np.log10(np.mean((values - datapoint.values) ** 2)))
        panels = [np.clip(each, 0, 1).reshape(*SHAPE, 3) for each in (datapoint.values, values, values)]
        rows.append(np.concatenate(panels, axis=1))
    np.testing.assert_allclose(found.curves['psnr_db'], [np.mean(expected)], rtol=1e-5)
    assert found.figures['adapted_psnr_db'] == found.figures['psnr_db_after_0_steps'] == found.curves['psnr_db'][0]
    np.testing.assert_allclose(found.images['original_0_K'], np.concatenate(rows), atol=1e-6)
    assert f'{found.curves["psnr_db"][0]:.2f} dB' in found.line


def test_another_split_other_datapoints():
    subject = subject_of(tiny_dataset())
    state = make_state(subject)
    measured = {
        split: held_out_psnr(split=split, num_pictures=0).prepare(subject).measure(state)
        for split in ('train', 'validation')
    }
    for split, found in measured.items():
        source = subject.dataset.splits[split]
        datapoints = [source[index] for index in range(len(source))]
        each = [metrics.psnr(reconstruction(subject, state, d), d.values, data_range=(0.0, 1.0)) for d in datapoints]
        np.testing.assert_allclose(found.figures['adapted_psnr_db'], np.mean(each), rtol=1e-5)
        assert found.images == {}


def test_a_psnr_that_is_no_number_fails_the_run():
    subject = subject_of(tiny_dataset())
    state = make_state(subject)
    broken = state._replace(average=jax.tree.map(lambda leaf: leaf * np.nan, state.average))
    with pytest.raises(RunError, match='validation after step 0 gave a PSNR that is not a number after 0'):
        held_out_psnr(num_datapoints=1).prepare(subject).measure(broken)


WAYS = {
    'sound': DatasetSpec('sound', (40,), 40, 1, 2, (-1.0, 1.0), kind='sound'),
    'volume': DatasetSpec('volume', (4, 6, 5), 120, 3, 1, (0.0, 1.0)),
    'field': DatasetSpec('field', (5, 8), 40, 3, 2, (0.0, 1.0), kind='field', layout='sphere'),
    'points': DatasetSpec('points', (40,), 40, 1, 1, (0.0, 1.0)),
}


@pytest.mark.parametrize('name', thin(WAYS, lambda name: name in ('sound', 'points')))
def test_every_evaluator_that_draws_measures_signals_of_any_kind(name, caplog):
    spec = WAYS[name]
    source = tiny.Batched(spec, 3)
    if name == 'points':
        spec = spec._replace(grid_shape=None)
    subject = make_subject(toy_learner(spec), Dataset(spec, {'train': source, 'validation': source}), batch_size=2)
    state = make_state(subject)
    measured, drawn = (
        make(num_datapoints=2).prepare(subject).measure(state) for make in (held_out_psnr, reconstruction_grids)
    )
    assert np.isfinite(measured.figures['adapted_psnr_db'])
    if name == 'points':
        assert (measured.images, drawn.images) == ({}, {})
        assert 'the points of points lie on no grid' in caplog.text
        return
    original = panels.panel(source[0].values.reshape(*spec.grid_shape, -1), spec)
    for picture, scale in (
        (measured.images['original_0_K'], 1),
        (drawn.images['grid'], -(-96 // min(original.shape[:2]))),
    ):
        height, width = original.shape[:2]
        np.testing.assert_array_equal(picture[: scale * height : scale, : scale * width : scale], original)


def test_a_grid_shows_the_original_each_step_and_the_error():
    dataset = tiny_dataset()
    learner = toy_learner(dataset.spec)

    def follow(params, start, datapoint, num_steps):
        weights, errors = learner.follow(params, start, datapoint, 0)
        halved = lambda leaf: jnp.stack([leaf[0] * 0.5**n for n in range(num_steps + 1)])
        return jax.tree.map(halved, weights), errors

    subject = make_subject(learner._replace(follow=follow), dataset)
    state = make_state(subject)
    evaluator = reconstruction_grids(num_datapoints=2, steps=(0, 3), error_gain=2.0)
    grid = evaluator.prepare(subject).measure(state).images['grid']
    enlarge, gap = 20, 2
    height, width = SHAPE[0] * enlarge, SHAPE[1] * enlarge
    assert grid.shape == (2 * height + gap, 4 * width + 3 * gap, 3)
    datapoint = subject.dataset.splits['validation'][5]
    values = reconstruction(subject, state, datapoint)
    unit = lambda each: np.clip(each, 0, 1).reshape(*SHAPE, 3)
    error = np.clip(2 * np.abs(unit(values / 8) - unit(datapoint.values)), 0, 1)
    for column, panel in enumerate([unit(datapoint.values), unit(values), unit(values / 8), error]):
        corner = column * (width + gap)
        shown = grid[height + gap :: enlarge, corner : corner + width : enlarge]
        np.testing.assert_allclose(shown, panel, atol=1e-5)
    np.testing.assert_array_equal(grid[height : height + gap], 1)


@pytest.mark.parametrize(
    ('make', 'message'),
    [
        (lambda: held_out_psnr(every='often'), "'often' is no length of training"),
        (lambda: held_out_psnr(num_pictures=-1), 'num_pictures must be at least 0, not -1'),
        (lambda: reconstruction_grids(steps=()), 'must be numbers of adaptation steps'),
        (lambda: reconstruction_grids(error_gain=0.0), r'error_gain must be positive, not 0\.0'),
        (lambda: held_out_psnr(num_datapoints=0).prepare(subject_of(tiny_dataset())), 'num_datapoints is 0'),
        (lambda: held_out_psnr(split='tset').prepare(subject_of(tiny_dataset())), "no split 'tset'; it has train"),
    ],
)
def test_a_wrong_value_is_refused(make, message):
    with pytest.raises(InputError, match=message):
        make()
