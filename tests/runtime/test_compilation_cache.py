"""The compilation cache: a second process compiles nothing anew and finds the same."""

import pytest

from hyperinr.errors import InputError
from hyperinr.runtime.compilation_cache import use_compilation_cache

FIT = """
import sys
from pathlib import Path

import jax

from hyperinr.runtime import compilation_cache

hits = []
jax.monitoring.register_event_listener(lambda event, **_: hits.append(event) if event.endswith('cache_hits') else None)
compilation_cache.MIN_COMPILE_SECONDS = 0.0
compilation_cache.use_compilation_cache(Path(sys.argv[1]))

import optax
from hyperinr import fitting
from tests.fitting.problems import SIREN, batch, starts

result = fitting.fit(SIREN, starts(SIREN, 2), batch(2), optimizer=optax.adam(1e-3), num_steps=3)
print(result.mse.tobytes().hex(), len(hits))
"""


def test_a_second_process_finds_what_the_first_compiled(run_python, tmp_path):
    first, second = (run_python(FIT, str(tmp_path)) for _ in range(2))
    assert (first.returncode, second.returncode) == (0, 0), first.stderr + second.stderr
    (found, none), (again, hits) = (done.stdout.split() for done in (first, second))
    assert found == again
    assert int(none) == 0 < int(hits)
    assert any(tmp_path.glob('compiled/jax-*/*'))


def test_a_folder_that_cannot_be_written_is_named(tmp_path):
    (tmp_path / 'compiled').write_text('a file')
    with pytest.raises(InputError, match='compiled'):
        use_compilation_cache(tmp_path)


def test_the_commands_take_it(monkeypatch, tmp_path, capsys):
    from hyperinr import cli
    from hyperinr.runtime import compilation_cache

    used = []
    monkeypatch.setattr(compilation_cache, 'use_compilation_cache', used.append)
    monkeypatch.setenv('DATA_PATH', str(tmp_path))
    assert cli.main(['configs', '--keep-compiled']) == 0
    assert used == [tmp_path]
    assert cli.main(['configs']) == 0
    assert len(used) == 1
