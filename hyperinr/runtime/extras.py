"""Import optional packages, each of which is installed by an extra of hyperinr."""

import importlib
from typing import Any

from hyperinr.errors import InputError

__all__ = ['import_extra']


def import_extra(module: str, *, needed_by: str, package: str, extra: str) -> Any:
    """Import a module of an optional package.

    Args:
      module: dotted name.
      needed_by: subject of the message, like ``"the format 'pt'"``.
      package: name of the package, for the message.
      extra: the extra in ``pip install hyperinr[extra]``.

    Raises:
      InputError: the package is not installed.
    """
    try:
        return importlib.import_module(module)
    except ImportError:
        raise InputError(f'{needed_by} needs {package}; install hyperinr[{extra}].') from None
