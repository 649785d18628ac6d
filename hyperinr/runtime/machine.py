"""Facts of the machine that a command runs on, apart from what it runs: ``gin_configs/device/NAME.gin``."""

import os
from pathlib import Path
from typing import NamedTuple

from hyperinr.errors import InputError

__all__ = ['Machine', 'machine']


class Machine(NamedTuple):
    """Where things are and how much there is.

    Attributes:
      data_root: of prepared data; ``None``: the environment's ``DATA_PATH``, else ``~/.cache/hyperinr``.
      run_root: of run directories that are not named.
      workers: threads that prepare batches.
      devices: local devices to use; ``None``: all, on a CPU one for each core.
    """

    data_root: Path | None = None
    run_root: Path = Path('runs')
    workers: int = 1
    devices: int | None = None


def machine(
    *, data_root: str | None = None, run_root: str = 'runs', workers: int = 1, devices: int | None = None
) -> Machine:
    """A `Machine`; in paths ``~`` and ``$NAME`` stand for what they do in a shell.

    Args:
      data_root: see `Machine`.
      run_root: see `Machine`.
      workers: >= 1.
      devices: >= 1 or ``None``.

    Raises:
      InputError: a number below 1.
    """
    if workers < 1 or (devices is not None and devices < 1):
        raise InputError(f'a machine needs workers >= 1 and devices >= 1 (or None), not {workers=}, {devices=}.')
    return Machine(None if data_root is None else _path(data_root), _path(run_root), workers, devices)


def _path(text: str) -> Path:
    return Path(os.path.expandvars(text)).expanduser()
