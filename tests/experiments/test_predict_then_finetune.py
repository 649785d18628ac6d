"""The benchmark of starts, shrunken: its plan, its resuming, and what its curves are of."""

import functools
import json

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from experiments import finetuning_curves as curves
from experiments import predict_then_finetune as study
from experiments import starts
from hyperinr import config, fitting
from hyperinr.errors import InputError, InterruptedRunError, RunError
from hyperinr.types import Datapoint, DatasetSpec, Inr
from tests import tiny

TINY = study.SCALES['tiny']


@pytest.mark.parametrize('data', starts.DATA)
def test_every_start_is_a_config_of_its_data_and_steps(data):
    # The tiers above 1 do not differ between images.
    names = starts.starts_for(data, 1 if data == 'photo_patches_64' else 3)
    for name in set(names) - starts.RANDOM.keys():
        start = starts.LEARNED[name]
        bindings = starts.bindings_of(start, starts.data_of(data), width=24)
        resolved = config.load_config(f'experiment/{start.config}.gin', bindings)
        assert resolved.value('inrs.siren.width') == 24
        assert resolved.value('meta_learning.meta_learner.num_steps') == start.num_steps
        trained_on = 'noise_images' if start.kind == 'pretrained' else starts.DATA[data].factory
        assert repr(resolved.value('experiment.experiment.dataset')) == f'@datasets.{trained_on}'
        if data == 'solids':
            images_only = {'convolutional', 'residual', 'dense', 'patch_transformer'}
            assert repr(resolved.value('experiment.experiment.encoder')).rpartition('.')[2] not in images_only


@pytest.mark.exhaustive
@pytest.mark.parametrize('name', ['functa', 'chunked_k1'])
def test_a_size_is_the_largest_that_the_count_allows(name):
    data, start = starts.data_of('photo_patches_32', small=True), starts.LEARNED[name]
    dataset, bindings = data.open(), starts.bindings_of(starts.LEARNED[name], data, width=8)
    (found,) = starts.sized(start, bindings, data, dataset, 600_000)
    assert 0.9 * 600_000 < starts.num_parameters(start, [*bindings, found], dataset) <= 600_000
    with pytest.raises(InputError, match='give a count above 10'):
        starts.sized(start, bindings, data, dataset, 10)


def test_the_grid_has_as_many_parameters_as_the_siren():
    spec = tiny.make_spec(grid_shape=(32, 32))
    siren, grid = (starts.num_weights(starts.random_inr(name, spec, width=64), spec) for name in _PAIR)
    assert abs(grid - siren) < 0.02 * siren


_PAIR = ('random_paper', 'feature_grid')


def test_the_plan_holds_what_is_asked_for_and_small_fits_into_three_hours():
    cells = study.plan(study.SCALES['small'])
    assert len(set(cells)) == len(cells)
    mine = [cell for cell in cells if cell.data == 'photo_patches_32']
    for family in ('heads', 'low_rank', 'film', 'pattern_composers', 'trans_inr', 'chunked'):
        assert {cell.start for cell in mine} >= {f'{family}_k{k}' for k in (0, 1, 3)}
    assert {cell.seed for cell in mine if cell.start == 'meta_sgd'} == {0, 1, 2}
    assert {cell.data for cell in cells if cell.start == 'functa'} == set(starts.DATA)
    assert sum(study.estimate(study.SCALES['small'], cells, 180).values()) <= 180
    both = study.plan(TINY, only=['functa', 'meta_sgd', 'feature_grid'], datasets=['mnist_5k'], seeds=2,
                      budgets=study.BUDGETS, seconds=7)  # fmt: skip
    assert sorted(cell.key for cell in both) == [
        f'row mnist_5k {group} {seed}'
        for group in ('feature_grid seconds 0', 'functa parameters 7', 'functa seconds 7', 'meta_sgd seconds 7')
        for seed in (0, 1)
    ]


@pytest.mark.parametrize('wrong', [{'only': ['mamel']}, {'datasets': ['cifar']}, {'seeds': 0}, {'seconds': -1.0}])
def test_a_wrong_plan_is_refused(wrong):
    with pytest.raises(InputError):
        study.plan(TINY, **wrong)


@pytest.fixture(name='finished', scope='module')
def _finished(tmp_path_factory):
    """A study of three starts, one of which diverges, that was interrupted in measuring the last, and completed."""
    out, patch = tmp_path_factory.mktemp('study'), pytest.MonkeyPatch()
    patch.setattr(study, 'use_compilation_cache', lambda folder: folder)
    patch.setattr(study, 'updates_within', lambda *arguments: 4)
    # Time enough for four updates on any machine.
    cells = study.plan(TINY, only=['random_paper', 'functa', 'maml'], datasets=['photo_patches_32'], seconds=600)
    measure, calls = curves.measure, []

    def interrupted(*arguments, **options):
        calls.append(1)
        if len(calls) == 2:
            raise KeyboardInterrupt
        return measure(*arguments, **options)

    def diverged(name, *arguments, **options):
        if 'maml' in name:
            raise RunError('training diverged at step 3')
        return train_for(name, *arguments, **options)

    train_for = study.train_for
    patch.setattr(curves, 'measure', interrupted)
    patch.setattr(study, 'train_for', diverged)
    with pytest.raises(KeyboardInterrupt):
        study.run(TINY, out, cells)
    before = (out / 'predict_then_finetune.rows.jsonl').read_text()
    trained = {path: path.read_bytes() for path in out.rglob('metrics.jsonl')}
    path = study.run(TINY, out, cells)
    patch.undo()
    return path, before, trained


@pytest.mark.exhaustive
def test_an_interrupted_study_goes_on_with_what_it_has(finished):
    path, before, trained = finished
    assert before.count('"row ') == 2
    assert path.with_suffix('.rows.jsonl').read_text().startswith(before)
    assert trained
    assert all(file.read_bytes() == content for file, content in trained.items())


def test_a_training_that_was_interrupted_is_no_row(tmp_path, monkeypatch):
    def interrupted(*args, **options):
        raise InterruptedRunError('interrupted: saved at step 3')

    monkeypatch.setattr(study, 'train_for', interrupted)
    monkeypatch.setattr(study, 'updates_within', lambda *args: 4)
    cells = study.plan(TINY, only=['maml'], datasets=['photo_patches_32'])
    with pytest.raises(InterruptedRunError):
        study.run(TINY, tmp_path, cells)
    assert '"row ' not in (tmp_path / 'predict_then_finetune.rows.jsonl').read_text()


@pytest.mark.exhaustive
def test_a_row_says_what_was_done(finished):
    rows = {row['start']: row for row in json.loads(finished[0].read_text())['rows']}
    assert set(rows) == {'random_paper', 'functa', 'maml'}
    assert rows['maml']['failed'] == 'training diverged at step 3'
    learned, random = rows['functa'], rows['random_paper']
    assert (learned['updates'], learned['adaptation_steps'], random['adaptation_steps']) == (4, 3, 0)
    assert learned['parameters'] > learned['weights'] == random['weights']
    assert random['training_seconds'] == 0 < learned['training_seconds']
    for row in (learned, random):
        assert row['dataset'] == 'photo_patches_32'
        assert row['resolution'] == [16, 16]
        assert row['steps'][:5] == [0, 1, 2, 3, 4]
        assert row['steps'][-1] == TINY.num_steps
        np.testing.assert_allclose(row['psnr_db'], np.mean(row['psnr_db_per_datapoint'], axis=0), atol=2e-3)
        assert np.diff(row['seconds']).min() >= 0
    assert random['psnr_db'][-1] > random['psnr_db'][0]
    assert study.draw(finished[0])[0].read_text().count('| `functa` |') == 1


# A constant field b: its error is (b - mean)^2 + the variance of the values, and descent at rate 1/2 is exact at once.
CONSTANT = Inr(
    init=lambda key, dims: {'layer_0': {'b': jnp.zeros(1)}},
    apply=lambda weights, coords: jnp.broadcast_to(weights['layer_0']['b'], (coords.shape[0], 1)),
    metadata={},
)
VALUES = np.random.default_rng(0).uniform(size=(3, 10, 1)).astype(np.float32)
BATCH = Datapoint(np.zeros((3, 10, 2), np.float32), VALUES, np.ones((3, 10), np.float32), np.arange(3, dtype=np.int32))
SPEC = DatasetSpec('constant', None, 10, 2, 1, (0.0, 1.0))


def beginning(scale, *, may_fall=True):
    """Two own steps to 0.1 and 0.2, then descent, whose steps the metric multiplies by ``scale``."""
    path = np.array([[0.0], [0.1], [0.2]], np.float32)
    along = lambda batch, num_steps: {'layer_0': {'b': np.tile(path[: num_steps + 1], (len(batch.coords), 1, 1))}}
    return curves.Beginning(
        inr=CONSTANT,
        num_steps=2,
        weights=along,
        generate=lambda batch, num_steps: curves.last(along(batch, num_steps)),
        metric=lambda batch: {'layer_0': {'b': np.full((len(batch.coords), 1), scale, np.float32)}},
        families={'descent': fitting.Family(optax.sgd, (0.5,))},
        may_fall=may_fall,
    )


def test_the_metric_is_used_where_it_is_the_better_rule():
    search = functools.partial(curves.best_rule, searched=BATCH, spec=SPEC, num_steps=6)
    assert not search(beginning(1e-3)).in_metric
    found = search(beginning(1e4))  # Descent can only be brought into range by other rates without it.
    assert found.optimizer == 'descent'
    assert 0.3 < found.rate * (1e4 if found.in_metric else 1) < 0.7


def test_a_rule_that_loses_the_start_is_taken_only_where_it_may(monkeypatch):
    trial = lambda rate, fall, *psnr: fitting.Trial('descent', rate, np.array([20.0, *psnr]), fall)
    # The third never falls in the mean, but one of its datapoints does.
    trials = (trial(0.1, 1.0, 19.0, 40.0, 60.0), trial(0.2, 0.05, 19.95, 21.0, 22.0), trial(0.3, 0.2, 25.0, 30.0, 40.0))
    monkeypatch.setattr(fitting, 'best_rate', lambda *args, **options: fitting.SearchResult('', 0.0, None, trials))
    search = lambda **options: curves.best_rule(beginning(1.0, **options), BATCH, SPEC, num_steps=5)
    assert search(may_fall=True).rate == 0.1
    assert search(may_fall=False).rate == 0.2
    trials = trials[:1]
    assert search(may_fall=False).rate == 0.1


@pytest.mark.parametrize('in_metric', [False, True])
def test_a_curve_is_own_steps_then_the_rule_and_halves_are_judged_on_the_rest(in_metric):
    rule = curves.Rule('descent', 0.5, in_metric)
    curve = curves.measure(beginning(0.5), rule, BATCH, SPEC, num_steps=4, record_steps=(0, 1, 4))
    db = lambda error: -10 * np.log10(error)
    error = lambda b, values: np.mean((values - b) ** 2, axis=(1, 2))
    mean = VALUES.mean(axis=(1, 2), keepdims=True)
    after = [mean, mean] if not in_metric else [0.5 * (mean + 0.2), 0.25 * 0.2 + 0.75 * mean]
    expected = [error(b, VALUES) for b in (0.0, 0.1, 0.2, *after)]
    np.testing.assert_allclose(curve.psnr_db, db(np.stack(expected, axis=1)), rtol=1e-4)
    seen, unseen = (np.asarray(part.weight)[..., None] for part in curves.shown_part(BATCH))
    np.testing.assert_array_equal(seen + unseen, 1)
    np.testing.assert_array_equal(seen.sum(axis=1), 5)
    fitted = (VALUES * seen).sum(axis=1, keepdims=True) / 5
    last = fitted if not in_metric else 0.25 * 0.2 + 0.75 * fitted
    for column, b in enumerate((0.0, 0.1, last)):
        judged = ((VALUES - b) ** 2 * unseen).sum(axis=(1, 2)) / 5
        np.testing.assert_allclose(curve.unseen_psnr_db[:, column], db(judged), rtol=1e-4)
    assert curve.seconds.shape == (5,)
    assert np.all(np.diff(curve.seconds) >= 0)


def test_a_random_start_is_another_for_every_datapoint_and_seed():
    spec = tiny.make_spec()
    inr = starts.random_inr('random_paper', spec, width=4)
    first, second = (curves.random(inr, spec, seed=seed).weights(BATCH, 0)['layer_0']['w'] for seed in (0, 1))
    assert first.shape == (3, 1, 2, 4)
    assert len({leaf.tobytes() for leaf in np.concatenate([first, second])}) == 6


def test_a_step_beyond_the_own_ones_is_needed():
    with pytest.raises(InputError, match='needs more than 2 steps'):
        curves.measure(beginning(1.0), curves.Rule('descent', 0.5, False), BATCH, SPEC, num_steps=2, record_steps=(0,))


@pytest.fixture(autouse=True)
def _no_traces_left():
    yield
    jax.clear_caches()
