"""The systems that the fitting benchmark compares solve one and the same problem; and what runs on a GPU runs."""

import configparser
import importlib.util
import json
import math
import os
import re
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import jax
import numpy as np
import pytest

from benchmarks import communication, fitting_systems, large_fit
from benchmarks.faults import __main__ as faults
from benchmarks.faults.processes import Count
from benchmarks.faults.training import TrainingFaults
from benchmarks.fitting_problem import Cell, grid, psnr_db, targets
from benchmarks.on_gpu import __main__ as on_gpu
from benchmarks.on_gpu import numerics
from benchmarks.on_gpu.parts import PARTS, Options
from benchmarks.on_gpu.record import Record, SkippedError, status_of
from benchmarks.on_gpu.summary import summary
from hyperinr import coordinates
from tests.exhaustive import thin

ROOT = Path(__file__).resolve().parent.parent

CELL = Cell(width=16, depth=2, points=64, inrs=3, steps=15)


@pytest.fixture(scope='module')
def expected():
    run, mse = fitting_systems.hyperinr(CELL)
    run()
    return mse()


@pytest.mark.parametrize('system', thin(['usual JAX', 'PyTorch eager'], lambda system: system == 'usual JAX'))
def test_every_system_reaches_the_same_errors(system, expected, monkeypatch):
    if system == 'PyTorch eager':
        pytest.importorskip('torch')
    # Two batches, the second one smaller.
    monkeypatch.setattr(fitting_systems, 'at_once', lambda cell: 2)
    with jax.numpy_rank_promotion('allow'):
        run, mse = fitting_systems.SYSTEMS[system](CELL)
        run()
    np.testing.assert_allclose(mse(), expected, rtol=1e-2)
    assert abs(psnr_db(mse()) - psnr_db(expected)) < 0.1


@pytest.mark.parametrize('system', thin(list(large_fit.SYSTEMS), lambda system: system == 'hyperinr'))
def test_every_system_fits_a_large_file(system, tmp_path, monkeypatch):
    if system != 'hyperinr':
        pytest.importorskip('torch')
    monkeypatch.setattr(large_fit, 'MEASURED', 100)
    np.save(tmp_path / 'wave.npy', np.sin(np.linspace(0, 9, 300)).astype(np.float32) / 2 + 0.5)
    problem = large_fit.problem_of(tmp_path / 'wave.npy', 0.2, points_per_step=50)
    found = large_fit.SYSTEMS[system](problem)
    seconds, psnr = zip(*found['curve'], strict=True)
    assert list(seconds) == sorted(seconds)
    assert max(psnr) > psnr[0]
    assert large_fit.seconds_to(found['curve'], psnr[0]) == seconds[0]
    assert large_fit.seconds_to(found['curve'], 1e9) == math.inf
    assert large_fit.table({'hyperinr': found}).endswith(' 1.00 |')


def test_a_large_fit_of_no_file_is_one_line(monkeypatch, capsys):
    monkeypatch.setattr('sys.argv', ['large_fit', 'nowhere.npy', '--system', 'PyTorch'])
    with pytest.raises(SystemExit) as raised:
        large_fit.main()
    assert raised.value.code == 2
    assert capsys.readouterr().err.splitlines() == ["large_fit: error: there is no array file 'nowhere.npy'."]


@pytest.mark.exhaustive
@pytest.mark.usefixtures('default_signals')
def test_no_fault_of_any_kind_loses_anything(tmp_path):
    found = faults.run(tmp_path / 'faults', small=True, seed=0)
    assert found.keys() == {'train', 'fit'}
    for counts in found.values():
        assert {'closed pipe', 'full disk', 'read-only folder', 'SIGINT, import'} <= counts.keys()
        assert {kind: each.why for kind, each in counts.items() if each.lost or each.survived < each.tried} == {}


def test_a_start_from_zero_and_a_problem_count_as_lost():
    disturbed = object.__new__(TrainingFaults)
    disturbed._expected = 30
    line = '400 steps of 2 datapoints on 2 cpu devices; compiled in 4.0 s'
    right, wrong = (f'resuming runs/a at step {step}\n{line}' for step in (30, 20))
    for out, fine in ((right, True), ('', True), (wrong, False), (line, False)):
        assert (disturbed._resumed(SimpleNamespace(out=out)) == []) == fine
    count = Count()
    count.add([])
    count.add(['status 1'])
    count.add([], lost=4)
    assert (count.tried, count.survived, count.lost, count.why) == (3, 1, 4, ['status 1'])


def test_a_ring_takes_what_its_messages_take():
    assert communication.ring_ms(1000, 1, 1e6, 1.0) == 0
    # Four processes: six messages of 250 floats, each 1 ms of transfer and 2 ms of latency.
    assert communication.ring_ms(1000, 4, 1e6, 2e-3) == pytest.approx(6 * (1 + 2))


def test_the_problem_is_what_it_says():
    np.testing.assert_allclose(grid(64), coordinates.grid((8, 8)))
    values = targets(CELL)
    assert values.shape == (3, 64, 1)
    assert values.min() >= 0
    assert values.max() <= 1
    assert values.std(axis=1).min() > 0.05
    # Weights 2 x 16, 16 x 16 and 16 x 1: forward, their gradients, and the activations' but for the coordinates'.
    assert CELL.flops == 3 * 15 * 2 * 64 * (2 * 32 + 3 * 256 + 3 * 16)
    assert psnr_db(np.array([1e-2, 1e-4])) == pytest.approx(30)


def test_every_precision_of_a_system_is_near_float32(expected):
    for system in (fitting_systems.hyperinr, fitting_systems.usual_jax):
        with jax.numpy_rank_promotion('allow'):
            run, mse = system(CELL, precision='bfloat16')
            run()
        assert not np.array_equal(mse(), expected)
        assert abs(psnr_db(mse()) - psnr_db(expected)) < 0.5


def test_a_record_keeps_rows_and_measures_only_missing_ones(tmp_path):
    record, calls = Record(tmp_path / 'part.json'), []

    def failing():
        calls.append('failing')
        raise ValueError('no')

    def skipped():
        raise SkippedError('not here')

    record.row('good', lambda: {'figures': {'x': np.float32(2), 'y': float('nan')}}, precision='float32')
    record.row('bad', failing)
    record.row('absent', skipped)
    rows = json.loads((tmp_path / 'part.json').read_text())['rows']
    assert rows['good']['figures'] == {'x': 2.0, 'y': None}
    assert rows['good']['precision'] == 'float32'
    assert [rows[name]['status'] for name in ('good', 'bad', 'absent')] == ['done', 'failed', 'skipped']
    assert rows['bad']['error'] == 'ValueError: no'
    assert status_of(record.content) == 'failed'
    again = Record(tmp_path / 'part.json', seconds=9.0)
    again.forget_unfinished()
    again.row('good', failing)
    again.row('bad', lambda: calls.append('again') or {})
    again.row('long', failing, needs=10.0)
    assert calls == ['failing', 'again']
    assert again.rows['long']['status'] == 'out of time'
    assert status_of(again.content) == 'out of time'
    assert '| bad | done |' in summary([again.content])


@pytest.mark.exhaustive
@pytest.mark.parametrize(
    ('code', 'status', 'rows'),
    [
        ('record.row("a", lambda: {}); record.row("b", lambda: os._exit(3)); record.row("c", lambda: {})', 'failed',
         {'a': 'done', 'b': 'failed', 'c': 'done'}),
        ('record.row("a", lambda: {}); record.row("b", lambda: time.sleep(60)); record.row("c", lambda: {})',
         'out of time', {'a': 'done', 'b': 'out of time'}),
        ('raise ImportError("nothing here")', 'failed', {}),
    ],
    ids=['a crash', 'the limit', 'no import'],
)  # fmt: skip
def test_a_part_that_dies_leaves_its_rows_and_the_rest_goes_on(tmp_path, monkeypatch, code, status, rows):
    (tmp_path / 'breaking.py').write_text(f'import os, time\n\n\ndef measure(record, options):\n    {code}\n')
    start = (
        'import sys; from benchmarks.on_gpu import parts, __main__ as program; '
        f'parts.PARTS["numerics"] = parts.Part("breaking", 1.0); sys.path.insert(0, {str(tmp_path)!r}); '
        'sys.exit(program.main())'
    )
    real = subprocess.Popen

    def replaced(command, **options):
        assert command[1:3] == ['-m', 'benchmarks.on_gpu']
        return real([sys.executable, '-c', start, *command[3:]], **options)

    monkeypatch.setattr(on_gpu.subprocess, 'Popen', replaced)
    monkeypatch.setattr(on_gpu, 'GRACE_SECONDS', 1.0)
    record = Record(tmp_path / 'numerics.json')
    on_gpu.run_part('numerics', record, Options(True, tmp_path), 15.0 if status == 'out of time' else 120.0)
    content = json.loads((tmp_path / 'numerics.json').read_text())
    assert content['status'] == status
    assert {name: row['status'] for name, row in content['rows'].items()} == rows
    assert 'nothing here' in content.get('error', '') or rows


def test_the_time_is_shared_and_what_is_done_is_skipped(tmp_path, monkeypatch):
    given = {}
    monkeypatch.setattr(on_gpu, 'run_part', lambda name, record, options, seconds: given.update({name: seconds}))
    Record(tmp_path / 'fitting.json').save(status='done')
    missing = {name: part.minutes for name, part in PARTS.items() if name != 'fitting'}
    on_gpu.run_parts(list(PARTS), tmp_path, Options(True, tmp_path), 60 * sum(missing.values()))
    assert list(given) == list(missing)
    assert given['numerics'] == pytest.approx(60 * missing['numerics'], rel=0.01)
    # The other three took no time at all.
    assert given['images'] == pytest.approx(60 * sum(missing.values()), rel=0.01)


@pytest.mark.exhaustive
def test_float64_is_the_reference():
    found = numerics.in_float64(lambda x: x * x, np.float32(1 + 2**-23))
    assert found.dtype == np.float64
    assert found == (1 + 2**-23) ** 2
    assert numerics.relative_error({'a': np.ones(3), 'b': 2.0}, {'a': np.ones(3), 'b': 1.0}) == pytest.approx(0.5)
    assert 0 < numerics.meta_gradient_error('float32', side=4) < 1e-3


def test_the_wheels_for_a_gpu_machine_hold_every_requirement():
    spec = importlib.util.spec_from_file_location('gpu_wheels', ROOT / 'tools' / 'gpu_wheels.py')
    tool = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(tool)
    settings = configparser.ConfigParser()
    settings.read(ROOT / 'setup.cfg', encoding='utf-8')
    plain = lambda name: re.split(r'[^\w-]', name.replace('_', '-').lower())[0]
    wanted = {plain(line) for line in settings['options']['install_requires'].split('\n') if line}
    brought = {name for names in tool.NEEDED.values() for name in names}
    assert wanted <= brought | set(tool.INSTALLED)
    assert not brought & set(tool.INSTALLED)


@pytest.mark.exhaustive
def test_every_part_of_a_gpus_quarter_of_an_hour_runs_on_a_cpu(tmp_path):
    """``--tiny``: about two minutes on two idle cores."""
    out = tmp_path / 'out'
    command = [sys.executable, '-m', 'benchmarks.on_gpu', '--out', str(out), '--work', str(tmp_path / 'work'), '--tiny']
    plain = {name: value for name, value in os.environ.items() if name not in ('NPROC', 'XLA_FLAGS', 'DATA_PATH')}
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, env=plain, timeout=1800, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert {path.name for path in out.iterdir()} == {'summary.md', *(f'{name}.json' for name in PARTS)}
    assert (out / 'summary.md').read_text() in done.stdout
    for name in PARTS:
        content = json.loads((out / f'{name}.json').read_text())
        assert content['status'] == 'done'
        assert (content['platform'], content['jax']) == ('cpu', jax.__version__)
        assert content['device']
        measured = [row for row in content['rows'].values() if row['status'] == 'done']
        assert measured
        for row in content['rows'].values():
            assert row['status'] == 'done' or row['reason']
        for row in measured:
            assert row['wall_s'] > 0
            for figure, value in row['figures'].items():
                if isinstance(value, float):
                    assert math.isfinite(value), (name, figure)
            assert 0 < row['figures'].get('share_of_peak', 1) < 1.5
            if name in ('demo', 'images'):
                assert len(row['figures']['psnr_db']) > 2
                assert all(point['seconds'] >= 0 and len(point['psnr_db']) > 2 for point in row['curve'])
    assert len(json.loads((out / 'numerics.json').read_text())['rows']) == 8
    assert set(json.loads((out / 'images.json').read_text())['rows']) == {'Meta-SGD', 'low-rank hypernetwork'}
    again = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, env=plain, timeout=300, check=False)
    assert again.returncode == 0
    assert again.stdout.count('done before, skipped') == len(PARTS)
