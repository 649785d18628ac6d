"""Settings of the machine that a command runs on, independent of the experiment: ``gin_configs/device/NAME.gin``."""

import os
from pathlib import Path
from typing import NamedTuple

from hyperinr.errors import InputError

__all__ = ['Machine', 'machine']


class Machine(NamedTuple):
    """Folders, threads and devices of a machine.

    Attributes:
      data_root: root folder of prepared data; ``None``: the environment's ``DATA_PATH``, else ``~/.cache/hyperinr``.
      run_root: root folder of run directories that are not named.
      workers: number of threads that prepare batches.
      devices: number of local devices to use; ``None``: all of them; on a CPU there is one for each core.
    """

    data_root: Path | None = None
    run_root: Path = Path('runs')
    workers: int = 1
    devices: int | None = None


def machine(
    *, data_root: str | None = None, run_root: str = 'runs', workers: int = 1, devices: int | None = None
) -> Machine:
    """Return a `Machine`; ``~`` and ``$NAME`` in paths are expanded as in a shell.

    Args:
      data_root: see `Machine`.
      run_root: see `Machine`.
      workers: >= 1.
      devices: >= 1 or ``None``.

    Raises:
      InputError: a number is below 1.
    """
    if workers < 1 or (devices is not None and devices < 1):
        raise InputError(f'a machine needs workers >= 1 and devices >= 1 (or None), not {workers=}, {devices=}.')
    return Machine(None if data_root is None else _path(data_root), _path(run_root), workers, devices)


def _path(text: str) -> Path:
    return Path(os.path.expandvars(text)).expanduser()
