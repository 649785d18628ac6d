"""Names of configs: list them, find their files, and suggest the nearest name."""

import contextlib
import difflib
import pathlib
import re
from collections.abc import Sequence

from hyperinr.errors import InputError

__all__ = ['available', 'config_root', 'configs_of', 'display', 'either', 'find', 'nearest']


def config_root() -> pathlib.Path:
    """Return the folder of the configs that come with hyperinr, inside or beside the package."""
    package = pathlib.Path(__file__).resolve().parent.parent
    inside = package / 'gin_configs'
    return inside if inside.is_dir() else package.parent / 'gin_configs'


def available() -> list[str]:
    """Return the names of all configs that come with hyperinr, such as ``'experiment/photo_patches_siren.gin'``."""
    root = config_root()
    return sorted(str(path.relative_to(root).as_posix()) for path in root.glob('*/*.gin'))


def configs_of(function: str) -> list[str]:
    """Return the names of the configs that come with hyperinr and use a function, those for that purpose first."""
    use = re.compile(rf'[@.]{re.escape(function)}\b')
    found = [name for name in available() if use.search((config_root() / name).read_text(encoding='utf-8'))]
    last = function.rpartition('.')[2]
    return sorted(found, key=lambda name: (pathlib.PurePath(name).stem != last, name.startswith('experiment/'), name))


def find(name: str, *, folders: Sequence[pathlib.Path] | None = None, where: str = '') -> pathlib.Path:
    """Find the file of a config name.

    Args:
      name: a path or a name such as ``'experiment/photo_patches_siren'``; ``.gin`` may be left out.
      folders: folders to search, in order; ``None``: the working folder and `config_root`, or `config_root` first for
        a name without ``.gin``: no file of the working folder then takes the place of a config of hyperinr.
      where: ``'file:line: '`` for the message.

    Raises:
      InputError: there is no such file, or it is a folder.
    """
    if folders is None:
        folders = [pathlib.Path(), config_root()] if name.endswith('.gin') else [config_root(), pathlib.Path()]
    for folder in folders:
        for candidate in (folder / name, folder / f'{name}.gin'):
            with contextlib.suppress(OSError, ValueError):  # A name that no file can have.
                if candidate.is_file():
                    return candidate
    names = available()
    stem = name.removesuffix('.gin')
    near = [other for other in names if pathlib.PurePath(other).stem == pathlib.PurePath(stem).name]
    near = near or difflib.get_close_matches(f'{stem}.gin', names, n=3, cutoff=0.5)
    near = near or difflib.get_close_matches(f'experiment/{stem}.gin', names, n=3, cutoff=0.5)
    remedy = f'did you mean {either(near)}?' if near else '`hyperinr configs` lists those that come with hyperinr.'
    raise InputError(f'{where}no config {name!r}; {remedy}')


def display(path: pathlib.Path) -> str:
    """Return ``path`` for messages: the name of a config that comes with hyperinr, else the path."""
    resolved, root = path.resolve(), config_root().resolve()
    return resolved.relative_to(root).as_posix() if resolved.is_relative_to(root) else str(path)


def nearest(name: str, names: Sequence[str], *, fallback: str = '.') -> str:
    """Return the end of a message: ``'; did you mean ...?'`` or ``fallback``."""
    near = difflib.get_close_matches(name, names, n=3, cutoff=0.6)
    return f'; did you mean {either(near)}?' if near else fallback


def either(names: Sequence[str]) -> str:
    """Return ``"'a' or 'b'"``."""
    return ' or '.join(repr(name) for name in names)
