"""The scripts of ``examples/``: their data and parts are right, and as they stand they train and print figures."""

import inspect
import re
import runpy
import sys
from pathlib import Path

import numpy as np
import pytest

import hyperinr
from hyperinr.datasets import Dataset

EXAMPLES = Path(__file__).resolve().parents[2] / 'examples'
NAMES = sorted(path.stem for path in EXAMPLES.glob('*.py'))
MOST_LINES = 40


def run_example(name):
    """Run the script with two training steps."""
    sys.argv = [f'{name}.py', '2']
    runpy.run_path(str(EXAMPLES / f'{name}.py'), run_name='__main__')


@pytest.fixture(autouse=True)
def _in_a_folder_of_its_own(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, 'argv', sys.argv)


class ReachedError(Exception):
    """The script called `hyperinr.train`."""


@pytest.mark.parametrize('name', NAMES)
def test_an_example_gives_data_and_parts_that_go_together(name, monkeypatch):
    called = {}

    def train(*args, **kwargs):
        called.update(inspect.signature(original).bind(*args, **kwargs).arguments)
        raise ReachedError

    original = hyperinr.train
    monkeypatch.setattr(hyperinr, 'train', train, raising=False)
    with pytest.raises(ReachedError):
        run_example(name)
    assert isinstance(called['dataset'], Dataset)
    assert called['num_steps'] == 2
    spec = called['dataset'].spec
    assert type(spec).from_json(spec._asdict()) == spec
    if 'inr' in called:
        called['inr'](channels=spec.channels)
    if 'encoder' in called:
        called['encoder'](spec=spec)


@pytest.mark.exhaustive
@pytest.mark.parametrize('name', NAMES)
def test_an_example_runs(name, capsys):
    run_example(name)
    (printed,) = re.findall(r'PSNR in dB after 0, 1, \.\.\. steps: \[([^]]*)\]', capsys.readouterr().out)
    psnr_db = np.array(printed.split(), float)
    assert psnr_db.shape == (11,)
    assert psnr_db[10] > psnr_db[0]


@pytest.mark.parametrize('name', NAMES)
def test_an_example_is_short_and_says_how_to_run_it(name):
    lines = (EXAMPLES / f'{name}.py').read_text(encoding='utf-8').splitlines()
    assert len(lines) < MOST_LINES
    assert lines[0].endswith(f'Run: python examples/{name}.py"""')
