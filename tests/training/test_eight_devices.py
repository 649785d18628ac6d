"""The tests of several devices again, on eight."""

import os
import subprocess
import sys

import pytest

from tests.conftest import ROOT

FILES = (
    'training/test_devices.py',
    'runtime/test_sharding.py',
    'training/watching/evaluators/test_reconstruction.py',
)


@pytest.mark.exhaustive
def test_what_holds_on_two_devices_holds_on_eight():
    files = [f'tests/{name}' for name in FILES]
    done = subprocess.run(
        [sys.executable, '-m', 'pytest', '-q', '-p', 'no:cacheprovider', '-p', 'no:xdist', *files],
        cwd=ROOT,
        env={**os.environ, 'HYPERINR_TEST_DEVICES': '8', 'XLA_FLAGS': ''},
        capture_output=True,
        text=True,
        timeout=600,
    )
    assert done.returncode == 0, done.stdout
    assert ' passed' in done.stdout
