"""What tests run under: two CPU devices, no implicit rank promotion, warnings as errors (setup.cfg), one cache.

Most of their time is compilation. XLA therefore compiles without optimisation, all workers and child processes share
one cache on disk (``.cache/tests``; delete it to start cold), and compiled functions stay in memory while there is
room. The environment changes that:

- ``HYPERINR_TEST_AS_USERS=1``: devices, threads and optimisation are those of the command line.
- ``HYPERINR_TEST_DEVICES=8``: another number of devices.
"""

import gc
import os
import resource
import tempfile
from collections.abc import Iterator
from pathlib import Path

import hypothesis
import jax
import pytest

from hyperinr.runtime.compilation_cache import machine_folder
from hyperinr.runtime.environment import set_environment

ROOT = Path(__file__).resolve().parent.parent

# Tracing makes millions of objects that stay; looking through them again and again took a tenth of the time.
gc.set_threshold(100_000, 10, 10)

# Read when jax's first computation starts, by child processes too.
os.environ.setdefault('JAX_PLATFORMS', 'cpu')
os.environ.setdefault('MPLBACKEND', 'Agg')
if os.environ.get('HYPERINR_TEST_AS_USERS') == '1':
    set_environment()
else:
    num_devices = os.environ.get('HYPERINR_TEST_DEVICES', '2')
    flags = f'--xla_force_host_platform_device_count={num_devices} --xla_backend_optimization_level=0'
    os.environ['XLA_FLAGS'] = f'{os.environ.get("XLA_FLAGS", "")} {flags}'.strip()
    os.environ['NPROC'] = '2'
os.environ.setdefault('JAX_COMPILATION_CACHE_DIR', str(machine_folder(ROOT / '.cache' / 'tests')))
os.environ.setdefault('JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS', '0')
# An entry that another process is writing, or was killed while writing, counts as missing; jax warns of it.
os.environ['PYTHONWARNINGS'] = 'ignore:Error reading persistent compilation cache entry'

jax.config.update('jax_platforms', os.environ['JAX_PLATFORMS'])
jax.config.update('jax_compilation_cache_dir', os.environ['JAX_COMPILATION_CACHE_DIR'])
jax.config.update(
    'jax_persistent_cache_min_compile_time_secs', float(os.environ['JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS'])
)
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


MEMORY_BYTES = 3 * 2**30
"""Of one worker; beyond it what is compiled goes, and comes back from the cache on disk."""


@pytest.fixture(scope='module', autouse=True)
def forget_compiled() -> Iterator[None]:
    """Without this the suite would end with the compiled functions of every module in memory."""
    yield
    resident_pages = int(Path('/proc/self/statm').read_text().split()[1])
    if resident_pages * resource.getpagesize() > MEMORY_BYTES:
        jax.clear_caches()
        gc.collect()


@pytest.fixture
def several_devices() -> list[jax.Device]:
    """All devices: two, or eight where `test_eight_devices` runs the tests again."""
    devices = jax.devices()
    assert len(devices) > 1, 'tests/conftest.py asks for several CPU devices before jax starts'
    return devices


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
def figures(monkeypatch):
    """The figures that matplotlib saves during the test, in order; their files are written as well."""
    saved = []
    figure = pytest.importorskip('matplotlib.figure').Figure
    save = figure.savefig

    def savefig(self, *arguments, **options):
        saved.append(self)
        return save(self, *arguments, **options)

    monkeypatch.setattr(figure, 'savefig', savefig)
    return saved


@pytest.fixture
def default_signals():
    """Ctrl-C and SIGHUP act as in a terminal: a process in the background or under nohup ignores them."""
    import signal

    defaults = {signal.SIGINT: signal.default_int_handler, signal.SIGHUP: signal.SIG_DFL}
    before = {number: signal.signal(number, default) for number, default in defaults.items()}
    yield
    for number, earlier in before.items():
        signal.signal(number, earlier)


@pytest.fixture
def run_python(default_signals):
    """Runs Python in a process of its own: ``run_python(code, *arguments, env={}) -> CompletedProcess``."""
    import subprocess
    import sys

    def run(code: str, *arguments: str, cwd: Path | None = None, **env: str) -> subprocess.CompletedProcess:
        environment = {**os.environ, 'PYTHONPATH': str(ROOT), **env}
        command = [sys.executable, '-c', code, *arguments]
        return subprocess.run(command, capture_output=True, text=True, env=environment, cwd=cwd or ROOT, timeout=300)

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
