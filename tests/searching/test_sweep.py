"""`hyperinr sweep`: by processes, one by one and in one program, picked up after an end, and what it leaves behind."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from hyperinr import config
from tests.tiny_runs import DEFAULT, overrides

PARAMS = [
    word
    for binding in [*overrides(DEFAULT, num_steps=4), "held_out_psnr.every='2 steps'", 'loop.train.log_every=2']
    for word in ('-p', binding)
]
NUMBERS = """
[search]
num_trials = {num_trials}
sampler = '{sampler}'
pruner = 'none'
[space]
'adam_cosine.learning_rate' = {{ log = [1e-4, 1e-2] }}
'adam_cosine.weight_decay' = {{ uniform = [0.0, 0.1] }}
SEED = {{ choice = [0, 3] }}
"""


def write_space(folder, text):
    pytest.importorskip('optuna')
    pytest.importorskip('matplotlib')
    path = folder / 'space.toml'
    path.write_text(text)
    return path


def read_trials(folder):
    return {each['number']: each for each in json.loads((folder / 'trials.json').read_text())['trials']}


def records(path, kind):
    lines = map(json.loads, path.read_text().splitlines())
    return [each for each in lines if each['kind'] == kind]


@pytest.mark.exhaustive
def test_trials_in_one_program_equal_runs_of_their_own(run, tmp_path):
    space = write_space(tmp_path, NUMBERS.format(num_trials=3, sampler='random'))
    folder = tmp_path / 'sweep'
    status, out, err = run('sweep', DEFAULT, '--space', space, '--run', folder, *PARAMS, '--vmapped', 3)
    assert status == 0, err
    assert '3 trials in one program\n' in out
    trials = read_trials(folder)
    assert len({json.dumps(each['drawn']) for each in trials.values()}) == 3
    for number in (2,):
        drawn = trials[number]['drawn']
        bindings = [word for name, value in drawn.items() for word in ('-p', f'{name}={value!r}')]
        alone = tmp_path / f'alone{number}'
        assert run('train', DEFAULT, '--run', alone, *PARAMS, *bindings)[0] == 0
        together = folder / 'figures' / f'{number:04d}.jsonl'
        for kind, figures in {'train': ('loss', 'gradient_norm'), 'validation': ('psnr_db',)}.items():
            own, shared = records(alone / 'metrics.jsonl', kind), records(together, kind)
            assert [each['step'] for each in own] == [each['step'] for each in shared] == [2, 4]
            for figure in figures:
                np.testing.assert_allclose(
                    [each[figure] for each in shared], [each[figure] for each in own], rtol=2e-4, atol=1e-4
                )
        measured = records(alone / 'metrics.jsonl', 'validation')[-1]['psnr_db'][-1]
        assert trials[number]['value'] == pytest.approx(measured, abs=1e-3)
        assert trials[number]['reports'].keys() == {'2', '4'}
    best = config.load_config(str(folder / 'best.gin'))
    (number,) = [number for number, each in trials.items() if each['value'] == max(t['value'] for t in trials.values())]
    assert best.value('meta_learning.adam_cosine.learning_rate') == trials[number]['drawn']['adam_cosine.learning_rate']
    assert best.value('experiment.experiment.seed') == trials[number]['drawn']['SEED']
    page = (folder / 'index.html').read_text()
    assert page.count('data:image/png;base64,') >= 3
    assert 'src="http' not in page
    status, out, err = run('sweep', DEFAULT, '--space', space, '--run', folder, *PARAMS, '--vmapped', 3)
    assert status == 0
    assert 'trial 3' not in out


SHAPES = """
[search]
num_trials = 3
sampler = 'grid'
pruner = 'none'
[space]
'siren.width' = { choice = [6, -6, 8] }
"""


@pytest.mark.exhaustive
def test_what_workers_leave_behind_is_finished_by_the_same_command(run, tmp_path):
    """Launcher and two workers are killed: a trial that fails is recorded, one under way is begun again."""
    space = write_space(tmp_path, SHAPES)
    folder = tmp_path / 'sweep'
    arguments = ['sweep', DEFAULT, '--space', str(space), '--run', str(folder), *PARAMS]
    environment = {**os.environ, 'PYTHONPATH': str(Path(__file__).resolve().parents[2])}
    command = [sys.executable, '-m', 'hyperinr', *arguments, '--workers', '2']
    launcher = subprocess.Popen(command, env=environment, start_new_session=True)
    while not list(folder.glob('trials/*/run.json')):
        assert launcher.poll() is None
        time.sleep(0.05)
    os.killpg(launcher.pid, signal.SIGKILL)
    launcher.wait()
    assert not (folder / 'best.gin').exists()
    status, out, err = run(*arguments)
    assert status == 0, err
    assert 'trials run one by one: siren.width' in out
    trials = list(read_trials(folder).values())
    assert sorted(each['drawn']['siren.width'] for each in trials) == [-6, 6, 8]
    (failed,) = [each for each in trials if each['state'] == 'fail']
    assert 'positive' in failed['reason']
    for each in trials:
        if each is not failed:
            assert each['state'] == 'complete'
            (kept,) = each['kept']
            values = records(folder / kept / 'metrics.jsonl', 'validation')
            assert [record['step'] for record in values] == [2, 4]
            assert each['value'] == pytest.approx(values[-1]['psnr_db'][-1])


def test_a_search_that_cannot_work_is_one_line(run, tmp_path):
    space = write_space(tmp_path, SHAPES.replace('6, -6, 8', '-6, -8'))
    arguments = ('sweep', DEFAULT, '--run', tmp_path / 'sweep', *PARAMS)
    for more, message in (
        ((), 'the following arguments are required: --space'),
        (('--space', space, '--workers', 0), '--workers is 0; it must be at least 1'),
        (('--space', space, '--vmapped', 4, '--workers', 2), 'leave --workers and --launcher out'),
        (('--space', space, '--launcher', 'slurm'), "'slurm' is none of local, ray"),
        (('--space', space, '--storage', 'redis'), "'redis' is none of sqlite, journal"),
    ):
        status, _, err = run(*arguments, *more)
        assert (status, len(err.strip().splitlines())) == (2, 1)
        assert message in err
    assert not (tmp_path / 'sweep').exists()
    status, _, err = run(*arguments, '--space', space, '--vmapped', 1)
    assert status == 1
    assert 'none of 2 trials came to an end' in err
    assert 'positive' in err
    status, _, err = run(*arguments, '-p', 'SEED=4', '--space', space)
    assert status == 2
    assert 'a search of another config' in err
