"""The compilation cache: a second process compiles nothing anew and finds the same."""

import os
import warnings

import pytest

from hyperinr.errors import InputError, RunError
from hyperinr.runtime import compilation_cache
from hyperinr.runtime.compilation_cache import use_compilation_cache

FIT = """
import sys
from pathlib import Path

import jax

from hyperinr.runtime import compilation_cache

hits = []
jax.monitoring.register_event_listener(lambda event, **_: hits.append(event) if event.endswith('cache_hits') else None)
compilation_cache.use_compilation_cache(Path(sys.argv[1]))

import optax
from hyperinr import fitting
from tests.fitting.problems import SIREN, batch, starts

result = fitting.fit(SIREN, starts(SIREN, 2), batch(2), optimizer=optax.adam(1e-3), num_steps=3)
print(result.mse.tobytes().hex(), len(hits))
"""


@pytest.mark.exhaustive
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


@pytest.mark.exhaustive
def test_an_entry_that_was_cut_short_is_made_anew_without_a_word(run_python, tmp_path):
    fit = lambda: run_python(FIT, str(tmp_path), PYTHONWARNINGS='')
    first = fit()
    entries = {path: path.read_bytes() for path in tmp_path.glob('compiled/jax-*/*-cache')}
    for path, content in entries.items():
        path.write_bytes(content[: len(content) // 2])
    done, again = fit(), fit()
    assert done.stderr == first.stderr
    assert [each.stdout.split()[0] for each in (done, again)] == [first.stdout.split()[0]] * 2
    assert int(done.stdout.split()[1]) == 0 < int(again.stdout.split()[1])
    assert {path.name for path in entries} <= {path.name for path in tmp_path.glob('compiled/jax-*/*-cache')}


def test_the_oldest_entries_go_when_there_are_too_many_bytes(tmp_path, monkeypatch):
    folder = compilation_cache.machine_folder(tmp_path / 'compiled')
    folder.mkdir(parents=True)
    others = [tmp_path / 'compiled' / 'mine.tar', folder / 'mine.tar', tmp_path / 'compiled' / 'mine' / 'old-cache']
    others[2].parent.mkdir()
    for path in others:
        path.write_bytes(bytes(1000))
        os.utime(path, (0, 0))
    for number in range(10):
        path = folder / f'jit_{number}-cache'
        path.write_bytes(bytes(100))
        os.utime(path, (number, number))
    monkeypatch.setattr(compilation_cache, 'MOST_BYTES', 900)
    compilation_cache._prune(tmp_path / 'compiled')
    assert {path.name for path in folder.glob('*-cache')} == {f'jit_{number}-cache' for number in (6, 7, 8, 9)}
    assert all(path.stat().st_size == 1000 for path in others)


def test_entries_that_cannot_be_deleted_are_left(tmp_path, monkeypatch):
    folder = compilation_cache.machine_folder(tmp_path / 'compiled')
    (folder / 'jit_0-folder').mkdir(parents=True)
    (folder / 'jit_0-cache').write_bytes(bytes(100))
    monkeypatch.setattr(compilation_cache, 'MOST_BYTES', 9)
    monkeypatch.setattr(compilation_cache.warnings, 'showwarning', warnings.showwarning)
    compilation_cache._forget_unreadable(folder)
    warnings.showwarning("Error reading persistent compilation cache entry for 'jit_0'", UserWarning, '', 0)
    assert [path.name for path in folder.iterdir()] == ['jit_0-folder']
    (folder / 'jit_1-cache').write_bytes(bytes(100))

    def refuse(*arguments, **options):
        raise PermissionError(13, 'Permission denied')

    monkeypatch.setattr(os, 'unlink', refuse)
    compilation_cache._prune(tmp_path / 'compiled')
    assert len(list(folder.iterdir())) == 2


def test_commands_keep_what_they_compile_unless_they_are_told_not_to(monkeypatch, tmp_path, capsys):
    from hyperinr import cli

    used = []
    monkeypatch.setattr(compilation_cache, 'use_compilation_cache', used.append)
    monkeypatch.setenv('DATA_PATH', str(tmp_path))
    command = ['verify', '--store', str(tmp_path / 'none')]
    for more, uses in (([], 0), (['--keep-compiled'], 1)):
        assert cli.main([*command, *more]) == 2
        assert used == [tmp_path] * uses  # The tests' own folder, JAX_COMPILATION_CACHE_DIR, stays.
    monkeypatch.delenv('JAX_COMPILATION_CACHE_DIR')
    assert cli.main([*command, '--no-keep-compiled']) == 2
    assert used == [tmp_path]
    assert cli.main(command) == 2
    assert used == [tmp_path] * 2


def test_a_folder_that_cannot_be_written_is_an_error_for_those_who_asked_for_it(monkeypatch, tmp_path, capsys):
    from hyperinr import cli

    (tmp_path / 'compiled').write_text('a file')
    monkeypatch.setenv('DATA_PATH', str(tmp_path))
    monkeypatch.delenv('JAX_COMPILATION_CACHE_DIR')
    command = ['verify', '--store', str(tmp_path / 'none')]
    assert cli.main(command) == 2
    assert 'compiled' not in capsys.readouterr().err
    assert cli.main([*command, '--keep-compiled']) == 2
    assert 'compiled' in capsys.readouterr().err

    def full(root):
        raise RunError('the disk is full')

    monkeypatch.setattr(compilation_cache, 'use_compilation_cache', full)
    assert cli.main(command) == 2
    assert 'disk' not in capsys.readouterr().err
