"""Checkpoints of a training state: written in the background, complete or not at all, and checked when read.

``checkpoints/STEP/state`` is an ordinary orbax PyTree with the fields of a `TrainState`, its key as raw key data; orbax
alone restores it (docs/scaling.md). ``checkpoints/STEP/metadata`` describes its leaves. ``checkpoints/STEP/SHA256SUMS``
lists the digests of both (``sha256sum --check`` reads it): orbax itself restores some damaged files without an error.
Orbax writes into a temporary folder and renames it, so a process killed during a save leaves the earlier checkpoints as
they were.

In a run of several processes only process 0 reads and writes checkpoints, because the state is the same in all of them.
A run can resume with any number of processes and devices. Only process 0 needs to see the run directory.
"""

import contextlib
import hashlib
import json
import logging
import math
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np

from hyperinr.errors import InputError, RunError
from hyperinr.runtime.files import disk_errors, read_json
from hyperinr.runtime.sharding import fetch
from hyperinr.training.devices import pack, unpack
from hyperinr.training.distributed import Group
from hyperinr.training.run_directory import digest
from hyperinr.training.watching.divergence import first_not_finite
from hyperinr.types import TrainState

__all__ = ['Checkpoints', 'Restored', 'check_run', 'restore_newest', 'shared', 'steps_in']

SCHEMA = 2
"""Version of the layout described above; a reader refuses any other."""
SUMS = 'SHA256SUMS'
BYTES_BESIDE = 2**16
"""Bytes that a checkpoint may need in addition to the values of its leaves."""


class Restored(NamedTuple):
    """A state read from a checkpoint.

    Attributes:
      state: NumPy leaves and a typed key, not placed on a device.
      step: updates done.
      seconds: seconds of training so far, without compilation, validation and saving.
      notes: lines for the user, e.g. which damaged checkpoint was skipped.
    """

    state: TrainState
    step: int
    seconds: float
    notes: list[str]


def _describe(state: TrainState) -> dict[str, str]:
    """Return the type and shape of each leaf by its path: ``{'.step': 'int32[]'}``."""
    leaves = jax.tree_util.tree_leaves_with_path(state)
    return {jax.tree_util.keystr(path): f'{np.dtype(leaf.dtype).name}{list(leaf.shape)}' for path, leaf in leaves}


def _sums(folder: Path) -> str:
    """Return a line ``DIGEST  PATH`` for each file of a checkpoint."""
    lines = []
    for path in sorted(path for path in folder.glob('*/**/*') if path.is_file()):
        with path.open('rb') as file:
            lines.append(f'{hashlib.file_digest(file, "sha256").hexdigest()}  {path.relative_to(folder)}\n')
    return ''.join(lines)


def _without_empty_leaves(state: TrainState) -> TrainState:
    """Replace each array of size 0 by ``None``, because orbax cannot store empty arrays."""
    return jax.tree.map(lambda leaf: leaf if leaf.size else None, state)


def _orbax() -> Any:
    """Import orbax, and keep its log out of the terminal.

    It logs each failure as several tracebacks, and from its threads at any time. Errors reach the user as exceptions.
    """
    import orbax.checkpoint

    logging.getLogger('absl').addFilter(_is_not_from_orbax)
    return orbax.checkpoint


def _is_not_from_orbax(record: logging.LogRecord) -> bool:
    return f'{os.sep}orbax{os.sep}' not in record.pathname


@contextlib.contextmanager
def _write_errors(directory: Path) -> Iterator[None]:
    try:
        with disk_errors(directory):
            yield
    except (InputError, RunError):
        raise
    except Exception as error:
        raise RunError(
            f'the checkpoint in {directory} was not written: {" ".join(str(error).split())[:300]}'
        ) from error


def _only_this_process() -> Any:
    """Return options that keep orbax from waiting for the other processes of a run."""
    from orbax.checkpoint.options import MultiprocessingOptions

    return MultiprocessingOptions(primary_host=0, active_processes={0})


class Checkpoints:
    """Write the checkpoints of one run to ``directory/<step>`` and keep the newest ``keep`` of them.

    Args:
      directory: created if it does not exist.
      keep: >= 2 for a run that resumes, so that there is one to fall back to.
      after_step: checkpoints newer than this are deleted: damaged ones that were skipped on resuming, which would block
        later saves.
    """

    def __init__(self, directory: str | os.PathLike, *, keep: int = 2, after_step: float = math.inf):
        ocp = _orbax()

        self._directory = Path(directory).absolute()
        self._run_digest = digest(self._directory.parent)
        options = ocp.CheckpointManagerOptions(
            max_to_keep=keep,
            create=False,
            cleanup_tmp_directories=True,
            multiprocessing_options=_only_this_process(),
            async_options=ocp.AsyncOptions(post_finalization_callback=self._write_sums),
        )
        with _write_errors(self._directory):
            self._directory.mkdir(parents=True, exist_ok=True)
            for step in steps_in(self._directory):
                if step > after_step:
                    shutil.rmtree(self._directory / str(step), ignore_errors=True)
            self._manager = ocp.CheckpointManager(self._directory, options=options)

    def save(self, state: TrainState, *, seconds: float) -> None:
        """Write the state in the background, after the previous save has ended.

        Args:
          state: `pack`ed, with NumPy leaves that are not changed later.
          seconds: see `Restored`.

        Raises:
          RunError: a value is not finite, so the checkpoint would be useless; or this save or the previous one could
            not be written.
        """
        ocp = _orbax()

        step = int(state.step)
        if step in self._manager.all_steps():
            return
        bad = first_not_finite(state)
        if bad is not None:
            raise RunError(f'the training state is not finite after step {step}: first in {bad}; not saved.')
        metadata = {
            'schema': SCHEMA,
            'step': step,
            'seconds': seconds,
            'run_sha256': self._run_digest,
            'leaves': _describe(state),
        }
        with _write_errors(self._directory):
            self._manager.wait_until_finished()
            # On a full disk orbax prints a traceback for each leaf, so the space is tested first.
            with tempfile.TemporaryFile(dir=self._directory) as file:
                os.posix_fallocate(file.fileno(), 0, sum(leaf.nbytes for leaf in jax.tree.leaves(state)) + BYTES_BESIDE)
            self._manager.save(
                step,
                args=ocp.args.Composite(
                    state=ocp.args.StandardSave(_without_empty_leaves(state)), metadata=ocp.args.JsonSave(metadata)
                ),
            )

    def _write_sums(self) -> None:
        """Write the digests into the temporary folder of the save in progress, just before orbax renames it."""
        (folder,) = self._directory.glob('*.orbax-checkpoint-tmp')
        (folder / SUMS).write_text(_sums(folder), encoding='utf-8')

    def wait(self) -> None:
        """Wait until all checkpoints are on the disk.

        Raises:
          RunError: a checkpoint could not be written.
        """
        with _write_errors(self._directory):
            self._manager.wait_until_finished()

    def close(self) -> None:
        """End the background threads. Errors of an unfinished save are ignored here; `wait` raises them."""
        with contextlib.suppress(Exception):
            self._manager.close()


def steps_in(directory: str | os.PathLike) -> list[int]:
    """Return the increasing steps of the finished checkpoints in a folder; an empty list if there is no folder."""
    return sorted(int(path.name) for path in Path(directory).glob('*') if path.name.isdecimal())


def check_run(directory: str | os.PathLike) -> None:
    """Check that checkpoints belong to the run in whose folder they lie, before its files are used.

    Args:
      directory: folder of the checkpoints, in the run directory.

    Raises:
      InputError: one belongs to another run. What cannot be read is left to `restore_newest`.
    """
    now = digest(Path(directory).parent)
    for step in steps_in(directory):
        folder = Path(directory) / str(step)
        try:
            found = read_json(folder / 'metadata' / 'metadata').get('run_sha256', now)
        except InputError:
            continue
        if found != now:
            raise InputError(
                f'{folder} does not belong to the config.gin and spec.json of its run: they were changed, or the '
                'checkpoint is of another run; restore the files.'
            )


def _read(folder: Path, like: TrainState) -> Restored:
    """Read one checkpoint; any exception other than InputError means that it is damaged."""
    ocp = _orbax()

    for path in (folder / 'metadata' / 'metadata', folder / SUMS):
        if path.exists() and not path.is_file():
            raise ValueError(f'{path.name} is no regular file')
    metadata = json.loads((folder / 'metadata' / 'metadata').read_text(encoding='utf-8'))
    # Schema 1 had no digests.
    if metadata['schema'] == SCHEMA or (folder / SUMS).exists():
        damaged = set(_sums(folder).splitlines()) ^ set((folder / SUMS).read_text(encoding='utf-8').splitlines())
        if damaged:
            raise ValueError(f'{min(line.split()[-1] for line in damaged)} does not have its checksum')
    if metadata['schema'] != SCHEMA:
        raise InputError(
            f'{folder} has checkpoint schema {metadata["schema"]} and this version reads schema {SCHEMA}: go on with '
            'the version in versions.json of the run, or train in a new folder.'
        )
    stored, wanted = metadata['leaves'], _describe(like)
    for path in sorted(stored.keys() | wanted.keys()):
        if stored.get(path) != wanted.get(path):
            raise InputError(
                f'{folder} was written for another model: state{path} is {stored.get(path)} there and '
                f'{wanted.get(path)} in this config; use the config and version of the run.'
            )
    empty = jax.tree.map(lambda leaf: np.empty(leaf.shape, leaf.dtype), like)
    alone = _only_this_process()
    reader = ocp.Checkpointer(
        ocp.StandardCheckpointHandler(multiprocessing_options=alone), multiprocessing_options=alone
    )
    content = reader.restore(folder / 'state', args=ocp.args.StandardRestore(_without_empty_leaves(empty)))
    leaves = iter(jax.tree.leaves(content))
    state = jax.tree.map(lambda leaf: next(leaves) if leaf.size else leaf, empty)
    return Restored(unpack(state), int(metadata['step']), float(metadata['seconds']), [])


def shared(restored: Restored | None, group: Group, like: TrainState) -> Restored | None:
    """Send the checkpoint that process 0 has restored to all processes of a run. Every process calls it.

    Args:
      restored: the checkpoint in process 0; ignored in the other processes.
      group: the processes.
      like: see `restore_newest`.
    """
    if group.count == 1:
        return restored
    content = b'null\n'
    if restored is not None:
        leaves = jax.tree.leaves(fetch(pack(restored.state)))
        about = {'step': restored.step, 'seconds': restored.seconds, 'notes': restored.notes}
        content = json.dumps(about).encode() + b'\n' + b''.join(np.asarray(leaf).tobytes() for leaf in leaves)
    head, _, body = group.broadcast(content).partition(b'\n')
    about = json.loads(head)
    if about is None:
        return None
    shapes, structure = jax.tree.flatten(jax.eval_shape(pack, like))
    ends = np.cumsum([each.size * each.dtype.itemsize for each in shapes])
    received = [
        np.frombuffer(body[end - each.size * each.dtype.itemsize : end], each.dtype).reshape(each.shape)
        for each, end in zip(shapes, ends, strict=True)
    ]
    return Restored(unpack(jax.tree.unflatten(structure, received)), **about)


def restore_newest(directory: str | os.PathLike, like: TrainState) -> Restored | None:
    """Read the newest undamaged checkpoint. It writes nothing, so it can read a run in progress.

    Args:
      directory: folder of the checkpoints.
      like: a state of the same structure, shapes and dtypes, e.g. ``jax.eval_shape(learner.init, key, datapoint)``.

    Returns:
      The state, with a note for each damaged checkpoint that was skipped; ``None`` if there is no checkpoint.

    Raises:
      InputError: all checkpoints are damaged, or they belong to another model or version.
    """
    directory = Path(directory).absolute()
    like = jax.eval_shape(pack, like)
    steps, before = steps_in(directory), None
    while steps != before:  # A training deletes old checkpoints and writes new ones meanwhile.
        notes: list[str] = []
        for step in reversed(steps):
            try:
                restored = _read(directory / str(step), like)
            except InputError:
                raise
            except Exception as error:
                reason = ' '.join(str(error).split())[:120]
                notes.append(f'the checkpoint {directory / str(step)} is damaged ({reason})')
                if steps_in(directory) != steps:
                    break
                continue
            if notes:
                notes.append(f'going on from the newest sound one, step {restored.step}')
            return restored._replace(notes=notes)
        before, steps = steps, steps_in(directory)
    if steps:
        raise InputError(
            f'none of the checkpoints in {directory} can be read (steps {", ".join(map(str, steps))}): restore a copy '
            'of the folder, or train in a new run directory.'
        )
    return None
