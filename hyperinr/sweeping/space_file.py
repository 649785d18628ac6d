"""The space file of ``hyperinr sweep``: TOML that says what is searched, for which figure, and how.

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
import tempfile
import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from hyperinr import config
from hyperinr.config.names import nearest
from hyperinr.errors import InputError
from hyperinr.searching import space as spaces
from hyperinr.searching.space import KINDS, Parameter, Space
from hyperinr.searching.study import PRUNERS, SAMPLERS

__all__ = ['SweepSpace', 'check_bindings', 'find_space', 'read_space']

DIRECTIONS = ('maximize', 'minimize')
OPTIONS = ('points', 'when')


class SweepSpace(NamedTuple):
    """What a space file says.

    Attributes:
      space: what is drawn.
      objective: a figure of the validation records in ``metrics.jsonl``; of one with several numbers the last, or the
        one in brackets: ``'psnr_db[0]'``, before any adaptation.
      direction: ``'maximize'`` or ``'minimize'``.
      sampler: ``'tpe'``, ``'random'`` or ``'grid'``.
      pruner: ``'median'``, ``'hyperband'`` or ``'none'``.
      num_trials: to end, >= 1; of a grid the most.
      seed: of the draws, >= 0.
    """

    space: Space
    objective: str = 'psnr_db'
    direction: str = 'maximize'
    sampler: str = 'tpe'
    pruner: str = 'median'
    num_trials: int = 30
    seed: int = 0

    def value(self, record: Mapping[str, Any]) -> float:
        """The objective of a validation record.

        Raises:
          InputError: it has no such figure.
        """
        name, position = _figure(self.objective)
        if name not in record:
            raise InputError(f'no figure {name!r} is measured{nearest(name, list(record))}')
        found = record[name]
        numbers = list(found) if hasattr(found, '__len__') else [found]
        if not -len(numbers) <= position < len(numbers):
            raise InputError(f'objective {self.objective!r}: {name} has {len(numbers)} numbers.')
        return float('nan' if numbers[position] is None else numbers[position])


def _figure(objective: str) -> tuple[str, int]:
    match = re.fullmatch(r'(\w+)(?:\[(-?\d+)\])?', objective)
    if match is None:
        raise InputError(f"objective {objective!r} is no figure; write e.g. 'psnr_db' or 'psnr_db[0]'.")
    return match[1], int(match[2] or -1)


def find_space(path: str | os.PathLike) -> Path:
    """A space file by its path, or by its name among those that come with hyperinr."""
    inside = config.config_root() / path
    return inside if not Path(path).is_file() and inside.is_file() else Path(path)


def read_space(path: str | os.PathLike) -> SweepSpace:
    """Reads and checks a space file; the bindings in it are for `check_bindings`.

    Raises:
      InputError: no such file, a syntax error, an unknown key (the nearest is named) or a value outside its range.
    """
    path = find_space(path)
    try:
        content = tomllib.loads(path.read_text(encoding='utf-8'))
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f'--space {path} cannot be read: {getattr(error, "strerror", None) or error}.') from None
    except tomllib.TOMLDecodeError as error:
        raise InputError(f'{path}: {error}; the file is TOML, names with a dot stand in quotes.') from None
    _check_keys(content, ('search', 'space'), f'{path}: ')
    settings, wanted = content.get('search', {}), content.get('space', {})
    _check_keys(settings, SweepSpace._fields[1:], f'{path}: [search]: ')
    parameters = [_parameter(name, entry, f'{path}: [space] {name!r}') for name, entry in wanted.items()]
    try:
        found = SweepSpace(spaces.space(parameters), **settings)
    except ValueError as error:
        raise InputError(f'{path}: {error}') from None
    for name, known in (('direction', DIRECTIONS), ('sampler', SAMPLERS), ('pruner', PRUNERS)):
        if getattr(found, name) not in known:
            raise InputError(f'{path}: {name} {getattr(found, name)!r} is none of {", ".join(known)}.')
    for name, least in (('num_trials', 1), ('seed', 0)):
        value = getattr(found, name)
        if not isinstance(value, int) or value < least:
            raise InputError(f'{path}: {name} must be a whole number >= {least}, not {value!r}.')
    if not isinstance(found.objective, str):
        raise InputError(f"{path}: objective must be a figure's name, not {found.objective!r}.")
    _figure(found.objective)
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
    try:
        return spaces.parameter(
            name, kinds[0], entry[kinds[0]], points=entry.get('points', spaces.GRID_POINTS), when=when
        )
    except (TypeError, ValueError) as error:
        raise InputError(f'{where}: {error}') from None


def check_bindings(text: str, parameters: Space) -> None:
    """Reads a config with each parameter's values, so that a wrong binding is known before the first trial.

    Args:
      text: of the config, canonical, as every trial overrides it.
      parameters: see `spaces.probes` for what is tried.

    Raises:
      InputError: a name that the config does not have (the nearest is named), or a value that it cannot read.
    """
    with tempfile.TemporaryDirectory() as scratch:
        path = Path(scratch, 'config.gin')
        path.write_text(text, encoding='utf-8')
        for _, drawn in spaces.probes(parameters):
            try:
                config.load_config(str(path), spaces.bindings(drawn))
            except InputError as error:
                raise InputError(f'[space] {str(error).removeprefix("-p ")}') from None
