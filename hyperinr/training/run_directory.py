"""The folder of one run: its config and versions, and the check that prevents two runs in one folder."""

import ast
import contextlib
import hashlib
import json
import os
import platform
import re
from collections.abc import Iterator, Mapping, Sequence
from importlib import metadata
from pathlib import Path
from typing import Any, NamedTuple

from hyperinr.datasets.base import LOCATIONS
from hyperinr.errors import InputError
from hyperinr.runtime import locks
from hyperinr.runtime.files import read_json, read_json_lines, replacing, write_json
from hyperinr.types import DatasetSpec

__all__ = [
    'RunFiles',
    'changed_bindings',
    'check_nothing_lost',
    'check_same_run',
    'digest',
    'hyperparameters',
    'lasting_bindings',
    'listed',
    'locked',
    'read_spec',
    'versions',
    'write_run_files',
]

CONFIG, SPEC, RUN, VERSIONS = 'config.gin', 'spec.json', 'run.json', 'versions.json'
LOCK = '.lock'
DATASET, FINGERPRINT = 'experiment.experiment.dataset', 'dataset_sha256'
"""The binding of the dataset in a config; the name of its fingerprint in ``run.json``."""
DAMAGED = 'restore a copy of the run directory, or train in a new one'
MAX_CHANGES_SHOWN = 6
WATCHING = ('hyperinr.training.watching.', 'hyperinr.training.loop.', 'hyperinr.runtime.machine.')
"""Modules with whose bindings no parameter of the run changes."""
IMPORT = re.compile(r'(?:from (?P<package>\S+) )?import (?P<module>\S+)(?: as (?P<alias>\S+))?')


class RunFiles(NamedTuple):
    """The settings that a run is started with.

    Attributes:
      config_text: the operative config; ``None`` for a run that was composed in Python.
      run: ``num_steps``, ``batch_size`` and ``seed``.
      spec: specification of the dataset; ``None`` before the dataset is opened.
      fingerprint: `hyperinr.datasets.base.Dataset.fingerprint`.
    """

    config_text: str | None
    run: Mapping[str, int]
    spec: DatasetSpec | None
    fingerprint: str = ''


def _bindings(text: str) -> dict[str, str]:
    """Return the values of a gin text by name, without comments; an import is a name with an empty value."""
    text = re.sub(r'^\s*(#.*)?\n', '', text, flags=re.MULTILINE)
    # A statement continues after a backslash, and on a line that is indented or closes a bracket.
    statements = re.sub(r'\\\n|\n(?=[\s)\]}])', ' ', text).splitlines()
    pairs = [statement.partition('=') for statement in statements]
    return {name.strip(): ' '.join(value.split()) for name, _, value in pairs}


def _parameters(text: str) -> tuple[dict[str, str], list[str]]:
    """Return the bindings of a gin text without those of `WATCHING`, and its imports without those of it.

    A name is looked up among the imports: a config of somebody else may call any module ``evaluators``.
    """
    bindings, modules = _bindings(text), {}
    for name in [name for name in bindings if IMPORT.fullmatch(name)]:
        found = IMPORT.fullmatch(name)
        assert found is not None
        module = '.'.join(filter(None, (found['package'], found['module'])))
        modules[found['alias'] or found['module']] = f'{module}.'
        del bindings[name]
    watching = lambda name: modules.get(name.rpartition('/')[2].partition('.')[0], '').startswith(WATCHING)
    kept = {name: value for name, value in bindings.items() if not watching(name)}
    return kept, sorted(f'{name} = {module}' for name, module in modules.items() if not module.startswith(WATCHING))


def hyperparameters(config_text: str) -> dict[str, bool | int | float | str]:
    """Return the bindings of a canonical config by name; a value that is not a Python literal stays text.

    Example:
      >>> hyperparameters("siren.width = 64\\nexperiment.inr = @siren")
      {'siren.width': 64, 'experiment.inr': '@siren'}
    """
    found: dict[str, bool | int | float | str] = {name: text for name, text in _bindings(config_text).items() if text}
    for name, text in found.items():
        with contextlib.suppress(ValueError, SyntaxError):
            value = ast.literal_eval(str(text))
            found[name] = value if isinstance(value, bool | int | float | str) else text
    return found


def changed_bindings(before: str, after: str, *, same_data: bool = False) -> list[str]:
    """Return the differences between two configs. Comments, spacing, order and `WATCHING` bindings are ignored.

    A run may resume with other evaluators, loggers, intervals and stop rules, and on another machine. Its parameters do
    not depend on them. A new binding ``None`` is ignored too: an option that an earlier version did not have, and that
    is off.

    Args:
      before, after: gin texts.
      same_data: ignore also where the data lie, the `LOCATIONS` of the dataset; the caller compares the data.

    Returns:
      One entry for each binding: ``'NUM_STEPS was 100, is now 200'``.

    Example:
      >>> changed_bindings('siren.width = 64', '# wider\\nsiren.width = 128')
      ['siren.width was 64, is now 128']
    """
    old, new = (_parameters(text)[0] for text in (before, after))
    if same_data:
        ignored = _locations(old) | _locations(new)
        old, new = ({name: value for name, value in each.items() if name not in ignored} for each in (old, new))
    changes = []
    for name in old | new:
        if name not in new:
            changes.append(f'{name} = {old[name]} is gone')
        elif name not in old:
            if new[name] != 'None':
                changes.append(f'{name} = {new[name]} is new')
        elif old[name] != new[name]:
            changes.append(f'{name} was {old[name]}, is now {new[name]}')
    return changes


def lasting_bindings(config_text: str) -> dict[str, str]:
    """Return the imports and the bindings that `changed_bindings` compares, without ``None`` and places of data."""
    found, imports = _parameters(config_text)
    ignored = _locations(found)
    kept = {name: value for name, value in found.items() if name not in ignored and value != 'None'}
    return {**kept, 'import': '; '.join(imports)}


def _locations(bindings: Mapping[str, str]) -> set[str]:
    """Return the names of the bindings, and of the macros in them, that say where the dataset of a config lies."""
    dataset = bindings.get(DATASET, '').strip('@()')
    found = {f'{dataset}.{name}' for name in LOCATIONS}
    return found | {bindings[name][1:] for name in found if bindings.get(name, '').startswith('%')}


def read_spec(run_dir: str | os.PathLike) -> DatasetSpec:
    """Return the specification of the data that a run was trained on.

    Raises:
      InputError: the folder holds no run, or is damaged.
    """
    path = Path(run_dir) / SPEC
    if not path.is_file():
        raise InputError(f'{run_dir} holds no run ({SPEC} is missing); give the folder of --run in `hyperinr train`.')
    stored = read_json(path, remedy=DAMAGED)
    try:
        spec = DatasetSpec.from_json(stored)
        if spec.num_points < 1:
            raise ValueError('wrong num_points: 0')
        return spec
    except (TypeError, ValueError) as error:
        raise InputError(f'{path} does not describe a dataset ({error}); {DAMAGED}.') from error


def _config_text(run_dir: str | os.PathLike) -> str | None:
    """Return the config of a run; ``None`` if it has none."""
    path = Path(run_dir) / CONFIG
    try:
        return path.read_text(encoding='utf-8') if path.is_file() else None
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f'{path} cannot be read ({error}); {DAMAGED}.') from error


def digest(run_dir: str | os.PathLike) -> str:
    """Return a SHA-256, hexadecimal, of what the parameters of a run depend on, as its files say it.

    Each checkpoint holds it, so that no other config or specification passes for that of the parameters. It covers the
    `lasting_bindings` and ``spec.json``.
    """
    spec = Path(run_dir) / SPEC
    content = [
        lasting_bindings(_config_text(run_dir) or ''),
        read_json(spec, remedy=DAMAGED) if spec.exists() else None,
    ]
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def _changed(before: Mapping[str, Any], after: Mapping[str, Any]) -> list[str]:
    return [f'{name} was {old}, is now {after[name]}' for name, old in before.items() if old != after[name]]


def check_same_run(run_dir: str | os.PathLike, files: RunFiles) -> bool:
    """Compare a run that is about to start with the contents of its folder. It writes nothing.

    Returns:
      Whether the folder already holds this run; False for a new or empty folder.

    Raises:
      InputError: the folder holds another run (the message names the differing bindings), holds files but no run, or
        is not writable.
    """
    run_dir = Path(run_dir)
    if run_dir.exists() and not run_dir.is_dir():
        raise InputError(f'{run_dir} is a file; give a folder as the run directory.')
    nearest = next(path for path in (run_dir, *run_dir.absolute().parents) if path.exists())
    if not nearest.is_dir() or not os.access(nearest, os.W_OK | os.X_OK):
        raise InputError(f'no permission to write {run_dir}; choose another folder or change its permissions.')
    content = sorted(path.name for path in run_dir.glob('*') if path.name != LOCK and '.partial' not in path.name)
    if not content:
        return False
    if not (run_dir / RUN).is_file():
        names = ', '.join(content[:3])
        raise InputError(f'{run_dir} is not empty and holds no run ({names} ...); give a new or empty folder.')
    stored, changes = read_json(run_dir / RUN, remedy=DAMAGED), []
    known = stored.get(FINGERPRINT)
    before = _config_text(run_dir)
    if files.config_text is not None and before is not None:
        changes = changed_bindings(before, files.config_text, same_data=known is not None)
    if not changes:
        changes = _changed({name: stored.get(name) for name in files.run}, files.run)
    if not changes and files.spec is not None and (run_dir / SPEC).is_file():
        in_file = read_json(run_dir / SPEC, remedy=DAMAGED)
        fields = {name: value for name, value in read_spec(run_dir)._asdict().items() if name in in_file}
        changes = [f"the dataset's {change}" for change in _changed(fields, files.spec._asdict())]
    if not changes and files.spec is not None and known not in (None, files.fingerprint):
        changes = ['files of the dataset were added, removed, renamed or changed']
    if changes:
        raise InputError(
            f'{run_dir} holds a run of another config: {listed(changes)}. Give another run directory, or the '
            'config of that run.'
        )
    return True


def listed(changes: Sequence[str]) -> str:
    """Join changes for a message: the first few, and the number of further ones."""
    more = len(changes) - MAX_CHANGES_SHOWN
    return '; '.join([*changes[:MAX_CHANGES_SHOWN], *([f'and {more} more'] if more > 0 else [])])


def check_nothing_lost(run_dir: str | os.PathLike, checkpoint_every: int) -> None:
    """Refuse a run whose checkpoints were deleted, instead of training it from the start again.

    The second save waits for the first. So a run that has logged a step after the second save has written a checkpoint.

    Args:
      run_dir: run directory without a checkpoint.
      checkpoint_every: steps between two checkpoints.

    Raises:
      InputError: the metrics go beyond the second checkpoint.
    """
    steps = [record.get('step') for record in read_json_lines(Path(run_dir) / 'metrics.jsonl')]
    newest = max((step for step in steps if isinstance(step, int)), default=0)
    if newest > 2 * checkpoint_every:
        raise InputError(
            f'{run_dir} was trained to step {newest}, and its checkpoints are gone: restore {run_dir}/checkpoints, '
            'or give a new folder to train from the start.'
        )


def versions(more: Sequence[str] = ()) -> dict[str, str]:
    """Return the versions of Python, the machine and the packages that affect results, and of the ``more`` packages."""
    found = {'python': platform.python_version(), 'machine': platform.machine()}
    for name in ('hyperinr', 'jax', 'jaxlib', 'dm-haiku', 'optax', 'numpy', 'orbax-checkpoint', 'gin-config', *more):
        with contextlib.suppress(metadata.PackageNotFoundError):
            found[name] = metadata.version(name)
    return found


def write_run_files(run_dir: str | os.PathLike, files: RunFiles) -> None:
    """Write the missing files, each completely or not at all. ``run.json``, which marks the folder as a run, is first.

    The config is that of the newest session. It may differ from the first session's in bindings that
    `changed_bindings` ignores.

    Raises:
      InputError, RunError: as for `hyperinr.runtime.files.disk_errors`.
    """
    run_dir = Path(run_dir)
    spec = files.spec and files.spec._asdict()
    run = {**files.run, **({FINGERPRINT: files.fingerprint} if files.fingerprint else {})}
    for name, content in ((RUN, run), (SPEC, spec), (VERSIONS, versions())):
        if content is not None and not (run_dir / name).exists():
            write_json(run_dir / name, content)
    if files.config_text is not None:
        with replacing(run_dir / CONFIG) as temporary:
            temporary.write_text(files.config_text, encoding='utf-8')


@contextlib.contextmanager
def locked(run_dir: str | os.PathLike) -> Iterator[None]:
    """Prevent a second process from training in the same folder; the system releases the lock when a process dies.

    Raises:
      InputError: another process is training there, or the file system has no locks.
    """
    with locks.locked(Path(run_dir) / LOCK, wait=False) as held:
        if not held:
            raise InputError(f'another process is training in {run_dir}; wait for it, or give another folder.')
        yield
