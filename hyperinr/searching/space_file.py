"""Read the space file of ``hyperinr sweep``: TOML with the search space, the objective and the settings.

.. code-block:: toml

    [search]
    num_trials = 24

    [space]
    'adam_cosine.learning_rate' = { log = [1e-4, 3e-3] }
    'experiment.inr' = { choice = ['@inrs.siren', '@inrs.finer'] }
    'siren.omega_0' = { uniform = [5.0, 60.0], when = { 'experiment.inr' = ['@inrs.siren'] } }
"""

import os
import re
import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from hyperinr import config
from hyperinr.config.names import nearest
from hyperinr.errors import InputError
from hyperinr.searching import space as spaces
from hyperinr.searching.space import KINDS, Parameter
from hyperinr.searching.study import ObjectiveError, Settings, settings

__all__ = ['figure', 'find_space', 'read_space']

OPTIONS = ('points', 'when')


def figure(objective: str, record: Mapping[str, Any]) -> float:
    """Return the objective of a validation record.

    Args:
      objective: name of a figure in the validation records of ``metrics.jsonl``. A figure with several numbers gives
        the last one, or the one in brackets: ``'psnr_db[0]'`` is the PSNR before adaptation.
      record: figures by name.

    Raises:
      ObjectiveError: the record has no such figure.
    """
    name, position = _parsed(objective)
    if name not in record:
        raise ObjectiveError(f'no figure {name!r} is measured{nearest(name, list(record))}')
    numbers = np.ravel(np.asarray(record[name], float))
    if not -len(numbers) <= position < len(numbers):
        raise ObjectiveError(f'objective {objective!r}: {name} has {len(numbers)} numbers.')
    return float(numbers[position])


def _parsed(objective: Any) -> tuple[str, int]:
    match = re.fullmatch(r'(\w+)(?:\[(-?\d+)\])?', str(objective))
    if match is None:
        raise InputError(f"objective {objective!r} is no figure; write e.g. 'psnr_db' or 'psnr_db[0]'.")
    return match[1], int(match[2] or -1)


def find_space(path: str | os.PathLike) -> Path:
    """Return the path of a space file, given by path or by name among those that come with hyperinr."""
    inside = config.config_root() / path
    return inside if not Path(path).is_file() and inside.is_file() else Path(path)


def read_space(path: str | os.PathLike) -> Settings:
    """Read and check a space file. `search.open_search` checks its bindings.

    Raises:
      InputError: the file is missing, or has a syntax error, an unknown key (the message suggests the nearest) or a
        value outside its range.
    """
    path = find_space(path)
    try:
        content = tomllib.loads(path.read_text(encoding='utf-8'))
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f'--space {path} cannot be read: {getattr(error, "strerror", None) or error}.') from None
    except tomllib.TOMLDecodeError as error:
        raise InputError(f'{path}: {error}; the file is TOML, and names with a dot need quotes.') from None
    _check_keys(content, ('search', 'space'), f'{path}: ')
    options, wanted = content.get('search', {}), content.get('space', {})
    _check_keys(options, Settings._fields[1:], f'{path}: [search]: ')
    parameters = [_parameter(name, entry, f'{path}: [space] {name!r}') for name, entry in wanted.items()]
    try:
        found = settings(spaces.space(parameters), **options)
    except ValueError as error:
        raise InputError(f'{path}: {error}') from None
    _parsed(found.objective)
    return found


def _check_keys(table: Any, known: Sequence[str], where: str) -> None:
    if not isinstance(table, dict):
        raise InputError(f'{where}must be a table, not {table!r}.')
    for key in table:
        if key not in known:
            remedy = nearest(key, list(known), fallback=f'; it may hold {", ".join(known)}.')
            raise InputError(f'{where}unknown key {key!r}{remedy}')


def _parameter(name: str, entry: Any, where: str) -> Parameter:
    _check_keys(entry, (*KINDS, *OPTIONS), f'{where}: ')
    kinds = [key for key in entry if key in KINDS]
    if len(kinds) != 1 or not isinstance(entry[kinds[0]], list):
        raise InputError(f'{where} needs one of {", ".join(KINDS)} with a list, e.g. {{ log = [1e-4, 1e-2] }}.')
    when = entry.get('when', {})
    if not isinstance(when, dict) or not all(isinstance(allowed, list) for allowed in when.values()):
        raise InputError(f"{where}: when = {{ 'other.binding' = [values] }} is how to write a condition.")
    options = {key: entry[key] for key in OPTIONS if key in entry}
    try:
        return spaces.parameter(name, kinds[0], entry[kinds[0]], **options)
    except (TypeError, ValueError) as error:
        raise InputError(f'{where}: {error}') from None
