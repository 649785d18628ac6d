"""Checks of ``dataset.json``: a digest of its content, and the types and ranges of what it describes.

A digest shows accidents and slips. Anybody can make a new one, so every number is checked before it is used.
"""

import hashlib
import json
import os
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from hyperinr import inrs
from hyperinr import weights as weights_lib
from hyperinr.errors import InputError, first_line

if TYPE_CHECKING:
    from hyperinr.neural_datasets.description import Description

__all__ = ['DIGEST', 'MAX_SIGNALS', 'check_fields', 'check_inr', 'content_digest', 'is_count']

DIGEST = 'content_sha256'
"""Name of the digest of all other entries."""
MAX_SIGNALS = 2**28
"""Most signals of a store: a permutation of them, which `NeuralDataset.split` draws, takes 2 GiB."""
MAX_INT = 2**31 - 1


def content_digest(content: Mapping[str, Any]) -> str:
    """Return the SHA-256 of content as canonical JSON, without the entry of the digest.

    Raises:
      ValueError: a number is NaN or infinite.
    """
    others = {name: value for name, value in content.items() if name != DIGEST}
    return hashlib.sha256(json.dumps(others, sort_keys=True, allow_nan=False).encode()).hexdigest()


def is_count(number: Any, most: int = MAX_INT) -> bool:
    """Tell whether a value from a file is a whole number in [1, most]."""
    return type(number) is int and 1 <= number <= most


def check_fields(description: 'Description') -> None:
    """Check the types and ranges of a description that a file gave.

    Raises:
      ValueError: one is wrong; the message names it. A field of a wrong type may also raise TypeError, KeyError or
        AttributeError.
    """
    wrong = [what for what, is_right in _checks(description) if not is_right]
    if wrong:
        raise ValueError(f'wrong {wrong[0]}')


def check_inr(description: 'Description', where: str | os.PathLike) -> None:
    """Check that the INR of a description can be made, and that its weights are those described.

    Args:
      description: description of a store.
      where: its file, for messages.

    Raises:
      InputError: it cannot, or they are not.
    """
    found = description
    try:
        expected = weights_lib.spec_of_inr(inrs.from_metadata(found.inr), found.spec.coord_dims)
    except (ValueError, TypeError, ArithmeticError) as error:
        raise InputError(f'{where}: its INR cannot be made ({first_line(error)}); restore the file.') from error
    if expected != found.weights or found.inr.get('channels') != found.spec.channels:
        raise InputError(f'{where}: its {found.inr["kind"]} has other weights or channels than it says; restore it.')


def _checks(found: 'Description') -> Iterator[tuple[str, bool]]:
    """Yield the names of fields, and whether they are right."""
    weights, inr = found.weights, found.inr
    names = [path.split('/') for path in weights.paths]
    texts = (found.coordinates, found.config, inr['kind'])
    yield 'coordinates, config or kind of INR', all(isinstance(text, str) for text in texts)
    yield 'paths of weights', all(len(parts) == 2 for parts in names) and len(set(weights.paths)) == len(names)
    yield 'shapes of weights', all(is_count(size) for shape in weights.shapes for size in shape)
    yield 'size of the INR', all(abs(value) <= MAX_INT for value in inr.values() if isinstance(value, int | float))
    # Who builds an INR loops over these two.
    yield 'depth of the INR', all(inr.get(name, 0) <= len(names) for name in ('depth', 'num_levels'))
    yield (
        'seeds',
        0 < len(found.seeds) == len(set(found.seeds)) and all(seed == 0 or is_count(seed) for seed in found.seeds),
    )
    yield f'num_signals, not in [1, {MAX_SIGNALS}]', is_count(found.num_signals, MAX_SIGNALS)
    yield f'shard_size, not in [1, {MAX_INT}]', is_count(found.shard_size)
    sizes = [size for name, size in found.source['splits'] if isinstance(name, str) and (size == 0 or is_count(size))]
    yield 'splits', len(sizes) == len(found.source['splits']) and sum(sizes) == found.num_signals
    tables = (inr, found.source, found.start, found.fitting, found.versions)
    yield 'type of a table', all(isinstance(table, dict) for table in tables)
