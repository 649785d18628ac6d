"""The parts in their order, with their time shares and options."""

import importlib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import NamedTuple

from benchmarks.on_gpu.record import Record

__all__ = ['PARTS', 'Options', 'Part', 'measure_of']


class Options(NamedTuple):
    """The options of every part.

    Attributes:
      tiny: whether to use tiny sizes, to test on a CPU that all parts run.
      work: folder for data, runs and compiled functions; it holds no results.
      images: folder of the user's images for the last part; ``None``: photographs of scikit-image.
    """

    tiny: bool
    work: Path
    images: Path | None = None


class Part(NamedTuple):
    """One part.

    Attributes:
      module: module with its ``measure``.
      minutes: minutes that it wants; the total time is divided in this proportion.
      environment: environment variables that its process needs before jax starts.
    """

    module: str
    minutes: float
    environment: Mapping[str, str] = {}


# If PyTorch or another process of the part shares the GPU, jax must leave memory to it.
_AS_NEEDED = {'XLA_PYTHON_CLIENT_PREALLOCATE': 'false'}

PARTS: dict[str, Part] = {
    'numerics': Part('benchmarks.on_gpu.numerics', 1.5, _AS_NEEDED),
    'fitting': Part('benchmarks.on_gpu.fitting', 3.5, {**_AS_NEEDED, 'XLA_PYTHON_CLIENT_MEM_FRACTION': '0.6'}),
    'meta_training': Part('benchmarks.on_gpu.meta_training', 1.5),
    'demo': Part('benchmarks.on_gpu.demo', 2.5, _AS_NEEDED),
    'images': Part('benchmarks.on_gpu.images', 4.5, _AS_NEEDED),
}
"""The most important parts come first, so that an interrupted call has measured them."""


def measure_of(name: str) -> Callable[[Record, Options], None]:
    """Return the function of a part. It is imported here so that no part's imports can break another part."""
    measure: Callable[[Record, Options], None] = importlib.import_module(PARTS[name].module).measure
    return measure
