"""Which files of a user's folders are in which split: whole files, groups of files, or stretches of each file."""

import os
import re
from pathlib import Path
from typing import Any, NamedTuple

from hyperinr import kinds
from hyperinr.datasets.base import SPLITS, random_split
from hyperinr.datasets.folders import described, list_files
from hyperinr.errors import InputError
from hyperinr.kinds import Kind

__all__ = ['Folder', 'Member', 'contents', 'find_files', 'split_files']


class Folder(NamedTuple):
    """A folder and its files; a single file is alone in its folder."""

    path: Path
    files: list[Path]


class Member(NamedTuple):
    """A file, or a stretch of it.

    Attributes:
      file: the file.
      name: its path below its folder.
      group: files of one group are in one split.
      label: name of its class, or ``None``.
      stretch: fractions of the first axis at which it begins and ends.
    """

    file: Path
    name: str
    group: str
    label: str | None
    stretch: tuple[float, float]


def find_files(given: dict[str, str | os.PathLike | None], name: str | None) -> tuple[dict[str, Folder], Kind]:
    """Return the folder of each split that has its own, and the kind of all files.

    Args:
      given: folder or file of each split, or ``None``.
      name: name of the kind; ``None``: by the suffix of the first file.

    Raises:
      InputError: no such folder or file, or one without files of the kind.
    """
    if not given['train']:
        raise InputError('signal_folder.path must name a folder or file: add -p "signal_folder.path=\'FOLDER\'".')
    paths = {split: Path(path).expanduser().absolute() for split, path in given.items() if path}
    own = [paths['train'] / split for split in SPLITS]
    if len(paths) == 1 and all(folder.is_dir() for folder in own):
        paths = dict(zip(SPLITS, own, strict=True))
    missing = next((path for path in paths.values() if not path.exists()), None)
    if missing is not None:
        raise InputError(f'signal_folder: there is no folder or file {str(missing)!r}.')
    first = next((each for each in (paths['train'].rglob('*') if name is None else ()) if _is_signal(each)), None)
    if name is None and first is None and paths['train'].is_dir():
        raise InputError(f'{str(paths["train"])!r} has no file of a known kind; name one by signal_folder.kind.')
    kind = kinds.kind_of(first or paths['train'], name)
    folders = {}
    for split, path in paths.items():
        if path.is_file():
            folders[split] = Folder(path.parent, [path])
            continue
        listing = list_files(path, kind.suffixes)
        if not listing.files:
            raise InputError(f'{str(path)!r} has no files of kind {kind.name!r} ({listing.note() or "it is empty"}).')
        folders[split] = Folder(path, listing.files)
    seen: dict[Path, str] = {}
    for split, folder in folders.items():
        for file in folder.files:
            other = seen.setdefault(file.resolve(), split)
            if other != split:
                raise InputError(f'{str(file)!r} would be in the splits {other} and {split}; give folders apart.')
    return folders, kind


def _is_signal(path: Path) -> bool:
    return any(path.name.lower().endswith(kind.suffixes) for kind in kinds.KINDS.values())


def split_files(
    folders: dict[str, Folder], groups: str | None, labels: str | None, fractions: dict[str, float], seed: int
) -> dict[str, list[Member]]:
    """Return the files of each split, or the stretches of files.

    Args:
      folders: made by `find_files`.
      groups, labels, seed: see `hyperinr.datasets.signal_folder`.
      fractions: fraction of the groups for validation and test.

    Raises:
      InputError: a wrong regular expression, or one that does not match a file.
    """
    patterns = {name: _pattern(name, text) for name, text in (('groups', groups), ('labels', labels)) if text}
    each = lambda folder: [_part(folder.path, file, patterns) for file in folder.files]
    members = {split: each(folder) for split, folder in folders.items()}
    absent = [split for split in SPLITS if split not in members]
    if not absent:
        return members
    names = sorted({member.group for member in members['train']})
    wanted = [max(1, round(fractions[split] * len(names))) for split in absent]
    if sum(wanted) < len(names):
        sizes = (len(names) - sum(wanted), *(wanted[absent.index(s)] if s in absent else 0 for s in SPLITS[1:]))
        rows = random_split(len(names), sizes, seed)
        drawn = {split: {names[row] for row in rows[split]} for split in ('train', *absent)}
        everything = members['train']
        return members | {
            split: [member for member in everything if member.group in kept] for split, kept in drawn.items()
        }
    end = 1 - sum(fractions[split] for split in absent)
    stretches = {'train': (0.0, end)}
    for split in absent:
        stretches[split] = end, end + fractions[split]
        end += fractions[split]
    everything = members['train']
    return members | {split: [member._replace(stretch=at) for member in everything] for split, at in stretches.items()}


def _part(folder: Path, file: Path, patterns: dict[str, re.Pattern[str]]) -> Member:
    name = file.relative_to(folder).as_posix()
    found: dict[str, str | None] = {}
    for which, pattern in patterns.items():
        match = pattern.search(name)
        if match is None or match[1] is None:
            raise InputError(f'signal_folder.{which} {pattern.pattern!r} does not match the path of {name!r}; mend it.')
        found[which] = match[1]
    return Member(file, name, found.get('groups') or name, found.get('labels'), (0.0, 1.0))


def _pattern(name: str, text: str) -> re.Pattern[str]:
    try:
        pattern = re.compile(text)
    except re.error as error:
        raise InputError(f'signal_folder.{name} {text!r} is no regular expression: {error}.') from error
    if pattern.groups != 1:
        raise InputError(f'signal_folder.{name} must have one group in parentheses, not {pattern.groups}: {text!r}.')
    return pattern


def contents(members: dict[str, list[Member]], folders: dict[str, Folder], data_dir: str | None) -> list[list[Any]]:
    """Return what the members of each split are, by the content of their files."""
    digests: dict[Path, str] = {}
    for folder in folders.values():
        content = described({'all': folder.files}, folder.path, data_dir)
        digests |= {file: digest for file, (*_, digest) in zip(folder.files, content, strict=True)}
    return [
        [split, member.name, member.group, member.label, member.stretch, digests[member.file]]
        for split, files in members.items()
        for member in files
    ]
