"""The parts in their order, how long each may take, and what each is told."""

import importlib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import NamedTuple

from benchmarks.on_gpu.record import Record

__all__ = ['PARTS', 'Options', 'Part', 'measure_of']


class Options(NamedTuple):
    """What every part is told.

    Attributes:
      tiny: sizes of seconds, for a CPU: do all parts run?
      work: folder for data, runs and compiled functions; nothing in it is a result.
      images: folder of the user's own images for the last part; ``None``: photographs that scikit-image brings.
    """

    tiny: bool
    work: Path
    images: Path | None = None


class Part(NamedTuple):
    """One part.

    Attributes:
      module: that holds its ``measure``.
      minutes: of the whole, when all parts get as much as they want.
      environment: what its process needs before jax starts.
    """

    module: str
    minutes: float
    environment: Mapping[str, str] = {}


# Where PyTorch or a process of the part's own shares the GPU, jax must leave room.
_AS_NEEDED = {'XLA_PYTHON_CLIENT_PREALLOCATE': 'false'}

PARTS: dict[str, Part] = {
    'numerics': Part('benchmarks.on_gpu.numerics', 1.5, _AS_NEEDED),
    'fitting': Part('benchmarks.on_gpu.fitting', 3.5, {**_AS_NEEDED, 'XLA_PYTHON_CLIENT_MEM_FRACTION': '0.6'}),
    'meta_training': Part('benchmarks.on_gpu.meta_training', 1.5),
    'demo': Part('benchmarks.on_gpu.demo', 2.5, _AS_NEEDED),
    'images': Part('benchmarks.on_gpu.images', 4.5, _AS_NEEDED),
}
"""In order of worth: an interrupted loan has measured what matters most."""


def measure_of(name: str) -> Callable[[Record, Options], None]:
    """The function of a part, imported here so that no part's imports can break another part."""
    measure: Callable[[Record, Options], None] = importlib.import_module(PARTS[name].module).measure
    return measure
