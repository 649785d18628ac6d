"""What tests run under: eight CPU devices, no implicit rank promotion, one cache, warnings as errors (setup.cfg).

Compiling takes most of their time, so XLA does it without optimisation, unless ``XLA_FLAGS`` names a level: CI's second
part runs as users do.
"""

import os

# Before jax is imported: device and thread counts are read once. Eight threads make it rarer that
# collectives of eight devices deadlock; training itself has none.
os.environ.setdefault('JAX_PLATFORMS', 'cpu')
os.environ['NPROC'] = '8'
os.environ['XLA_FLAGS'] = ' '.join(
    [os.environ.get('XLA_FLAGS', '')]
    + [
        f'{flag}={value}'
        for flag, value in (('--xla_force_host_platform_device_count', 8), ('--xla_backend_optimization_level', 0))
        if flag not in os.environ.get('XLA_FLAGS', '')
    ]
).strip()
os.environ.setdefault('MPLBACKEND', 'Agg')

import tempfile
from collections.abc import Iterator
from pathlib import Path

import hypothesis
import jax
import pytest

jax.config.update('jax_numpy_rank_promotion', 'raise')

# Compilation makes the first example slow and the machine is shared: no deadlines, and the same examples every time.
hypothesis.settings.register_profile('quick', deadline=None, derandomize=True, max_examples=25)
hypothesis.settings.load_profile('quick')


@pytest.fixture(scope='session', autouse=True)
def data_path() -> Iterator[Path]:
    """The dataset cache of this session: nothing that a user has prepared is read or written."""
    before = os.environ.get('DATA_PATH')
    with tempfile.TemporaryDirectory(prefix='hyperinr-tests-') as folder:
        os.environ['DATA_PATH'] = folder
        yield Path(folder)
        if before is None:
            del os.environ['DATA_PATH']
        else:
            os.environ['DATA_PATH'] = before


@pytest.fixture(scope='module', autouse=True)
def forget_compiled() -> Iterator[None]:
    """Without this the suite would end with the compiled functions of every module in memory: several gigabytes."""
    yield
    jax.clear_caches()


@pytest.fixture
def run(capfd):
    """A command in this process: ``run(*arguments) -> (status, stdout, stderr)``."""

    from hyperinr import cli

    def run(*arguments):
        try:
            status = cli.main([*map(str, arguments)])
        except SystemExit as stop:
            status = stop.code
        return status, *capfd.readouterr()

    return run


@pytest.fixture
def run_python():
    """Runs Python in a process of its own: ``run_python(code, *arguments, env={}) -> CompletedProcess``."""
    import subprocess
    import sys

    root = Path(__file__).resolve().parent.parent

    def run(code: str, *arguments: str, cwd: Path | None = None, **env: str) -> subprocess.CompletedProcess:
        environment = {**os.environ, 'PYTHONPATH': str(root), **env}
        command = [sys.executable, '-c', code, *arguments]
        return subprocess.run(command, capture_output=True, text=True, env=environment, cwd=cwd or root, timeout=300)

    return run


@pytest.fixture(scope='session')
def trained_run(tmp_path_factory, data_path) -> Path:
    """The run directory of two tiny steps of the default experiment, by the command line. Not to be written to."""
    from hyperinr import cli
    from tests.tiny_runs import DEFAULT, overrides

    folder = tmp_path_factory.mktemp('trained') / 'run'
    params = [word for binding in overrides(DEFAULT) for word in ('-p', binding)]
    assert cli.main(['train', DEFAULT, '--run', str(folder), *params, '--debug']) == 0
    return folder
