"""The examples in docstrings run as they stand."""

import doctest
import importlib
from pathlib import Path

import pytest

import hyperinr

ROOT = Path(hyperinr.__file__).parent
MODULES = [
    '.'.join(['hyperinr', *path.relative_to(ROOT).with_suffix('').parts])
    for path in sorted(ROOT.rglob('*.py'))
    if '>>> ' in path.read_text(encoding='utf-8')
]


@pytest.mark.parametrize('name', MODULES)
def test_examples_run(name, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    result = doctest.testmod(importlib.import_module(name), optionflags=doctest.NORMALIZE_WHITESPACE)
    assert result.failed == 0


def test_there_are_examples_to_run():
    some = {'hyperinr.coordinates', 'hyperinr.metrics.points', 'hyperinr.weights', 'hyperinr.inrs.sine_mlps'}
    assert some <= set(MODULES)
