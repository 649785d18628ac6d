"""Keep compiled functions on disk, so that the second start of a command does not compile them again."""

import hashlib
import platform
from pathlib import Path

import jax

from hyperinr.runtime.files import check_writable_folder

__all__ = ['machine_folder', 'use_compilation_cache']

MIN_COMPILE_SECONDS = 0.5
"""Functions that compile faster are not worth a file."""


def use_compilation_cache(root: Path) -> Path:
    """Let jax read and write compiled functions below ``root``, from the next compilation on.

    Args:
      root: root folder of the cache; created if it does not exist.

    Returns:
      The folder of the compiled functions.

    Raises:
      InputError: the folder is not writable.
    """
    folder = check_writable_folder(machine_folder(root / 'compiled'))
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
