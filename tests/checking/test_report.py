"""What the checks say, to people and to programs, and how they are called."""

import json
import re
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from hyperinr import checking, cli, metrics
from hyperinr.checking import findings as table
from hyperinr.checking import inr_fit, one_datapoint, program, short_run, stages
from hyperinr.checking.findings import CODES, Stage, as_json, finding, lines, raise_if_any
from hyperinr.errors import InputError, RunError
from hyperinr.training.watching.evaluators.base import modules
from hyperinr.types import Datapoint
from tests import tiny

ROOT = Path(__file__).resolve().parent.parent.parent
NAN = float('nan')
FOUND = Stage(1, 'the data', '12 points', [finding('data.empty', split='train', at=np.float32(NAN))])
FINE = Stage(
    2,
    'one INR alone',
    '30 dB',
    [finding('data.equal_channels', channels=3, num_datapoints=5)],
    {'psnr_db': np.float32(30)},
)
UNREACHED = Stage(3, 'one datapoint', '', reached=False)


def test_lines_tell_problems_from_notes_and_what_was_not_reached():
    assert lines(FOUND)[0] == '1  FAIL  the data: 12 points (0 s)'
    assert lines(FOUND)[1].split(maxsplit=1) == [
        'data.empty',
        "the split 'train' holds no datapoint. Add datapoints to the split.",
    ]
    assert lines(FINE)[0].startswith('2  pass  ')
    assert 'note: all 3 channels are equal in all 5 datapoints. Set channels' in lines(FINE)[1]
    assert lines(UNREACHED) == ['3  ----  one datapoint: not reached']


def test_json_is_plain_and_lists_the_codes_of_problems():
    told = as_json([FOUND, FINE, UNREACHED])
    assert json.loads(json.dumps(told, allow_nan=False)) == told
    assert told['codes'] == ['data.empty']
    assert told['passed'] is False
    assert [stage['outcome'] for stage in told['stages']] == ['fail', 'pass', 'not reached']
    assert told['stages'][0]['findings'][0]['numbers'] == {'split': 'train', 'at': None}
    assert told['stages'][1]['numbers'] == {'psnr_db': 30.0}


def test_a_failed_stage_is_an_error_and_a_note_is_none():
    raise_if_any([FINE])
    with pytest.raises(RunError, match=r'stage 1, the data, fails: data\.empty'):
        raise_if_any([FOUND, UNREACHED])


def test_every_row_of_the_table_is_said_somewhere_and_every_one_said_is_a_row():
    sources = (path.read_text(encoding='utf-8') for path in (ROOT / 'hyperinr' / 'checking').glob('*.py'))
    said = set(re.findall(r"'((?:data|fit|start|memory|training)\.[a-z_]+(?:/[a-z]+)?)'", ''.join(sources)))
    causes = {'training.rate_too_high', 'training.rate_too_low', 'training.diverged'}
    assert said | causes == set(table.TABLE)
    assert {name.partition('/')[0] for name in table.TABLE} == set(CODES)


@pytest.mark.parametrize(
    'options',
    [
        {'stages': ()},
        {'stages': (2, 1)},
        {'stages': (1, 5)},
        {'stages': (1, 1)},
        {'target_psnr_db': NAN},
        {'memory_gib': 0.0},
        {'memory_gib': NAN},
        {'num_updates': 1},
    ],
)
def test_options_that_cannot_be_are_refused(options):
    with pytest.raises(InputError, match=r'stages|target|memory|updates'):
        checking.Options(**options)


@pytest.mark.parametrize(
    ('arguments', 'part'),
    [
        (('experiment/photo_patches_siren.gin', '--stages', '2', '7'), 'stages'),
        (('experiment/photo_patches_siren.gin', '--rungs', '0'), 'stages'),
        (('experiment/photo_patches_siren.gin', '--memory', '-3'), 'memory'),
        (('experiment/photo_patches_siren.gin', '--target', 'high'), "'high'"),
        (('experiment/image_folder_siren.gin', '-p', "image_folder.path='nowhere'"), 'nowhere'),
        (('nothing.gin',), 'no config'),
    ],
)
def test_a_wrong_call_is_one_line_and_writes_nothing(arguments, part, tmp_path, monkeypatch, capfd):
    monkeypatch.chdir(tmp_path)
    try:
        status = cli.main(['check', *arguments])
    except SystemExit as stop:
        status = stop.code
    (line,) = capfd.readouterr().err.strip().splitlines()
    assert status == 2
    assert part in line
    assert not list(tmp_path.iterdir())


def training(psnr_db, *, gradient_norm=1.0):
    """A training with this PSNR in each update."""
    values = np.asarray(psnr_db, np.float64)
    metrics = {'psnr_db': values, 'gradient_norm': np.full(len(values), gradient_norm)}
    return program.Training(None, metrics, np.zeros(len(values)), np.zeros(len(values)))


def test_the_score_of_a_training_is_its_last_updates_or_nothing():
    assert training([0, 0, 10, 11, 12, 13, 14]).score_db == 12
    assert training([10, 20, NAN]).score_db == -np.inf
    assert training([10, 20], gradient_norm=np.inf).score_db == -np.inf


@pytest.mark.parametrize(
    ('ends', 'cause'),
    [
        ({1.0: 25, 0.1: 20, 0.01: 15}, None),
        ({1.0: 20, 0.1: 22, 0.01: 15}, None),
        ({1.0: 20, 0.1: 24, 0.01: 15}, 'rate_too_high'),
        ({1.0: 16, 0.1: 17, 0.01: 24}, 'rate_too_high'),
        ({1.0: NAN, 0.1: 24, 0.01: 15}, 'rate_too_high'),
        ({1.0: NAN, 0.1: NAN, 0.01: NAN}, 'diverged'),
        ({1.0: 15.2, 0.1: 15, 0.01: 15, 10.0: 18}, 'rate_too_low'),
        ({1.0: 15.2, 0.1: 15, 0.01: 15, 10.0: 15}, 'stuck'),
    ],
)
def test_the_cause_follows_from_trainings_at_other_steps(ends, cause):
    asked = []

    def training_at(factor):
        asked.append(factor)
        return training([ends[factor]] * 5)

    stage = Stage(3, 'one datapoint', numbers={'first_psnr_db': 15.0, 'num_updates': 40})
    found, lead = one_datapoint.find_rate(training([ends[1.0]] * 5), training_at, stage, 1.0)
    assert lead.startswith('40 updates lead from 15.0 dB to ')
    assert [each.code for each in stage.findings] == ([] if cause in (None, 'stuck') else [f'training.{cause}'])
    assert found == cause
    assert set(map(float, stage.numbers['psnr_db_at_steps_times'])) == {1.0, *asked}
    # Longer steps cost a training more, and are tried only where nothing is learned.
    assert (10.0 in asked) == (10.0 in ends)


@pytest.mark.parametrize(
    ('ends', 'found'),
    [
        ({1.0: 12.0, 0.1: 11.0, 0.01: 10.0}, False),
        ({1.0: 9.5, 0.1: 20.0, 0.01: 10.0}, False),
        ({1.0: 6.0, 0.1: 12.0, 0.01: 10.0}, True),
        ({1.0: NAN, 0.1: 12.0, 0.01: 10.0}, True),
        ({1.0: 6.0, 0.1: 6.5, 0.01: 7.0}, False),
    ],
)
def test_steps_that_go_too_far_are_told_from_steps_that_only_do_not_help(ends, found):
    stage = Stage(3, 'one datapoint')
    curves = {factor: np.array([10.0, end]) for factor, end in ends.items()}
    assert one_datapoint.check_inner_rates(curves, stage) == found
    assert [each.code for each in stage.findings] == (['start.inner_rate_too_high'] if found else [])
    assert not one_datapoint.check_inner_rates({factor: np.array([10.0]) for factor in ends}, stage)


@pytest.mark.parametrize(
    ('after', 'without', 'found'),
    [(0.2, [], []), (0.1, ['rates'], ['training.rates_constant']), (0.1, [], ['training.rates_frozen'])],
)
def test_step_sizes_that_stay(after, without, found):
    rates = lambda value: {'layer_0': {'w': np.full((1, 2, 3), value), 'b': np.zeros((1, 3))}}
    stage = Stage(4, 'a short run')
    short_run.check_rates(rates(0.1), rates(after), without, stage)
    assert [each.code for each in stage.findings] == found
    assert stage.numbers['median_rate'] == pytest.approx(after)


def test_modules_are_named_by_their_paths_and_shifted_one_by_one():
    params = {'heads': {'head_0': {'w': np.zeros((2, 3)), 'b': np.zeros(3)}, 'head_1': {'w': np.zeros(4)}}}
    params['rates'] = np.zeros(2)
    assert {name: len(leaves) for name, leaves in modules(params).items()} == {
        'heads/head_0': 2,
        'heads/head_1': 1,
        'rates': 1,
    }
    shifted = short_run.shifted(params, 'heads/head_0')
    assert {name: float(np.mean(leaves[0])) for name, leaves in modules(shifted).items()} == {
        'heads/head_0': 1,
        'heads/head_1': 0,
        'rates': 0,
    }
    assert short_run.same(params, short_run.shifted(params, 'heads/head_2'))
    assert not short_run.same(params, shifted)


def test_the_mean_as_a_prediction():
    values = np.array([[0.0], [1.0], [7.0]])
    datapoint = Datapoint(np.zeros((3, 2)), values, np.array([1.0, 1.0, 0.0]), np.int32(0))
    assert inr_fit.mean_psnr(datapoint, (0.0, 1.0)) == pytest.approx(-10 * np.log10(0.25))
    assert inr_fit.mean_psnr(datapoint._replace(values=np.ones((3, 1))), (0.0, 1.0)) == metrics.MOST_DB


def test_a_large_datapoint_is_thinned_to_points_that_count():
    points = 3 * inr_fit.MAX_POINTS
    weight = (np.arange(points) % 2).astype(np.float32)
    values = np.arange(points, dtype=np.float32)[:, None]
    large = Datapoint(np.zeros((points, 2), np.float32), values, weight, np.int32(0))
    few = inr_fit.some_points(large)
    assert few.values.shape == (inr_fit.MAX_POINTS, 1)
    assert (few.weight > 0).all()
    assert len(set(few.values[:, 0].tolist())) == inr_fit.MAX_POINTS
    small = large._replace(coords=large.coords[:9], values=values[:9], weight=weight[:9])
    assert inr_fit.some_points(small) is small


def test_longer_updates_make_shorter_trainings():
    dataset = type('Small', (), {'spec': tiny.make_spec()})
    learner = tiny.make_learner(dataset.spec)
    operations = learner.flops(tiny.Waves(dataset.spec, 1)[0]._replace(coords=np.zeros((4, 192, 2))))
    assert stages.training_length(learner, dataset, 4) == stages.MAX_UPDATES
    wanted = 40
    heavy = learner._replace(flops=lambda batch: stages.TRAINING_FLOPS / wanted * len(batch.coords) / 4)
    assert stages.training_length(heavy, dataset, 4) == wanted
    assert stages.training_length(heavy, dataset, 400) == stages.MIN_UPDATES
    assert operations < stages.TRAINING_FLOPS / stages.MAX_UPDATES


MUTATED = """
from __gin__ import dynamic_registration
from hyperinr.training import experiment
from tests.checking import mutations

include 'experiment/noise_images_siren.gin'
experiment.experiment.dataset = @mutations.faulty_images
mutations.faulty_images.fault = '{fault}'
"""


@pytest.mark.parametrize(
    ('fault', 'status', 'codes'), [('none', 0, []), ('NaN pixel', 1, ['data.not_finite']), ('grey', 0, [])]
)
def test_the_command_writes_its_findings_and_its_status_says_whether_all_passed(
    fault, status, codes, tmp_path, monkeypatch, capfd
):
    monkeypatch.chdir(tmp_path)
    Path('mine.gin').write_text(MUTATED.format(fault=fault), encoding='utf-8')
    assert cli.main(['check', 'mine.gin', '--stages', '1', '--json', 'found.json']) == status
    told = json.loads(Path('found.json').read_text(encoding='utf-8'))
    assert told['codes'] == codes
    assert [stage['stage'] for stage in told['stages']] == [1]
    with Image.open('checks/mine/data.png') as picture:
        drawn = np.asarray(picture)
    assert (drawn == drawn[..., :1]).all() == (fault == 'grey')
    out, err = capfd.readouterr()
    assert ('1  pass' in out) == (status == 0)
    assert ('data.equal_channels' in out) == (fault == 'grey')
    assert err == ('hyperinr: error: stage 1, the data, fails: data.not_finite.\n' if codes else '')
