"""What the checks say, to people and to programs, and how they are called."""

import json
import re
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from hyperinr import checking, cli, metrics
from hyperinr.checking import few_datapoints, inr_fit, program, reference, short_run, stages
from hyperinr.checking import findings as table
from hyperinr.checking.findings import CODES, Stage, as_json, finding, lines, raise_if_any
from hyperinr.errors import InputError, RunError
from hyperinr.training.watching.evaluators.base import modules
from hyperinr.types import Datapoint
from tests import tiny
from tests.checking.mutations import faulty_images

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
        ({1.0: 25, 0.1: 23, 0.01: 15}, None),
        ({1.0: 20, 0.1: 22, 0.01: 15}, None),
        ({1.0: 25, 0.1: 21}, None),
        ({1.0: 20, 0.1: 24, 0.01: 15}, 'rate_too_high'),
        ({1.0: 16, 0.1: 17, 0.01: 24}, 'rate_too_high'),
        ({1.0: NAN, 0.1: 24, 0.01: 15}, 'rate_too_high'),
        ({1.0: NAN, 0.1: NAN, 0.01: NAN}, 'diverged'),
        ({1.0: 15.2, 0.1: 15, 0.01: 15, 10.0: 18}, 'rate_too_low'),
        ({1.0: 15.2, 0.1: 15, 0.01: 15, 10.0: 15, 1000.0: 18}, 'rate_too_low'),
        ({1.0: 15.2, 0.1: 15, 0.01: 15, 10.0: 15, 1000.0: NAN}, 'stuck'),
    ],
)
def test_the_cause_follows_from_trainings_at_other_steps(ends, cause):
    asked = []

    def training_at(factor):
        asked.append(factor)
        return training([ends[factor]] * 5)

    stage = Stage(3, 'one datapoint', numbers={'first_psnr_db': 15.0, 'num_updates': 40})
    found, lead = few_datapoints.find_rate(training([ends[1.0]] * 5), training_at, stage, 1.0)
    assert lead.startswith('40 updates lead from 15.0 dB to ')
    assert [each.code for each in stage.findings] == ([] if cause in (None, 'stuck') else [f'training.{cause}'])
    assert found == cause
    assert set(map(float, stage.numbers['psnr_db_at_steps_times'])) == {1.0, *asked}
    # Longer steps cost a training more, and are tried only where nothing is learned; still shorter ones where short
    # ones may help.
    assert set(asked) == set(ends) - {1.0}


@pytest.mark.parametrize(
    ('ends', 'found'),
    [
        ({1.0: 12.0}, ''),
        ({1.0: 9.5}, ''),
        ({1.0: 6.0, 0.1: 12.0, 0.01: 10.0}, 'too_high'),
        ({1.0: NAN, 0.1: 12.0, 0.01: 10.0}, 'too_high'),
        ({1.0: 6.0, 0.1: 6.5, 0.01: 7.0}, ''),
        ({1.0: 10.01, 1e3: 10.1, 1e6: 11.5, 1e7: NAN}, 'too_low'),
        ({1.0: 10.0}, ''),
    ],
)
def test_steps_that_go_too_far_or_nowhere_are_told_from_steps_that_only_do_not_help(ends, found):
    stage = Stage(3, 'few datapoints')
    assert few_datapoints.check_inner_rates(lambda factor: np.array([10.0, ends.get(factor, 10.0)]), stage) == bool(
        found
    )
    assert [each.code for each in stage.findings] == ([f'start.inner_rate_{found}'] if found else [])
    assert not few_datapoints.check_inner_rates(lambda _: np.array([10.0]), stage)


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
    assert reference.mean_psnr(datapoint, (0.0, 1.0)) == pytest.approx(-10 * np.log10(0.25))
    assert reference.mean_psnr(datapoint._replace(values=np.ones((3, 1))), (0.0, 1.0)) == metrics.MOST_DB
    spoilt = datapoint._replace(values=np.array([[0.0], [1.0], [NAN]]))
    assert reference.mean_psnr(spoilt, (0.0, 1.0)) == pytest.approx(-10 * np.log10(0.25))


@pytest.mark.parametrize(
    ('mean_db', 'reference_db', 'target_db'),
    [(10, 30, 20), (10, 90, 25), (12, 8, 8), (120, 120, 40), (10, 0, 0), (50, 30, 30)],
)
def test_the_target_is_half_way_from_the_mean_to_the_reference_which_counts_to_40_db(mean_db, reference_db, target_db):
    assert reference.target_psnr([mean_db], np.array([reference_db])) == pytest.approx([target_db])


def noisy(*, values=(0.0, 1.0), span=(-1.0, 1.0)):
    """Two datapoints, leaves ``[2, 81, ...]``, of waves with values and coordinates in these ranges."""
    coords = np.stack([np.stack(np.meshgrid(*[np.linspace(-1, 1, 9)] * 2), axis=-1).reshape(-1, 2)] * 2)
    waves = 0.5 + 0.5 * np.sin(coords @ np.array([[7.0], [3.0]]) + np.array([0.0, 1.0])[:, None, None])
    move = lambda unit, low, high: np.float32(low + (high - low) * unit)
    points = move((coords + 1) / 2, *span), move(waves, *values)
    return Datapoint(*points, np.ones((2, 81), np.float32), np.arange(2, dtype=np.int32))


def test_the_reference_does_not_depend_on_units_nor_on_what_a_hidden_point_holds():
    usual = reference.reference_psnr(noisy(), (0.0, 1.0), num_steps=20)
    assert (usual > 12).all()
    other = noisy(values=(0.0, 255.0), span=(0.0, 8.0))
    np.testing.assert_allclose(reference.reference_psnr(other, (0.0, 255.0), num_steps=20), usual, atol=0.1)


class Fitted(inr_fit.Alone):
    """An INR alone whose fits are known: as it is, with coordinates times 16, with standardised values."""

    def fit(self, starts):
        changed = 'coords' if self.points.coords.max() > 2 else 'values' if np.ndim(self.unit) else ''
        return inr_fit.Fit(1e-3, (starts[changed] - 1, starts[changed] + 1), 0, 5)


@pytest.mark.parametrize(
    ('ends', 'target', 'code', 'said'),
    [
        ({'': 41.0}, None, None, ''),
        ({'': 30.0, 'coords': 32.0}, None, None, ''),
        ({'': 30.0, 'coords': 36.0}, None, 'fit.too_smooth', '36.0 dB with frequencies 16 times as high'),
        ({'': 12.0, 'coords': 12.0, 'values': 21.0}, None, 'fit.misses_target', 'a SIREN of 3 x 64 reaches 36.0 dB'),
        ({'': 12.0, 'coords': 12.0, 'values': 23.0}, None, 'fit.wrong_scale', '23.0 dB with values of mean 0'),
        ({'': 30.0, 'coords': 30.0, 'values': 30.0}, 35.0, 'fit.misses_target', 'the target is 35.0 dB'),
    ],
)
def test_the_cause_of_a_bad_fit_follows_from_fits_to_changed_points(ends, target, code, said, monkeypatch):
    monkeypatch.setattr(inr_fit, 'reference_psnr', lambda *_: np.array([38.0, 34.0]))
    alone = Fitted(None, noisy(), (0.0, 1.0))
    stage = Stage(2, 'one INR alone')
    monkeypatch.setattr(inr_fit, '_standard', lambda starts, data_range: starts)
    starts = {name: np.array(end) for name, end in ends.items()}
    inr_fit.check_inr(alone, starts, alone.fit(starts), stage, names=('first', 'second'), target_psnr_db=target)
    assert [finding.code for finding in stage.findings] == ([code] if code else [])
    assert all(said in each.message and each.message.endswith(': first') for each in stage.findings)
    assert stage.numbers['psnr_db'] == ends['']
    if target is None:
        # Two waves of half the range: means alone give 9 dB. Above half-way to 40 dB no reference is fitted.
        assert stage.numbers['target_psnr_db'] == pytest.approx(9 + (27 if ends[''] < 20 else 31) / 2, abs=0.5)


def test_standardised_values_have_mean_0_and_deviation_1_where_they_count():
    points = noisy(values=(3.0, 9.0))
    points.values[:, :7], points.weight[:, :7] = NAN, 0
    scaled, deviation = reference.standardised(points, (0.0, 10.0))
    assert np.isfinite(scaled.values).all()
    np.testing.assert_allclose(scaled.values[:, 7:].mean(axis=1), 0, atol=1e-6)
    np.testing.assert_allclose(scaled.values[:, 7:].std(axis=1), 1, rtol=1e-5)
    np.testing.assert_allclose(deviation, points.values[:, 7:].std(axis=1)[:, 0], rtol=1e-5)
    constant = points._replace(values=np.full_like(points.values, 4.0))
    assert (reference.standardised(constant, (0.0, 10.0))[0].values == 0).all()


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


@pytest.mark.parametrize(('fault', 'first'), [('NaN pixel', [5]), ('some constant', [0]), ('none', [])])
def test_the_picture_begins_with_what_findings_name_and_the_stages_judge_on(fault, first, monkeypatch):
    drawn = []
    monkeypatch.setattr(stages, 'draw_datapoints', lambda path, datapoints, spec: drawn.extend(datapoints))
    dataset = faulty_images(fault=fault)
    checks = stages._Checks(None, dataset, None, checking.Options(), Path('data.png'), None)
    checks.data(Stage(1, 'the data'))
    positions = [int(each.index) for each in drawn]
    chosen = [each.position for each in checks._chosen] if fault == 'none' else []
    assert positions[: len(first + chosen)] == first + chosen
    assert len(positions) == len(set(positions)) == stages.NUM_SHOWN


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
