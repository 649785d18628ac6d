"""A shrunken laboratory: it resumes, and says what is beyond doubt."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from experiments import initialisation_lab, initialisation_report
from experiments.study import Rows
from hyperinr.errors import InputError

ROOT = Path(__file__).resolve().parent.parent.parent
NAMES = ['paper', 'no_bias', 'two_layers_frozen']
TINY = initialisation_lab.SCALES['tiny']


@pytest.fixture(name='lab', scope='module')
def _lab(tmp_path_factory):
    out = tmp_path_factory.mktemp('lab')
    path = initialisation_lab.run(TINY, out, variants=NAMES)
    initialisation_report.draw(path)
    return path


def test_orderings_beyond_doubt(lab):
    """Freezing all but the last layer ends higher; without biases the picture is odd, with them it is not."""
    best = initialisation_report.summary(json.loads(lab.read_text())['rows'], 'best')
    assert best['two_layers_frozen']['final_mse'] > 1.5 * best['paper']['final_mse']
    assert best['no_bias']['final_mse'] > 1.5 * best['paper']['final_mse']
    assert best['no_bias']['odd_share'] > 0.999
    assert best['paper']['odd_share'] < 0.9
    said = {claim: verdict for claim, verdict, _ in initialisation_report.verdicts(best)}
    assert said['No bias superimposes the image rotated by 180 degrees'] == 'reproduced'
    assert said['Omega 40 and 50 plateau above omega 30'] == 'not measured'


def test_table_and_picture_are_drawn_from_the_json(lab, figures):
    initialisation_report.draw(lab)
    text = lab.with_suffix('.md').read_text()
    assert all(f'| `{name}` |' in text for name in NAMES)
    rows = json.loads(lab.read_text())['rows']
    assert {(row['variant'], row['seed']) for row in rows} == {(name, seed) for name in NAMES for seed in (0, 1)}
    for row in rows:
        assert np.isfinite(row['curve']).all()
        np.testing.assert_allclose(row['curve'][-1], row['final_mse'], rtol=1e-3)
    drawn = {line.get_label(): line.get_ydata() for line in figures[0].axes[0].lines}
    curves = [row['curve'] for row in rows if row['variant'] == 'paper' and 'best' in row['protocol']]
    np.testing.assert_allclose(drawn['paper'], np.exp(np.log(curves).mean(axis=0)))


def test_a_finished_study_computes_nothing_again(lab, monkeypatch):
    monkeypatch.setattr(initialisation_lab, '_program', None)
    before = json.loads(lab.read_text())['rows']
    initialisation_lab.run(TINY, lab.parent, variants=NAMES)
    assert json.loads(lab.read_text())['rows'] == before


def test_a_kill_loses_no_finished_row(tmp_path):
    """Killed after its first rows, the same command goes on: they stay as they were."""
    command = [sys.executable, '-m', 'experiments.initialisation_lab', '--scale', 'tiny', '--out', str(tmp_path)]
    rows = tmp_path / 'initialisation_lab.rows.jsonl'
    process = subprocess.Popen([*command, '--variant', 'paper'], cwd=ROOT, env=os.environ, stderr=subprocess.DEVNULL)
    while process.poll() is None and not (rows.is_file() and rows.read_text().count('\n') > 1):
        time.sleep(0.02)
    process.send_signal(signal.SIGKILL)
    process.wait()
    before = rows.read_text()
    rows.write_text(before + '{"key": "cut sh')
    initialisation_lab.run(TINY, tmp_path, variants=['paper'])
    assert rows.read_text().startswith(before[: before.rfind('\n') + 1])
    assert (tmp_path / 'initialisation_lab.json').is_file()


def test_rows_of_another_protocol_and_unknown_starts_are_refused(tmp_path):
    Rows(tmp_path / 'a.jsonl', {'size': 1}).add('x', {'value': 2})
    assert 'x' in Rows(tmp_path / 'a.jsonl', {'size': 1})
    with pytest.raises(InputError, match='another protocol'):
        Rows(tmp_path / 'a.jsonl', {'size': 2})
    with pytest.raises(InputError, match='papre'):
        initialisation_lab.run(TINY, tmp_path, variants=['papre'])
