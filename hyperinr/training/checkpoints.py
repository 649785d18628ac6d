"""Checkpoints of a training state: written in the background, whole or not at all, and checked when read.

A state is stored as the bytes of all its leaves in order, beside the list of their paths, dtypes and shapes: one large
array is faster to write than hundreds of small ones, and the empty leaves of some optimisers need no special case. A
checksum tells a damaged checkpoint from a sound one. Orbax writes into a temporary folder and renames it, so a process
killed in the middle of a save leaves the earlier checkpoints as they were.

In a run of several processes process 0 alone reads and writes, since the state is the same in all of them: any number
of processes and devices can go on from it, and only process 0 needs to see the run directory.
"""

import contextlib
import json
import logging
import os
import shutil
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from hyperinr.errors import InputError, RunError
from hyperinr.training.devices import fetch, pack, unpack
from hyperinr.training.distributed import Group
from hyperinr.types import TrainState

__all__ = ['Checkpoints', 'Restored', 'restore_newest', 'shared', 'steps_in']

SCHEMA = 1
"""Of the layout below; a reader refuses any other."""


class Restored(NamedTuple):
    """A state read back.

    Attributes:
      state: NumPy leaves and a typed key, on no particular device.
      step: updates done.
      seconds: of training so far, without compilation, validation and saving.
      notes: lines for the user, such as which damaged checkpoint was passed over.
    """

    state: TrainState
    step: int
    seconds: float
    notes: list[str]


def _leaves(state: TrainState) -> list[tuple[str, Any]]:
    return [(jax.tree_util.keystr(path), leaf) for path, leaf in jax.tree_util.tree_leaves_with_path(state)]


def _describe(state: TrainState) -> list[list[Any]]:
    """``[path, dtype, shape]`` of each leaf, in order."""
    return [[path, np.dtype(leaf.dtype).name, list(leaf.shape)] for path, leaf in _leaves(state)]


def _to_bytes(state: TrainState) -> np.ndarray:
    """``[bytes]`` uint8."""
    return np.frombuffer(b''.join(np.ascontiguousarray(leaf).tobytes() for _, leaf in _leaves(state)), np.uint8)


def _from_bytes(stored: np.ndarray, like: TrainState) -> TrainState:
    data, start, leaves = stored.tobytes(), 0, []
    for leaf in jax.tree.leaves(like):
        count = int(np.prod(leaf.shape, dtype=np.int64))
        leaves.append(np.frombuffer(data, leaf.dtype, count, start).reshape(leaf.shape).copy())
        start += leaves[-1].nbytes
    return jax.tree.unflatten(jax.tree.structure(like), leaves)


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Keeps orbax's log, which repeats each failure as several tracebacks, out of the user's terminal."""
    logger = logging.getLogger('absl')
    level = logger.level
    logger.setLevel(logging.CRITICAL + 1)
    try:
        yield
    finally:
        logger.setLevel(level)


@contextlib.contextmanager
def _write_errors(directory: Path) -> Iterator[None]:
    try:
        with _quiet():
            yield
    except Exception as error:
        text = ' '.join(str(error).split())
        if any(sign in text for sign in ('No space left', 'File too large', 'quota exceeded')):
            raise RunError(
                f'the disk is full: the checkpoint in {directory} was not written; make room and run the same command '
                'again, training goes on from the checkpoint before.'
            ) from error
        raise RunError(f'the checkpoint in {directory} was not written: {text[:300]}') from error


def _only_this_process() -> Any:
    """Keeps orbax from waiting for the other processes of a run."""
    from orbax.checkpoint.options import MultiprocessingOptions

    return MultiprocessingOptions(primary_host=0, active_processes={0})


class Checkpoints:
    """Writes checkpoints of one run into ``directory/<step>``, the newest ``keep`` of them.

    Args:
      directory: made if need be.
      keep: >= 2, so that there is one to fall back to.
    """

    def __init__(self, directory: str | os.PathLike, *, keep: int = 2):
        import orbax.checkpoint as ocp

        self._directory = Path(directory).absolute()
        options = ocp.CheckpointManagerOptions(
            max_to_keep=keep, create=False, multiprocessing_options=_only_this_process()
        )
        with _write_errors(self._directory):
            self._directory.mkdir(parents=True, exist_ok=True)
            self._manager = ocp.CheckpointManager(self._directory, options=options)

    def save(self, state: TrainState, *, seconds: float) -> None:
        """Copies the state and writes it in the background, after the save before has ended.

        Args:
          state: `pack`ed, with NumPy leaves that nobody changes later.
          seconds: see `Restored`.

        Raises:
          RunError: a value that is not finite, which would make the checkpoint useless; or this save or the one before
            could not be written.
        """
        import orbax.checkpoint as ocp

        step = int(state.step)
        if step in self._manager.all_steps():
            return
        for path, leaf in _leaves(state):
            if jnp.issubdtype(leaf.dtype, jnp.floating) and not np.isfinite(leaf).all():
                raise RunError(f'the training state is not finite after step {step}: first in state{path}; not saved.')
        stored = _to_bytes(state)
        metadata = {
            'schema': SCHEMA,
            'step': step,
            'seconds': seconds,
            'checksum': zlib.crc32(stored.data),
            'leaves': _describe(state),
        }
        with _write_errors(self._directory):
            self._manager.wait_until_finished()
            self._manager.save(
                step,
                args=ocp.args.Composite(
                    state=ocp.args.StandardSave({'bytes': stored}), metadata=ocp.args.JsonSave(metadata)
                ),
            )

    def wait(self) -> None:
        """Returns when everything is on the disk.

        Raises:
          RunError: it could not be written.
        """
        with _write_errors(self._directory):
            self._manager.wait_until_finished()

    def discard_after(self, step: int) -> None:
        """Deletes checkpoints newer than ``step``: damaged ones, passed over on resuming, that would be in the way."""
        for newer in steps_in(self._directory):
            if newer > step:
                shutil.rmtree(self._directory / str(newer), ignore_errors=True)
        self._manager.reload()

    def close(self) -> None:
        """Ends the background threads; errors of an unfinished save are not raised any more (`wait` raises them)."""
        with _quiet(), contextlib.suppress(Exception):
            self._manager.close()


def steps_in(directory: str | os.PathLike) -> list[int]:
    """Steps of the finished checkpoints in a folder, increasing; empty where there is no folder."""
    directory = Path(directory)
    if not directory.is_dir():
        return []
    return sorted(int(path.name) for path in directory.iterdir() if path.name.isdigit())


def _read(directory: Path, step: int, like: TrainState) -> Restored:
    """One checkpoint; any exception but InputError means that it is damaged."""
    import orbax.checkpoint as ocp

    folder, alone = directory / str(step), _only_this_process()
    json_handler = ocp.JsonCheckpointHandler(multiprocessing_options=alone)
    state_handler = ocp.StandardCheckpointHandler(multiprocessing_options=alone)
    metadata = ocp.Checkpointer(json_handler, multiprocessing_options=alone).restore(folder / 'metadata')
    if metadata['schema'] != SCHEMA:
        raise InputError(f'{folder} has checkpoint schema {metadata["schema"]}; this version reads schema {SCHEMA}.')
    expected = _describe(like)
    if metadata['leaves'] != expected:
        stored = {path: (dtype, shape) for path, dtype, shape in metadata['leaves']}
        wanted = {path: (dtype, shape) for path, dtype, shape in expected}
        paths = sorted(stored.keys() | wanted.keys())
        first = next((path for path in paths if stored.get(path) != wanted.get(path)), '')
        raise InputError(
            f'{folder} was written for another model: state{first} is {stored.get(first)} there and '
            f'{wanted.get(first)} in this config; use the config and version of the run.'
        )
    reader = ocp.Checkpointer(state_handler, multiprocessing_options=alone)
    content = np.asarray(reader.restore(folder / 'state')['bytes'])
    if zlib.crc32(content.data) != metadata['checksum']:
        raise ValueError('its checksum does not match')
    state = unpack(_from_bytes(content, like))
    return Restored(state, int(metadata['step']), float(metadata['seconds']), [])


def shared(restored: Restored | None, like: TrainState, group: Group) -> Restored | None:
    """What process 0 has restored, in every process of a run; all of them call it."""
    if group.count == 1:
        return restored
    about, content = None, b''
    if restored is not None:
        about = {'step': restored.step, 'seconds': restored.seconds, 'notes': restored.notes}
        content = _to_bytes(fetch(pack(restored.state))).tobytes()
    about = json.loads(group.broadcast(json.dumps(about).encode()))
    if about is None:
        return None
    stored = np.frombuffer(group.broadcast(content), np.uint8)
    return Restored(state=unpack(_from_bytes(stored, jax.eval_shape(pack, like))), **about)


def restore_newest(directory: str | os.PathLike, like: TrainState) -> Restored | None:
    """The newest sound checkpoint. Writes nothing, so a run in progress may be read.

    Args:
      directory: of the checkpoints.
      like: a state of the same structure, shapes and dtypes, e.g. ``jax.eval_shape(learner.init, key, datapoint)``.

    Returns:
      What was read, with a note for each damaged checkpoint that was passed over; ``None`` if there is no checkpoint.

    Raises:
      InputError: there are checkpoints and none is sound, or they belong to another model or version.
    """
    directory = Path(directory).absolute()
    steps = steps_in(directory)
    like = jax.eval_shape(pack, like)
    notes = []
    for step in reversed(steps):
        try:
            with _quiet():
                restored = _read(directory, step, like)
        except InputError:
            raise
        except Exception as error:
            reason = ' '.join(str(error).split())[:120] if not isinstance(error, json.JSONDecodeError) else 'cut short'
            notes.append(f'the checkpoint {directory / str(step)} is damaged ({reason})')
            continue
        if notes:
            notes.append(f'going on from the newest sound one, step {restored.step}')
        return restored._replace(notes=notes)
    if steps:
        raise InputError(
            f'none of the checkpoints in {directory} can be read (steps {", ".join(map(str, steps))}): restore a copy '
            'of the folder, or delete it to train from the start.'
        )
    return None
