"""Keep compiled functions on disk, so that the second start of a command does not compile them again."""

import contextlib
import glob
import hashlib
import os
import platform
import re
import warnings
from pathlib import Path
from typing import Any

import jax

from hyperinr.errors import InputError
from hyperinr.runtime.files import check_writable_folder

__all__ = ['MOST_BYTES', 'RUN_ONCE', 'machine_folder', 'use_compilation_cache']

RUN_ONCE = {'xla_backend_optimization_level': 0}
"""Compiler options of a function that runs once: without optimisation, random draws compile five times faster."""

MIN_COMPILE_SECONDS = 0.0
"""Functions that compile faster are not kept. A command has about a hundred small ones, two seconds together."""
MOST_BYTES = 2 * 2**30
"""Size at which the oldest entries go, down to half of it."""
ENTRIES = ('-cache', '-atime')
"""Ends of the names of files that jax writes."""
UNREADABLE = re.compile("Error (?:reading|writing) persistent compilation cache entry for '(.+?)'")


def use_compilation_cache(root: Path) -> Path:
    """Let jax read and write compiled functions below ``root``, from the next compilation on.

    An entry that cannot be read or was not written whole (a killed process, a full disk) is deleted, and its function
    is compiled as if there were no entry.

    Args:
      root: root folder of the cache; created if it does not exist.

    Returns:
      The folder of the compiled functions.

    Raises:
      InputError: the folder is not writable, or belongs to another user.
    """
    folder = check_writable_folder(machine_folder(root / 'compiled'))
    if os.name == 'posix' and folder.stat().st_uid != os.getuid():
        raise InputError(f'{folder} belongs to another user, and what lies in it is run: use another DATA_PATH.')
    with contextlib.suppress(OSError):  # Some file systems have no modes.
        folder.chmod(0o700)
    _prune(root / 'compiled')
    _forget_unreadable(folder)
    jax.config.update('jax_compilation_cache_dir', str(folder))
    jax.config.update('jax_persistent_cache_min_compile_time_secs', MIN_COMPILE_SECONDS)
    return folder


def machine_folder(root: Path) -> Path:
    """Return the folder below ``root`` for this kind of machine and this version of jax.

    Compiled code holds instructions of the processor that it was compiled on. With one folder for each kind of
    processor, several machines can share a cache in a home folder.
    """
    try:
        lines = Path('/proc/cpuinfo').read_text(encoding='utf-8').splitlines()
    except OSError:
        lines = []
    features = sorted({line for line in lines if line.startswith(('flags', 'Features', 'model name'))})
    digest = hashlib.sha256('\n'.join(features).encode()).hexdigest()[:12]
    return root / f'jax-{jax.__version__}-{platform.machine()}-{digest}'


def _prune(root: Path) -> None:
    """Delete the oldest entries if all of them are larger than `MOST_BYTES`; other processes may do the same.

    Only files are deleted that jax wrote: the folder may hold others.
    """
    entries = []
    for path in root.glob('jax-*/*'):
        if path.name.endswith(ENTRIES):
            with contextlib.suppress(OSError):
                status = path.stat()
                entries.append((status.st_mtime_ns, status.st_size, path))
    left = sum(size for _, size, _ in entries)
    if left <= MOST_BYTES:
        return
    for _, size, path in sorted(entries):
        if left <= MOST_BYTES / 2:
            break
        with contextlib.suppress(OSError):  # Of another user, or gone.
            path.unlink()
            left -= size


def _forget_unreadable(folder: Path) -> None:
    """Delete the entries that jax warns of, instead of showing the warning. The name of an entry begins so."""
    shown = warnings.showwarning

    def show(message: Warning | str, *rest: Any, **more: Any) -> None:
        found = UNREADABLE.match(str(message))
        if found is None:
            return shown(message, *rest, **more)
        for entry in folder.glob(f'{glob.escape(found[1])}-*'):
            with contextlib.suppress(OSError):
                entry.unlink()
        return None

    warnings.showwarning = show
