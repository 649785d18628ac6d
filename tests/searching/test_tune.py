"""A search goes on where it was, finds what is better, and writes a config that `fit` takes."""

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from hyperinr import config, fitting
from hyperinr.neural_datasets import tuning
from tests.exhaustive import thin
from tests.neural_datasets.tiny_store import CONFIG, OPTIMIZER, SIZES, default_job, tiny_job, write_config

SPACE = """
from __gin__ import dynamic_registration
from hyperinr.neural_datasets import tuning
tuning.search.space = {'adam.learning_rate': ('choice', 1e-6, 3e-2), 'NUM_STEPS': ('integer', 4, 8)}
tuning.search.num_trials = 2
tuning.search.num_signals = 4
"""
PARAMS = [word for binding in SIZES for word in ('-p', binding)]


@pytest.mark.parametrize('storage', thin(['journal', 'sqlite'], lambda storage: storage == 'sqlite'))
def test_a_search_is_resumed_and_its_best_config_fits(run, tmp_path, storage):
    pytest.importorskip('optuna')
    path = write_config(tmp_path, CONFIG + SPACE)
    study = tmp_path / 'study'
    options = ('--study', study, '--storage', storage, *PARAMS)
    status, out, err = run('tune', path, '--trials', '1', *options)
    assert status == 0, err
    assert [line.split(':')[0] for line in out.splitlines() if line.startswith('trial')] == ['trial 0']
    status, out, err = run('tune', path, *options)
    assert status == 0, err
    assert [line.split(':')[0] for line in out.splitlines() if line.startswith('trial')] == ['trial 1']
    assert run('tune', path, *options)[1].count('trial ') == 0
    best = config.load_config(str(study / 'best.gin'))
    assert best.value('optimizers.adam.learning_rate') in (1e-6, 3e-2)
    assert best.value('inrs.siren.width') == 6
    status, _, err = run('tune', path, *options, '-p', 'SEEDS=(9,)')
    assert status == 2
    assert 'a search of another config' in err
    (study / 'config.gin').write_text((study / 'config.gin').read_text() + 'import antigravity\n')
    status, _, err = run('tune', path, *options)
    assert status == 2
    assert 'a search of another config' in err
    if storage == 'journal':
        assert run('fit', study / 'best.gin', '--store', tmp_path / 'store', '--end', '4')[0] == 0


def test_trials_that_are_behind_at_every_chunk_are_given_up(run, tmp_path, monkeypatch):
    """Values are made up: from the seventh trial on each is worse than all before it, from its first chunk."""
    pytest.importorskip('optuna')
    measured, reports = [], []

    def measure(job, found, *, on_chunk):
        measured.append(job)
        for chunk in range(1, 4):
            reports.append((len(measured), chunk))
            on_chunk(chunk, 30.0 - (len(measured) > 6) * 10.0 * len(measured))
        return 30.0

    monkeypatch.setattr(tuning, 'measure', measure)
    path = write_config(tmp_path, CONFIG + SPACE)
    status, out, err = run('tune', path, '--study', tmp_path / 'study', '--trials', '8', *PARAMS)
    assert status == 0, err
    states = [line.split(': ')[1].split(',')[0] for line in out.splitlines() if line.startswith('trial')]
    assert states == ['complete'] * 6 + ['pruned'] * 2
    assert [chunk for trial, chunk in reports if trial == 8] == [1]


@pytest.mark.exhaustive
def test_processes_share_the_trials_of_a_study(tmp_path, run_python):
    pytest.importorskip('optuna')
    path, study = write_config(tmp_path, CONFIG + SPACE), tmp_path / 'study'
    code = 'import sys; from hyperinr import cli; sys.exit(cli.main(sys.argv[1:]))'
    command = ('tune', str(path), '--study', str(study), '--trials', '6', *PARAMS)
    with ThreadPoolExecutor(2) as pool:
        done = [each.result() for each in [pool.submit(run_python, code, *command) for _ in range(2)]]
    for process in done:
        assert process.returncode == 0, process.stderr
    numbers = [line.split(':')[0] for process in done for line in process.stdout.splitlines() if 'trial ' in line]
    assert len(numbers) == len(set(numbers))
    assert len(numbers) == 6
    assert all('best psnr' in process.stdout for process in done)


@pytest.mark.parametrize(
    ('text', 'message'),
    [
        ('', 'space'),
        ("tuning.search.space = {'adam.learning_rat': ('log', 1e-4, 1e-2)}", "did you mean 'learning_rate'"),
        ("tuning.search.space = {'adam.learning_rate': ('log', 1e-2, 1e-4)}", 'is no range'),
        ("tuning.search.space = {'adam.learning_rate': ('even', 1e-4, 1e-2)}", 'must begin with one of log'),
        (
            "tuning.search.space = {'NUM_STEPS': ('integer', 1, 2)}\ntuning.search.objective = 'speed'",
            "objective 'speed' is none of psnr",
        ),
        (
            "tuning.search.space = {'NUM_STEPS': ('integer', 1, 2)}\ntuning.search.objective = 'seconds_to_psnr'",
            'needs neural_dataset.target_psnr_db',
        ),
        (
            "tuning.search.space = {'NUM_STEPS': ('integer', 1, 2)}\ntuning.search.objective = 'accuracy'",
            'needs labels',
        ),
    ],
)
def test_a_wrong_search_is_one_line(run, tmp_path, text, message):
    pytest.importorskip('optuna')
    header = 'from __gin__ import dynamic_registration\nfrom hyperinr.neural_datasets import tuning\n'
    path = write_config(tmp_path, f'{CONFIG}\n{header if text else ""}{text}\n')
    status, _, err = run('tune', path, '--study', tmp_path / 'study', *PARAMS)
    assert status == 2
    assert message in err
    assert len(err.strip().splitlines()) == 1


@pytest.mark.exhaustive
def test_objectives_are_what_they_say():
    job = default_job()
    reports = []
    found = tuning.search(space={'NUM_STEPS': ('integer', 1, 2)}, num_signals=5)
    value = tuning.measure(job, found, on_chunk=lambda number, value: reports.append((number, value)))
    rows = np.arange(5)
    batch = job.signals.batch(rows)
    fitted = fitting.fit(job.inr, job.starts(np.full(5, 3), batch), batch, optimizer=OPTIMIZER, num_steps=4)
    psnr = -10 * np.log10(np.asarray(fitted.mse)[:, -1])
    assert value == pytest.approx(psnr.mean(), rel=1e-4)
    assert [number for number, _ in reports] == [1, 2, 3]
    assert reports[0][1] == pytest.approx(psnr[:2].mean(), rel=1e-4)
    by_size = tuning.measure(job, found._replace(objective='psnr_per_parameter'))
    assert by_size == pytest.approx(value / 81)
    easy = tiny_job(num_steps=9, target_psnr_db=float(psnr.min()) - 1)
    assert 0 < tuning.measure(easy, found._replace(objective='seconds_to_psnr')) < 10


def test_accuracy_is_high_where_weights_tell_the_label_and_chance_where_not():
    pytest.importorskip('sklearn')
    rng = np.random.default_rng(0)
    labels = np.arange(200) % 4
    rows = rng.normal(size=(200, 20)).astype(np.float32)
    assert tuning.classification_accuracy(rows, labels) < 0.5
    assert tuning.classification_accuracy(rows + 8 * np.eye(20)[labels], labels) > 0.95
