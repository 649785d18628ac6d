"""Trials are shared, counted, recorded when they fail, and begun again when their process was killed."""

import os
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import pytest

from hyperinr.errors import InputError, RunError
from hyperinr.searching import search
from hyperinr.searching import study as studies
from hyperinr.searching.space import parameter, space
from hyperinr.searching.space_file import figure
from hyperinr.searching.study import settings

SPACE = space([parameter('x', 'uniform', [-2.0, 3.0], points=4), parameter('k', 'choice', [1, 2])])


def opened(folder, *, total=6, digest='one', storage='journal', resources=(1, 100), **options):
    wanted = settings(SPACE, direction='minimize', num_trials=total, **options)
    return studies.open_trials(folder, wanted, digest=digest, storage=storage, resources=resources)


@pytest.mark.parametrize('storage', ['journal', 'sqlite'])
def test_failures_are_recorded_and_the_search_ends(tmp_path, storage):
    optuna = pytest.importorskip('optuna')

    def objective(trial, drawn):
        if trial.number == 1:
            raise RunError('too hot')
        if trial.number == 2:
            raise optuna.TrialPruned
        return drawn['x'] ** 2 + drawn['k']

    trials = opened(tmp_path, storage=storage, sampler='random')
    studies.run_trials(trials, objective)
    states = [each.state.name for each in studies.ended(trials)]
    assert states == ['COMPLETE', 'FAIL', 'PRUNED', 'COMPLETE', 'COMPLETE', 'COMPLETE']
    said = studies.ended(trials)
    assert [each.number for each in said] == list(range(6))
    assert said[1].user_attrs['reason'] == 'too hot'
    assert len({each.params['x'] for each in said}) == 6
    more = opened(tmp_path, storage=storage, total=7)
    studies.run_trials(more, objective)
    assert len(studies.ended(more)) == 7
    with pytest.raises(InputError, match='a search of another config'):
        opened(tmp_path, storage=storage, digest='two')
    with pytest.raises(InputError, match=f'give --storage {storage}'):
        opened(tmp_path, storage='sqlite' if storage == 'journal' else 'journal')


DAMAGES = {
    'sqlite, other bytes': ('sqlite', lambda path: path.write_bytes(bytes(range(256)) * 20), 'study.db cannot be used'),
    'sqlite, emptied': ('sqlite', lambda path: path.write_bytes(b''), 'study.db is missing or empty'),
    'sqlite, lost': ('sqlite', lambda path: path.unlink(), 'study.db is missing or empty'),
    'journal, cut short': ('journal', lambda path: path.write_bytes(path.read_bytes()[:-9]), 'damaged in line'),
    'journal, other text': (
        'journal',
        lambda path: path.write_bytes(b'{"x\n' + path.read_bytes()),
        'damaged in line 1',
    ),
}


@pytest.mark.parametrize('damage', DAMAGES)
def test_damaged_and_lost_trials_are_refused_and_stay_as_they_are(tmp_path, damage):
    """Beside results a search does not begin anew, and nothing is appended to a line that was cut short."""
    pytest.importorskip('optuna')
    storage, change, message = DAMAGES[damage]
    studies.run_trials(opened(tmp_path, storage=storage, total=2), lambda trial, drawn: drawn['x'])
    (tmp_path / 'trials.json').write_text('{}')
    path = tmp_path / studies.FILES[storage]
    change(path)
    before = path.read_bytes() if path.exists() else None
    with pytest.raises(InputError, match=message):
        opened(tmp_path, storage=storage)
    assert (path.read_bytes() if path.exists() else None) == before


def test_an_objective_that_is_not_measured_ends_the_search_at_its_first_trial(tmp_path):
    pytest.importorskip('optuna')

    def objective(trial, drawn):
        return figure('psnr_dbx', {'psnr_db': 20.0})

    trials = opened(tmp_path)
    with pytest.raises(InputError, match="did you mean 'psnr_db'"):
        studies.run_trials(trials, objective)
    assert [each.state.name for each in studies.ended(trials)] == ['FAIL']


def test_a_grid_is_gone_through_once_however_often_it_is_opened(tmp_path):
    pytest.importorskip('optuna')
    seen = []
    for total in (3, 100):
        trials = opened(tmp_path, total=total, sampler='grid')
        studies.run_trials(trials, lambda trial, drawn: seen.append(drawn) or drawn['x'])
    assert len(seen) == len({tuple(each.items()) for each in seen}) == 8
    assert opened(tmp_path, total=100, sampler='grid').settings.num_trials == 8


@pytest.mark.parametrize('sampler', ['random', 'tpe'])
def test_processes_that_begin_at_once_draw_different_values(tmp_path, sampler):
    pytest.importorskip('optuna')
    one, other = opened(tmp_path, sampler=sampler), opened(tmp_path, sampler=sampler)
    with studies.begun(one, 1) as first, studies.begun(other, 1) as second:
        assert first[0][1]['x'] != second[0][1]['x']
        first_draw = dict(first[0][1])
    (tmp_path / 'again').mkdir()
    again = opened(tmp_path / 'again', sampler=sampler)
    with studies.begun(again, 1) as new:
        assert new[0][1] == first_draw


def test_tpe_searches_where_it_was_good(tmp_path):
    pytest.importorskip('optuna')
    trials = opened(tmp_path, total=40, sampler='tpe')
    studies.run_trials(trials, lambda trial, drawn: (drawn['x'] - 1) ** 2)
    late = [abs(each.params['x'] - 1) for each in studies.ended(trials)][20:]
    assert sum(late) / 20 < 0.8  # A uniform draw: (3^2 + 2^2) / 2 / 5 = 1.3.


@pytest.mark.parametrize(('pruner', 'pruned'), [('none', 0), ('hyperband', 1), ('median', 1)])
def test_pruners_end_what_is_behind(tmp_path, pruner, pruned):
    optuna = pytest.importorskip('optuna')

    def objective(trial, drawn):
        for step in range(1, 28):
            trial.report(float(trial.number), step)
            if trial.should_prune():
                raise optuna.TrialPruned
        return float(trial.number)

    trials = opened(tmp_path, total=14, pruner=pruner, sampler='random', resources=(1, 27))
    studies.run_trials(trials, objective)
    number = sum(each.state.name == 'PRUNED' for each in studies.ended(trials))
    assert min(number, 1) == pruned


def test_an_interruption_puts_the_draw_back(tmp_path):
    pytest.importorskip('optuna')
    trials = opened(tmp_path, total=2, sampler='random')

    def interrupted(trial, drawn):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        studies.run_trials(trials, interrupted)
    lost, _ = trials.study.get_trials()
    assert lost.state.name == 'FAIL'
    assert not studies.ended(trials)
    drawn = []
    studies.run_trials(trials, lambda trial, draw: drawn.append((trial.user_attrs, draw)) or 1.0)
    assert len(drawn) == 2
    assert studies.first_number(studies.ended(trials)[0]) == 0
    assert drawn[0][1]['x'] == lost.params['x']


WORKER = """
import pathlib, sys, time
from tests.searching.test_study import opened, studies
folder = pathlib.Path(sys.argv[1])
def objective(trial, drawn):
    if trial.number == 1:
        (folder / 'here').touch()
        time.sleep(60)
    return drawn['x']
trials = opened(folder, total=3, sampler='random', storage=sys.argv[2])
studies.work_off(trials, lambda: studies.run_trials(trials, objective))
"""


@pytest.fixture
def worker(tmp_path):
    """Starts a process that works on trials of a storage until it waits in its second one."""
    pytest.importorskip('optuna')
    started = []

    def start(storage):
        environment = {**os.environ, 'PYTHONPATH': str(Path(__file__).resolve().parents[2])}
        process = subprocess.Popen([sys.executable, '-c', WORKER, str(tmp_path), storage], env=environment)
        started.append(process)
        while not (tmp_path / 'here').exists():
            assert process.poll() is None
            time.sleep(0.02)
        return process

    yield start
    for process in started:
        process.kill()
        process.wait()


def kill(process):
    process.kill()
    process.wait()


def check_begun_again(trials):
    found = trials.study.get_trials()
    assert [each.state.name for each in found] == ['COMPLETE', 'FAIL', 'COMPLETE', 'COMPLETE']
    again = next(each for each in found[2:] if studies.first_number(each) == 1)
    assert again.params == found[1].params
    assert [each.number for each in studies.ended(trials)] == [0, 2, 3]


@pytest.mark.parametrize('storage', ['journal', 'sqlite'])
def test_a_killed_process_loses_no_trial(tmp_path, worker, storage):
    process = worker(storage)
    trials = opened(tmp_path, total=3, sampler='random', storage=None)  # Finds the storage by itself.
    studies.retry_lost(trials)
    assert trials.study.get_trials()[1].state.name == 'RUNNING'  # Its process is alive.
    kill(process)
    studies.work_off(trials, lambda: studies.run_trials(trials, lambda trial, drawn: drawn['x']))
    check_begun_again(trials)


@pytest.mark.parametrize('storage', ['journal', 'sqlite'])
def test_a_process_at_work_notices_a_killed_one(tmp_path, worker, storage):
    process = worker(storage)
    trials = opened(tmp_path, total=3, sampler='random', storage=storage)

    def objective(trial, drawn):
        kill(process)
        return drawn['x']

    studies.work_off(trials, lambda: studies.run_trials(trials, objective))
    check_begun_again(trials)


def test_values_that_kill_every_process_fail_in_the_end(tmp_path):
    pytest.importorskip('optuna')
    trials = opened(tmp_path, total=1, sampler='random', storage='sqlite')
    for _ in range(studies.MAX_RETRIES + 1):
        assert not studies.ended(trials)
        with studies.begun(trials, 1) as new:
            assert len(new) == 1
            studies.retry_lost(trials)
            assert studies.runs(trials, new[0][0])
        studies.retry_lost(trials)
    assert [each.state.name for each in studies.ended(trials)] == ['FAIL']


@pytest.mark.parametrize(('option', 'value'), [('sampler', 'sobol'), ('pruner', 'mean'), ('storage', 'redis')])
def test_an_unknown_part_is_named(tmp_path, option, value):
    with pytest.raises(ValueError, match=f"{option} '{value}' is none of"):
        opened(tmp_path, **{option: value})


@pytest.mark.parametrize('there', [('config.gin', 'run.json'), ('index.html',), ('config.gin', 'index.html')])
def test_a_folder_with_files_of_another_kind_is_refused_and_left_alone(tmp_path, there):
    pytest.importorskip('optuna')
    pytest.importorskip('matplotlib')
    for name in there:
        (tmp_path / name).write_text("the user's")
    with pytest.raises(
        InputError, match=r'holds no search; give|exists and was not written by hyperinr|a search of another'
    ):
        search.open_search(SimpleNamespace(text='x = 1'), settings(SPACE), tmp_path, storage=None)
    assert {path.name: path.read_text() for path in tmp_path.iterdir()} == dict.fromkeys(there, "the user's")
