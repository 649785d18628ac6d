"""`hyperinr sweep`: by processes, one by one and in one program, picked up after an end, and what it leaves behind."""

import json

import numpy as np
import pytest

from hyperinr import cli, config
from tests.tiny_runs import DEFAULT, overrides

PARAMS = [
    word
    for binding in [*overrides(DEFAULT, num_steps=4), 'loop.train.validate_every=2', 'loop.train.log_every=2']
    for word in ('-p', binding)
]
NUMBERS = """
[search]
num_trials = {num_trials}
sampler = '{sampler}'
pruner = 'none'
[space]
'adam_cosine.learning_rate' = {{ log = [1e-4, 1e-2] }}
'weight_heads.initial_rate' = {{ log = [0.01, 0.5] }}
'siren.omega_0' = {{ uniform = [10.0, 40.0] }}
SEED = {{ choice = [0, 3] }}
"""


@pytest.fixture
def run(capfd):
    def run(*arguments):
        status = cli.main([*map(str, arguments)])
        return status, *capfd.readouterr()

    return run


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


def test_trials_in_one_program_equal_runs_of_their_own(run, tmp_path):
    space = write_space(tmp_path, NUMBERS.format(num_trials=3, sampler='random'))
    folder = tmp_path / 'sweep'
    status, out, err = run('sweep', DEFAULT, '--space', space, '--run', folder, *PARAMS, '--vmapped', 3)
    assert status == 0, err
    assert '3 trials in 1 programs of 3\n' in out
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
    assert best.value('inrs.siren.omega_0') == trials[number]['drawn']['siren.omega_0']
    assert best.value('experiment.experiment.seed') == trials[number]['drawn']['SEED']
    page = (folder / 'index.html').read_text()
    assert page.count('data:image/png;base64,') >= 3
    assert 'src="http' not in page
    status, out, err = run('sweep', DEFAULT, '--space', space, '--run', folder, *PARAMS, '--vmapped', 3)
    assert status == 0
    assert 'trial 3' not in out
