"""hyperinr: hypernetworks that predict the weights of implicit neural representations.

``hyperinr.train(dataset, run_dir)`` trains a model from Python, and ``hyperinr.load(run_dir)`` returns the model of a
finished or interrupted run. Everything else is in the sub-packages, which are imported by name. Nothing heavy is
imported here.
"""

import importlib
from typing import TYPE_CHECKING

from hyperinr.errors import InputError, RunError

if TYPE_CHECKING:
    from hyperinr.library import load
    from hyperinr.without_gin import train

__all__ = ['InputError', 'RunError', '__version__', 'load', 'train']

__version__ = '0.1.0'

MODULES = {'load': 'hyperinr.library', 'train': 'hyperinr.without_gin'}
"""Where the names are that are imported when they are used."""


def __getattr__(name: str) -> object:
    if name in MODULES:
        return getattr(importlib.import_module(MODULES[name]), name)
    raise AttributeError(f'module {__name__!r} has no attribute {name!r}')
