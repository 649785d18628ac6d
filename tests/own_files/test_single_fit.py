"""`hyperinr fit-one` from a file of the user's to files of weights, and the starts that it takes."""

import functools
import json
import os
import signal
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from hyperinr import cli, coordinates, files, inrs, kinds, own_files
from hyperinr.errors import InputError, RunError
from hyperinr.files import read_weights
from hyperinr.files.images import read_image
from hyperinr.fitting import Family, optimizers
from hyperinr.kinds import Signal
from hyperinr.own_files import fit_file, partial_state, single_run, sizes, start_from_file
from hyperinr.own_files.single_run import Rule
from hyperinr.own_files.sizes import points_of_step
from tests.tiny_runs import write_images

SMALL = functools.partial(inrs.siren, width=8, depth=2, omega_0=6.0, hidden_omega_0=6.0)
TINY = SMALL(channels=3)


@pytest.fixture(name='photo')
def _photo(tmp_path):
    (image,) = write_images(tmp_path / 'photos', number=1, shape=(12, 16))
    return image


def fit(photo, out, **options):
    return fit_file(SMALL, photo, out=out, **({'rate': 0.01, 'num_steps': 5} | options))


def test_the_command_writes_weights_curve_and_reconstruction(photo, tmp_path):
    out = tmp_path / 'out'
    words = [
        '--inr',
        'adaptive_hosc',
        '--optimizer',
        'muon',
        '--rate',
        'range',
        '--num-steps',
        '40',
        '--longest-side',
        '16',
    ]
    words += ['-p', 'adaptive_hosc.width=12', '-p', 'adaptive_hosc.omega_0=6.0', '--freeze', '*/sharpness']
    words += ['--initialisation', 'bias_15', '--out', str(out), '--format', 'safetensors', '--debug']
    assert cli.main(['fit-one', str(photo), *words]) == 0
    names = {'0.safetensors', '0.png', '0.curve.json', '0.curve.png', '0.rates.json'}
    assert {path.name for path in out.iterdir()} == names
    weights, about = read_weights(out / '0.safetensors')
    curve = json.loads((out / '0.curve.json').read_text())
    image = read_image(photo)[0]
    rebuilt = np.asarray(inrs.from_metadata(about).apply(weights, coordinates.grid((12, 16)))).reshape(image.shape)
    mse = float(np.mean((rebuilt - image) ** 2))
    np.testing.assert_allclose([about['psnr_db'], curve['psnr_db'][curve['best_step']]], -10 * np.log10(mse), atol=0.05)
    assert len(curve['mse']) == 41
    assert curve['mse'][-1] < 0.5 * curve['mse'][0]
    np.testing.assert_allclose(read_image(out / '0.png')[0], np.clip(rebuilt, 0, 1), atol=0.003)
    assert weights['layer_0']['sharpness'] == np.float32(2)
    assert (about['start'], about['inr_chosen']) == ('bias_15', 'by the caller')
    rates = json.loads((out / '0.rates.json').read_text())
    assert curve['rate'] == rates['rate']
    assert len(rates['rates']) == len(rates['mse']) == 100


def test_a_fit_goes_on_from_a_file(photo, tmp_path):
    first = fit(photo, tmp_path / 'a', num_steps=30)
    second = fit(photo, tmp_path / 'b', start=lambda inr, signal: start_from_file(inr, first.weights, signal))
    np.testing.assert_allclose(second.psnr_db[0], first.psnr_db[-1], atol=1e-3)
    fresh = fit(photo, tmp_path / 'c')
    assert abs(fresh.psnr_db[0] - second.psnr_db[0]) > 0.1
    mapped = fit(photo, tmp_path / 'd', data_range=(-100, 400))
    assert mapped.notes[0].endswith('-100 to 400 mapped to [0, 1]')
    assert mapped.psnr_db[0] != fresh.psnr_db[0]
    ranges = [read_weights(each.weights)[1]['signal']['file_range'] for each in (fresh, mapped)]
    assert ranges == [[0, 255], [-100, 400]]


@pytest.mark.exhaustive
def test_a_fit_goes_on_from_a_trained_run(photo, tmp_path, trained_run):
    import hyperinr

    model = hyperinr.load(trained_run)
    signal = Signal(np.asarray(read_image(photo)[0]), (0.0, 1.0))
    start = own_files.start_from_model(model.inr, model, signal)
    options = {'width': model.inr.metadata['width'], 'depth': model.inr.metadata['depth']}
    words = [word for name, value in options.items() for word in ('-p', f'siren.{name}={value}')]
    words += [
        '--initialisation',
        str(trained_run),
        '--rate',
        '1e-9',
        '--num-steps',
        '1',
        '--out',
        str(tmp_path / 'out'),
    ]
    assert cli.main(['fit-one', str(photo), *words, '--debug']) == 0
    weights, _ = read_weights(tmp_path / 'out' / '0.npz')
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, atol=1e-6), weights, start)
    with pytest.raises(InputError, match='the model has INRs with'):
        own_files.start_from_model(TINY, model, signal)


def test_a_step_sees_as_many_points_as_asked_for_and_the_result_is_measured_on_all(
    photo, tmp_path, monkeypatch, capsys
):
    monkeypatch.setattr(sizes, 'LEAST_MEASURED', 30)
    found = fit(photo, tmp_path / 'a', num_steps=45, points_per_step=20, rate='search', quiet=False)
    assert 'each step draws 20 of the 192 points; the curve is of a fixed draw of 30' in capsys.readouterr().out
    curve = json.loads(found.curve.read_text())
    assert curve['points_per_step'] == 20
    assert curve['measured_on'] == 'a fixed draw of 30 of the 192 points, at every 20th step and the last'
    assert len(set(curve['mse'])) == 4
    weights, about = read_weights(found.weights)
    rebuilt = np.asarray(TINY.apply(weights, coordinates.grid((12, 16)))).reshape(12, 16, 3)
    mse = np.mean((rebuilt - read_image(photo)[0]) ** 2)
    np.testing.assert_allclose([about['psnr_db'], found.kept_psnr_db], -10 * np.log10(mse), atol=1e-3)
    assert abs(found.kept_psnr_db - found.psnr_db[-1]) > 1e-3


def test_points_of_a_large_signal_are_drawn(photo, tmp_path, monkeypatch):
    monkeypatch.setattr(sizes, 'FULL_POINTS', 100)
    monkeypatch.setattr(sizes, 'DRAWN_POINTS', 90)
    drawn = json.loads(fit(photo, tmp_path / 'a').curve.read_text())
    assert drawn['points_per_step'] == 90
    assert drawn['measured_on'].startswith('all points, at every 20th step')
    same = fit(photo, tmp_path / 'b', points_per_step=192)
    np.testing.assert_array_equal(same.psnr_db, fit(photo, tmp_path / 'c', points_per_step=10**9).psnr_db)
    assert json.loads(same.curve.read_text())['measured_on'] == 'all points'


@pytest.mark.parametrize(
    ('optimizer', 'asked', 'total', 'falls'),
    [
        ('adam', 50, 192, True),
        ('muon', None, 10**6, True),
        ('adam', None, 192, False),
        ('adam', 10**6, 10**6, False),
        ('conjugate_gradient', 50, 192, False),
    ],
)
def test_the_rate_falls_where_points_are_drawn(optimizer, asked, total, falls):
    rule = Rule(optimizer, lambda schedule: schedule, 'search', 3, points_of_step(asked, total), 0)
    schedule = rule.family_for(3)
    assert (schedule is not None) == falls
    if falls:
        np.testing.assert_allclose([schedule(step) for step in range(4)], [1, 0.7525, 0.2575, 0.01], atol=1e-6)


def test_the_inr_that_is_chosen_is_stated_and_explicit_choices_win(photo, tmp_path, monkeypatch, capsys):
    found = []
    make = lambda channels, **size: found.append(size) or SMALL(channels=channels)
    fitted = fit_file(make, photo, out=tmp_path / 'a', rate=0.01, num_steps=5, sized=True, quiet=False)
    assert found[-1] == {'depth': 3, 'width': 64, 'omega_0': 30.0, 'hidden_omega_0': 30.0}
    assert 'a SIREN with 2 hidden layers of 8 and omega_0 6, chosen for 12 x 16 samples' in capsys.readouterr().out
    assert read_weights(fitted.weights)[1]['inr_chosen'] == 'by the size of the signal'

    def made(*words):
        called = {}
        monkeypatch.setattr(
            own_files, 'fit_file', lambda inr, file, **options: called.update(options, inr=inr) or 1 / 0
        )
        with pytest.raises(ZeroDivisionError):
            cli.main(['fit-one', str(photo), '--out', str(tmp_path / 'c'), '--debug', *words])
        size = {'depth': 3, 'width': 256, 'omega_0': 57.0, 'hidden_omega_0': 30.0} if called['sized'] else {}
        about = called['inr'](channels=3, **size).metadata
        return [about[name] for name in ('width', 'omega_0')]

    assert made() == [256, 57.0]
    assert made('-p', 'siren.width=24') == [24, 57.0]
    assert made('--inr', 'siren') == [64, 30.0]
    assert made('--initialisation', str(fitted.weights)) == [8, 6.0]
    assert made('--initialisation', str(fitted.weights), '-p', 'siren.width=24') == [24, 30.0]


@pytest.mark.parametrize(('rate', 'last'), [(0.3, 'the last was'), (1e19, 'then it diverged')])
def test_the_best_state_is_kept_and_said_so(photo, tmp_path, monkeypatch, rate, last):
    late = lambda rate: optax.scale_by_schedule(lambda step: jnp.where(step < 5, -0.01, rate))
    monkeypatch.setattr(optimizers, 'family', lambda *arguments, **options: Family(late, (rate,)))
    found = fit(photo, tmp_path / 'out', rate=rate, num_steps=9)
    assert found.best_step == 5
    assert (
        f'got worse after step 5 of 9: the state at step 5 is kept ({found.psnr_db[5]:.2f} dB; {last}' in found.notes[0]
    )
    weights, about = read_weights(found.weights)
    rebuilt = np.asarray(TINY.apply(weights, coordinates.grid((12, 16)))).reshape(12, 16, 3)
    mse = np.mean((rebuilt - read_image(photo)[0]) ** 2)
    np.testing.assert_allclose([about['psnr_db'], found.psnr_db[5]], -10 * np.log10(mse), atol=1e-3)
    assert len(json.loads(found.curve.read_text())['mse']) == 10


def test_the_search_tries_rates_of_the_optimiser(photo, tmp_path):
    found = fit(photo, tmp_path / 'a', rate='search', num_steps=4, optimizer='lbfgs')
    assert 0.01 < found.rate < 10


@pytest.mark.parametrize(
    ('options', 'error', 'part'),
    [
        ({'rate': -1.0}, InputError, 'rate must be positive'),
        ({'num_steps': 0}, InputError, 'num_steps is 0'),
        ({'points_per_step': 0}, InputError, 'points_per_step'),
        ({'seed': -1}, InputError, 'seed must be at least 0'),
        ({'data_range': (5, 5)}, InputError, 'not 5,5'),
        ({'data_range': (0, 1e39)}, InputError, '0, ?1e'),
        ({'longest_side': 1}, InputError, 'longest_side is 1'),
        ({'optimizer': 'adma'}, InputError, "'adma'"),
        ({'freeze': ['layer_9']}, InputError, "'layer_9'"),
        ({'rate': 1e30}, RunError, 'diverged'),
    ],
)
def test_wrong_values_are_named_and_nothing_is_written(photo, tmp_path, options, error, part):
    with pytest.raises(error, match=part):
        fit(photo, tmp_path / 'out', **options)
    assert not (tmp_path / 'out').exists() or not list((tmp_path / 'out').iterdir())


def test_the_image_is_never_overwritten(photo):
    with pytest.raises(InputError, match='overwrite'):
        fit(photo, photo.parent)


@pytest.mark.parametrize(
    ('change', 'part'), [({'omega_0': 7.0}, 'omega_0'), ({'width': 9}, 'width'), ({'tile': True}, 'several INRs')]
)
def test_a_file_of_another_inr_is_no_start(tmp_path, change, part):
    weights = TINY.init(jax.random.key(0), 2)
    if change.pop('tile', False):
        weights = jax.tree.map(lambda leaf: np.stack([leaf] * 2), weights)
    files.write_weights(tmp_path / 'a.npz', weights, {**TINY.metadata, **change})
    with pytest.raises(InputError, match=part):
        start_from_file(TINY, tmp_path / 'a.npz', Signal(np.zeros((4, 4, 3), np.float32), (0.0, 1.0)))


@pytest.fixture(name='slow')
def _slow(monkeypatch):
    """Every fit counts as one of many points."""
    monkeypatch.setattr(single_run, 'FULL_POINTS', 1)
    monkeypatch.setattr(single_run, 'SAVE_SECONDS', 0.0)


@pytest.mark.usefixtures('slow')
def test_a_large_fit_is_stopped_and_goes_on_bit_for_bit(photo, tmp_path, monkeypatch, capsys):
    options = {'points_per_step': 50, 'num_steps': 45, 'rate': 'search'}
    whole = fit(photo, tmp_path / 'whole', **options)
    write = partial_state.write_tensors

    def stop(path, tensors, about, **more):
        write(path, tensors, about, **more)
        if about['step'] == 20:
            os.kill(os.getpid(), signal.SIGINT)

    monkeypatch.setattr(partial_state, 'write_tensors', stop)
    with pytest.raises(KeyboardInterrupt, match='saved at step 21; the same command goes on'):
        fit(photo, tmp_path / 'out', **options)
    assert {path.name for path in (tmp_path / 'out').iterdir()} == {'0.partial.npz'}
    monkeypatch.setattr(partial_state, 'write_tensors', write)
    again = fit(photo, tmp_path / 'out', quiet=False, **options)
    assert 'goes on from step 21' in capsys.readouterr().out
    assert not (tmp_path / 'out' / '0.partial.npz').exists()
    np.testing.assert_array_equal(again.psnr_db, whole.psnr_db)
    first, second = (read_weights(each.weights)[0] for each in (whole, again))
    jax.tree.map(np.testing.assert_array_equal, first, second)


@pytest.mark.usefixtures('slow')
@pytest.mark.parametrize('change', [{'seed': 1}, {'num_steps': 44}, {'rate': 0.02}, {'points_per_step': 51}, 'damaged'])
def test_the_state_of_another_fit_or_a_damaged_one_is_refused_and_kept(photo, tmp_path, change):
    usual = {'points_per_step': 50, 'num_steps': 45}
    partial = tmp_path / 'out' / '0.partial.npz'
    kept = []
    unlink = Path.unlink
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Path, 'unlink', lambda path, **options: kept.append(path.read_bytes()) or unlink(path, **options))
        fit(photo, tmp_path / 'out', **usual)
    before = kept[0] if change != 'damaged' else kept[0][:-200]
    partial.write_bytes(before)
    with pytest.raises(InputError, match=r'0\.partial\.npz is .*delete it to begin anew'):
        fit(photo, tmp_path / 'out', **(usual if change == 'damaged' else {**usual, **change}))
    assert partial.read_bytes() == before


@pytest.mark.usefixtures('slow')
@pytest.mark.parametrize(
    ('name', 'value'),
    [('step', 10**9), ('step', -5), ('best_step', 10**6), ('rate', float('nan')), ('step', float('inf'))],
)
def test_a_state_that_cannot_be_is_refused(photo, tmp_path, monkeypatch, name, value):
    write = partial_state.write_tensors
    monkeypatch.setattr(
        partial_state,
        'write_tensors',
        lambda path, tensors, about, **more: write(path, tensors, {**about, name: value}, **more),
    )
    monkeypatch.setattr(Path, 'unlink', lambda path, **options: None)
    fit(photo, tmp_path / 'out', points_per_step=50, num_steps=25)
    with pytest.raises(InputError, match='damaged'):
        fit(photo, tmp_path / 'out', points_per_step=50, num_steps=25)


def test_a_small_fit_leaves_the_states_of_others(photo, tmp_path):
    (tmp_path / 'out').mkdir()
    (tmp_path / 'out' / '0.partial.npz').write_bytes(b'of somebody')
    fit(photo, tmp_path / 'out')
    assert (tmp_path / 'out' / '0.partial.npz').read_bytes() == b'of somebody'


def test_a_reconstruction_that_its_kind_cannot_hold_is_a_note(photo, tmp_path, monkeypatch):
    def refuse(path, values, metadata):
        raise InputError('no surface.')

    image = kinds.KINDS['image']
    monkeypatch.setitem(kinds.KINDS, 'image', image._replace(write=refuse))
    found = fit(photo, tmp_path / 'out')
    assert found.reconstruction is None
    assert 'no reconstruction: no surface.' in found.notes
    assert {path.name for path in (tmp_path / 'out').iterdir()} == {'0.npz', '0.curve.json'}
