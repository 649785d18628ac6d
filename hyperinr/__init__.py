"""hyperinr: hypernetworks that predict the weights of implicit neural representations.

``hyperinr.load(run_dir)`` returns the model of a finished or interrupted run. Everything else is in the sub-packages,
which are imported by name. Nothing heavy is imported here.
"""

from typing import TYPE_CHECKING

from hyperinr.errors import InputError, RunError

if TYPE_CHECKING:
    from hyperinr.library import load

__all__ = ['InputError', 'RunError', '__version__', 'load']

__version__ = '0.1.0'


def __getattr__(name: str) -> object:
    if name == 'load':
        from hyperinr.library import load

        return load
    raise AttributeError(f'module {__name__!r} has no attribute {name!r}')
