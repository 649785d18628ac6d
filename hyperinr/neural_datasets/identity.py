"""What makes two neural datasets the same one: the comparison of their descriptions, and a digest that shards carry."""

import hashlib
import json
import os
from typing import Any

from hyperinr.errors import InputError
from hyperinr.neural_datasets.description import MORE_OF_SPEC, Description, more_of_spec
from hyperinr.training.run_directory import changed_bindings, lasting_bindings, listed

__all__ = ['check_same', 'differences', 'identity']

HASHES = ('source.fingerprint', 'source.dataset_sha256')


def identity(description: Description) -> str:
    """Return the SHA-256 of all that `check_same` compares: not of versions, nor of where the signals lie."""
    content = [_comparable(description), lasting_bindings(description.config)]
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def check_same(folder: str | os.PathLike, stored: Description, wanted: Description) -> None:
    """Refuse to continue a store with another description. Versions, and where the signals lie, may differ.

    Raises:
      InputError: the descriptions differ; the message names the differences.
    """
    changes = changed_bindings(stored.config, wanted.config, same_data=True)
    if not changes:
        changes = differences(stored, wanted)
        before, after = _comparable(stored), _comparable(wanted)
        if any(before[name] != after[name] for name in HASHES if name in before and name in after):
            changes.append('signals of the dataset were added, removed or changed')
    if changes:
        raise InputError(
            f'{folder} holds a neural dataset with another config: {listed(changes)}. Give another --store, or the '
            'config of that one (leave CONFIG out to use it).'
        )


def differences(stored: Description, wanted: Description) -> list[str]:
    """Return ``'seeds was [0], is now [1]'`` for each field that differs, without hashes of the signals."""
    before, after = _comparable(stored), _comparable(wanted)
    different = [name for name in before if name in after and before[name] != after[name]]
    return [f'{name} was {before[name]}, is now {after[name]}' for name in different if name not in HASHES]


def _comparable(description: Description) -> dict[str, Any]:
    """Return the fields after a round trip through JSON, without those that may change or are not known."""
    source = {'name': description.spec.name, **description.source}
    fields = {
        **description._asdict(),
        **{f'source.{name}': value for name, value in source.items() if value != ''},
        'spec': [value for name, value in description.spec._asdict().items() if name not in MORE_OF_SPEC],
        **{f'spec.{name}': value for name, value in more_of_spec(description.spec).items()},
    }
    left_out = ('config', 'versions', 'source')
    return json.loads(json.dumps({name: value for name, value in fields.items() if name not in left_out}))
