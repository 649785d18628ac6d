"""Which rows of a product ``make test`` runs; ``make test-all`` and CI run the others as well."""

from collections.abc import Callable, Iterable
from typing import Any

import pytest

__all__ = ['thin']


def thin(rows: Iterable[Any], keep: Callable[[Any], bool]) -> list[Any]:
    """Return the parameters of a test, marked exhaustive where ``keep`` is false.

    Args:
      rows: a value for each case, or a tuple of values.
      keep: of a row, whether `make test` runs it.
    """
    marked = lambda row: pytest.param(*(row if isinstance(row, tuple) else (row,)), marks=pytest.mark.exhaustive)
    return [row if keep(row) else marked(row) for row in rows]
