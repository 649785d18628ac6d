"""The evaluation against independent recomputation, and the form of its report."""

import json
from types import SimpleNamespace

import jax
import numpy as np
import pytest

from hyperinr import fitting, metrics
from hyperinr import weights as weights_lib
from hyperinr.datasets.base import select, stack
from hyperinr.errors import InputError
from hyperinr.evaluation import curves
from hyperinr.evaluation.measurement import interval
from hyperinr.evaluation.starts import FAMILIES, equal_feature_grid
from hyperinr.types import DatasetSpec
from tests import tiny

OPTIONS = {
    'num_datapoints': 5,
    'steps': (0, 1, 4),
    'num_search_datapoints': 2,
    'num_timing_datapoints': 2,
    'num_examples': 2,
    'optimizers': ('momentum',),
}


def make_dataset(spec):
    splits = {name: tiny.Waves(spec, 6, seed=seed) for seed, name in enumerate(('train', 'validation', 'test'))}
    return SimpleNamespace(spec=spec, splits=splits)


@pytest.fixture(name='evaluated', scope='module')
def _evaluated():
    return curves.evaluate(tiny.make_model(), make_dataset(tiny.make_spec()), **OPTIONS)


def test_the_report_is_strict_json_of_the_agreed_form(evaluated):
    report = json.loads(json.dumps(evaluated.report, allow_nan=False))
    assert set(report) == {'protocol', 'num_datapoints', 'curves'}
    assert report['num_datapoints'] == 5
    assert list(report['curves']) == ['generated', 'random', 'weight_scaled', 'feature_grid', 'constant']
    for curve in report['curves'].values():
        assert curve['steps'] == [0, 1, 4]
        assert all(len(curve[key]) == 3 for key in ('psnr_db', 'ssim', 'seconds'))
        assert np.shape(curve['psnr_db_per_datapoint']) == (5, 3)
        np.testing.assert_allclose(np.mean(curve['psnr_db_per_datapoint'], axis=0), curve['psnr_db'], rtol=1e-5)
        assert curve['seconds'] == sorted(curve['seconds'])
        assert all(seconds > 0 for seconds in curve['seconds'])
    assert report['protocol']['sources'] == ['wave 0', 'wave 1', 'wave 2', 'wave 4', 'wave 5']


def test_the_generated_curve_counts_steps_from_the_raw_output(evaluated):
    model = tiny.make_model()
    source = make_dataset(model.spec).splits['test']
    found = np.asarray(evaluated.report['curves']['generated']['psnr_db_per_datapoint'])
    adapt = jax.jit(lambda datapoint: model.learner.adapt(model.params, datapoint, 1))
    for row, position in enumerate((0, 1, 2, 4, 5)):
        datapoint = source[position]
        path = adapt(datapoint)
        for step in (0, 1):
            predicted = model.inr.apply(jax.tree.map(lambda leaf, step=step: leaf[step], path), datapoint.coords)
            expected = metrics.psnr(predicted, datapoint.values, data_range=(0.0, 1.0))
            np.testing.assert_allclose(found[row, step], expected, rtol=1e-3)


def test_the_random_start_gets_what_the_protocol_says(evaluated):
    model = tiny.make_model()
    datapoint = make_dataset(model.spec).splits['test'][2]
    chosen = evaluated.report['protocol']['optimizers']['random']
    start = model.inr.init(jax.random.fold_in(jax.random.key(0), 2), 2)
    optimizer = FAMILIES[chosen['optimizer']].make(chosen['learning_rate'])
    mse = fitting.fit_one(model.inr, start, datapoint, optimizer=optimizer, num_steps=4).mse
    found = evaluated.report['curves']['random']['psnr_db_per_datapoint'][2]
    np.testing.assert_allclose(found, metrics.psnr_from_mse(mse, (0.0, 1.0))[np.array([0, 1, 4])], rtol=1e-3)


def test_a_start_chooses_among_the_optimisers_that_are_named(evaluated):
    chosen = evaluated.report['protocol']['optimizers']
    assert {choice['optimizer'] for choice in chosen.values()} == {'momentum'}


def test_the_constant_start_is_the_learned_base(evaluated):
    model = tiny.make_model()
    datapoint = make_dataset(model.spec).splits['test'][0]
    predicted = model.inr.apply(model.learner.hypernetwork.base(model.params), datapoint.coords)
    expected = metrics.psnr(predicted, datapoint.values, data_range=(0.0, 1.0))
    found = evaluated.report['curves']['constant']['psnr_db_per_datapoint'][0][0]
    np.testing.assert_allclose(found, expected, rtol=1e-4)


def test_an_interval_is_over_origins():
    rng = np.random.default_rng(0)
    photographs = rng.normal(30, 3, 20)
    crops = np.repeat(photographs, 8)[:, None] + rng.normal(0, 0.1, (160, 1))
    origins = np.repeat([f'photograph {i}' for i in range(20)], 8).tolist()
    (low,), (high,) = interval(crops, origins)
    half = 1.96 * photographs.std(ddof=1) / np.sqrt(20)
    np.testing.assert_allclose([low, high], photographs.mean() + [-half, half], atol=0.3)
    assert interval(crops, ['one'] * 160) is None


@pytest.mark.parametrize(('coord_dims', 'channels', 'count'), [(1, 1, 500), (2, 3, 8707), (3, 1, 8000)])
def test_an_equal_feature_grid_has_as_many_parameters(coord_dims, channels, count):
    spec = DatasetSpec('any', None, 64, coord_dims, channels, (-2.0, 6.0))
    grid = equal_feature_grid(spec, count)
    weights = grid.init(jax.random.key(0), coord_dims)
    assert abs(weights_lib.count(weights_lib.spec_of(weights)) - count) < 0.1 * count
    np.testing.assert_allclose(grid.apply(weights, np.zeros((1, coord_dims))), 2, atol=0.01)


def test_examples_show_what_the_curves_say(evaluated):
    assert [example.name for example in evaluated.examples] == ['wave 0', 'wave 1']
    example = evaluated.examples[1]
    assert list(example.reconstructions) == ['generated, 0 steps', 'generated, 2 steps', 'random start, 2 steps']
    for caption, image in example.reconstructions.items():
        assert image.shape == (12, 16, 3)
        mse = np.mean(np.square(image - example.original))
        np.testing.assert_allclose(-10 * np.log10(mse), example.psnr_db[caption], rtol=1e-3)


@pytest.mark.exhaustive
def test_a_learned_constant_start_is_not_compared_with_itself():
    model = tiny.make_model(constant=True)
    found = curves.evaluate(model, make_dataset(model.spec), **OPTIONS)
    assert 'constant' not in found.report['curves']


def test_the_least_margins_are_the_worst_of_every_step(evaluated):
    model = tiny.make_model()
    source = make_dataset(model.spec).splits['test']
    datapoints = stack([source[position] for position in (0, 1, 2, 4, 5)])
    chosen = evaluated.report['protocol']['optimizers']['random']
    generated = model.finetune(datapoints, num_steps=4).mse
    keys = [jax.random.fold_in(jax.random.key(0), position) for position in (0, 1, 2, 4, 5)]
    starts = jax.tree.map(lambda *leaves: np.stack(leaves), *(model.inr.init(key, 2) for key in keys))
    optimizer = FAMILIES[chosen['optimizer']].make(chosen['learning_rate'])
    random = fitting.fit(model.inr, starts, datapoints, optimizer=optimizer, num_steps=4).mse
    ours, theirs = (np.mean(-10 * np.log10(np.asarray(mse)), axis=0) for mse in (generated, random))
    found = evaluated.report['protocol']['least_margins']
    adapted = model.learner.num_steps
    np.testing.assert_allclose(found['above_generated_db'], min(ours[adapted:] - ours[adapted]), atol=1e-3)
    np.testing.assert_allclose(found['above_random_db'], min(ours - theirs), atol=1e-3)


def test_steps_to_reach_are_those_of_the_random_start(evaluated):
    reach = evaluated.report['protocol']['steps_to_reach']
    assert reach['generated'] == {'steps': 2}
    generated = tiny.make_model()
    batch = select(make_dataset(generated.spec), 'test', 5)[0]
    mse = generated.finetune(batch, num_steps=2).mse
    np.testing.assert_allclose(reach['psnr_db'], metrics.psnr_from_mse(mse[:, 2], (0.0, 1.0)).mean(), rtol=1e-4)
    for name in ('random', 'weight_scaled', 'feature_grid', 'constant'):
        found = reach[name]
        curve = evaluated.report['curves'][name]['psnr_db']
        assert (found['steps'] is None) == (found['optimizer'] is None)
        assert found['steps'] is not None or max(curve) < reach['psnr_db'] + 1


@pytest.mark.parametrize(
    ('change', 'message'),
    [
        ({'steps': (1, 3)}, 'begin with 0'),
        ({'steps': (0, 3, 3)}, 'increase'),
        ({'steps': (0,)}, 'increase'),
        ({'optimizers': ('adan',)}, 'adam, momentum, lbfgs, conjugate_gradient'),
        ({'optimizers': 'adam'}, "not 'adam'"),
        ({'num_search_datapoints': 0}, 'num_search_datapoints must be at least 1'),
        ({'split': 'tset'}, "no split 'tset'; it has train, validation, test"),
    ],
)
def test_wrong_calls_are_named(change, message):
    with pytest.raises(InputError, match=message):
        curves.evaluate(tiny.make_model(), make_dataset(tiny.make_spec()), **(OPTIONS | change))
