"""The description of a neural dataset: the content of ``dataset.json`` and the index space of its shards."""

import hashlib
import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from hyperinr import weights as weights_lib
from hyperinr.errors import InputError
from hyperinr.neural_datasets.description_checks import DIGEST, check_fields, content_digest
from hyperinr.runtime.files import read_json, write_json
from hyperinr.types import DatasetSpec
from hyperinr.weights import WeightSpec

__all__ = [
    'DESCRIPTION',
    'MORE_OF_SPEC',
    'START_KINDS',
    'STATUSES',
    'Description',
    'from_json',
    'more_of_spec',
    'read_description',
]

DESCRIPTION = 'dataset.json'
AS_THEY_ARE = ('inr', 'coordinates', 'source', 'shard_size', 'start', 'fitting', 'config', 'versions')
"""Fields of `Description` with the same name in ``dataset.json``."""
OF_SPEC = ('data_range', 'grid_shape', 'num_points', 'coord_dims', 'channels')
"""Fields of `DatasetSpec` with the same name in ``dataset.json``."""
SCHEMA_VERSION = 2
"""Schema version of ``dataset.json`` and the shards. Raise it when an older reader could misread the new files."""
MAX_BYTES = 2**24
"""Size of the largest ``dataset.json`` that is read."""
STATUSES = ('ok', 'diverged', 'missed_target')
"""Meaning of the integers in the column ``status``, from 0."""
START_KINDS = ('random', 'shared', 'generated', 'meta_learned', 'imported')
"""Meaning of the integers in the column ``start``, from 0."""
MORE_OF_SPEC = ('kind', 'layout', 'spacing', 'source_range')
"""Further ones, in the entry ``signal``, written only where they differ from their default: older stores have none."""


class Description(NamedTuple):
    """The properties that all INRs of a store share.

    Attributes:
      inr: `Inr.metadata`: kind and parameters.
      weights: names and shapes of the tensors, in the order of a row of ``weights``.
      spec: grid, coordinates, channels and data range of the signals. Their counts are in ``source``.
      coordinates: layout of a grid's coordinates, in words.
      source: ``name``, ``splits`` (pairs of name and size, in the order of the source index), ``version``,
        ``fingerprint`` of the signals and ``dataset_sha256``, the fingerprint of their dataset.
      seeds: S whole numbers; the INR with index i has seed ``seeds[i // num_signals]`` and signal ``i % num_signals``.
      num_signals: number of signals in all splits together.
      shard_size: number of INRs in every shard except the last.
      start: ``kind`` and the other facts that decide the starts, for example a digest of a model's parameters.
      fitting: number of steps, target and chunk size.
      config: the operative gin text; empty for an imported store.
      versions: versions of Python and of the packages that affect the numbers.
    """

    inr: Mapping[str, Any]
    weights: WeightSpec
    spec: DatasetSpec
    coordinates: str
    source: Mapping[str, Any]
    seeds: tuple[int, ...]
    num_signals: int
    shard_size: int
    start: Mapping[str, Any]
    fitting: Mapping[str, Any]
    config: str
    versions: Mapping[str, str]

    @property
    def size(self) -> int:
        """Number of INRs in the whole index space, seeds x signals."""
        return len(self.seeds) * self.num_signals

    def seeds_and_signals(self, indices: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return the seeds ``[n]`` and the source indices ``[n]`` of the INRs with these indices ``[n]``."""
        positions, signals = np.divmod(indices, self.num_signals)
        return np.asarray(self.seeds, np.int64)[positions], signals

    def bounds(self, start: int | None = None, end: int | None = None) -> tuple[int, int]:
        """Return [start, end) widened to whole shards; by default the whole index space.

        Raises:
          InputError: the range is empty or lies outside the index space.
        """
        first, last = start or 0, self.size if end is None else end
        if not 0 <= first < last <= self.size:
            raise InputError(
                f'the range [{first}, {last}) is empty or lies outside the index space [0, {self.size}) of '
                f'{len(self.seeds)} seeds x {self.num_signals} signals; give --start and --end within it.'
            )
        return first // self.shard_size * self.shard_size, min(-(-last // self.shard_size) * self.shard_size, self.size)

    def shards(self, start: int | None = None, end: int | None = None) -> list[tuple[int, int]]:
        """Return ``(start, end)`` of every shard that overlaps [start, end); by default of the whole space.

        A store's file may claim a huge space. `holds` and `gaps` cost no more than the files that are there.

        Raises:
          InputError: as `bounds`.
        """
        return self._split(*self.bounds(start, end))

    def holds(self, shard: tuple[int, int]) -> bool:
        """Tell whether ``(start, end)`` is one of `shards`."""
        begin, end = shard
        inside = 0 <= begin < self.size and begin % self.shard_size == 0
        return inside and end == min(begin + self.shard_size, self.size)

    def gaps(
        self, there: Iterable[tuple[int, int]], start: int | None = None, end: int | None = None
    ) -> list[tuple[int, int]]:
        """Return the longest ranges of `bounds` that none of the shards ``there`` covers, in order."""
        first, last = self.bounds(start, end)
        gaps = []
        for begin, stop in [*sorted(each for each in there if self.holds(each)), (last, last)]:
            if first < min(begin, last):
                gaps.append((first, min(begin, last)))
            first = max(first, stop)
        return gaps

    def missing(
        self, there: Iterable[tuple[int, int]], start: int | None = None, end: int | None = None
    ) -> list[tuple[int, int]]:
        """Return those `shards` of a range that are not among the shards ``there``."""
        return [shard for gap in self.gaps(there, start, end) for shard in self._split(*gap)]

    def _split(self, first: int, last: int) -> list[tuple[int, int]]:
        return [(begin, min(begin + self.shard_size, self.size)) for begin in range(first, last, self.shard_size)]

    def as_json(self, **more: Any) -> dict[str, Any]:
        """Return the content of ``dataset.json`` and more entries; `from_json` is the inverse."""
        tensors = zip(self.weights.paths, self.weights.shapes, strict=True)
        content = {
            'schema_version': SCHEMA_VERSION,
            'num_weights': weights_lib.count(self.weights),
            'weights': [{'path': path, 'shape': shape} for path, shape in tensors],
            **{name: getattr(self.spec, name) for name in OF_SPEC},
            **({'signal': more_of_spec(self.spec)} if more_of_spec(self.spec) else {}),
            'index_space': {
                'size': self.size,
                'seeds': self.seeds,
                'num_signals': self.num_signals,
                'order': 'index = position of the seed * num_signals + source_index',
            },
            'codes': {'status': STATUSES, 'start': START_KINDS},
            'config_sha256': config_hash(self.config),
            **{name: getattr(self, name) for name in AS_THEY_ARE},
            'source': {'name': self.spec.name, **self.source},
            **more,
        }
        return {**content, DIGEST: content_digest(content)}

    def write(self, folder: str | os.PathLike) -> None:
        """Write ``dataset.json`` atomically.

        Raises:
          InputError, RunError: as `hyperinr.runtime.files.disk_errors`.
        """
        write_json(Path(folder) / DESCRIPTION, self.as_json())


def more_of_spec(spec: DatasetSpec) -> dict[str, Any]:
    """Return the fields of `MORE_OF_SPEC` that differ from their default."""
    defaults = DatasetSpec._field_defaults
    return {name: getattr(spec, name) for name in MORE_OF_SPEC if getattr(spec, name) != defaults[name]}


def config_hash(text: str) -> str:
    """Return the SHA-256 of the operative config, hexadecimal."""
    return hashlib.sha256(text.encode()).hexdigest()


def read_description(folder: str | os.PathLike) -> Description:
    """Read ``dataset.json``.

    Raises:
      InputError: the folder holds no store, or its store is damaged or has another schema.
    """
    path = Path(folder) / DESCRIPTION
    if not path.is_file():
        raise InputError(f'{folder} holds no neural dataset ({DESCRIPTION} is missing); give the folder of --store.')
    if path.stat().st_size > MAX_BYTES:
        raise InputError(f'{path} has {path.stat().st_size:,} bytes, more than {MAX_BYTES:,}; restore the file.')
    return from_json(read_json(path), path)


def from_json(content: Mapping[str, Any], where: str | os.PathLike) -> Description:
    """Return the description that `Description.as_json` wrote.

    Args:
      content: content of ``dataset.json``.
      where: its file, for messages.

    Raises:
      InputError: the content is damaged, contradicts itself or has another schema.
    """
    try:
        version = content['schema_version']
        if type(version) is not int:
            raise ValueError('its schema_version is no number')
        if version != SCHEMA_VERSION:
            remedy = 'update hyperinr' if version > SCHEMA_VERSION else 'make it again with this hyperinr'
            raise InputError(
                f'{where} has schema version {version:.9g}, this hyperinr reads {SCHEMA_VERSION}; {remedy}.'
            )
        if content[DIGEST] != content_digest(content) or config_hash(content['config']) != content['config_sha256']:
            raise InputError(f'{where}: the content does not match its digest; restore the file.')
        signal = content.get('signal', {})
        more = {name: signal[name] for name in MORE_OF_SPEC if name in signal}
        fields = {name: content[name] for name in OF_SPEC}
        spec = DatasetSpec.from_json({'name': content['source']['name'], **fields, **more})
        paths, shapes = zip(*((tensor['path'], tuple(tensor['shape'])) for tensor in content['weights']), strict=True)
        found = Description(
            weights=WeightSpec(paths, shapes),
            spec=spec,
            seeds=tuple(content['index_space']['seeds']),
            num_signals=content['index_space']['num_signals'],
            **{name: content[name] for name in AS_THEY_ARE},
        )
        check_fields(found)
        if found.start['kind'] not in START_KINDS:
            raise ValueError('its start has no known kind')
        if content['num_weights'] != weights_lib.count(found.weights) or content['index_space']['size'] != found.size:
            raise ValueError('its sizes contradict each other')
    except InputError:
        raise
    except (ValueError, KeyError, TypeError, AttributeError, ArithmeticError, RecursionError) as error:
        raise InputError(f'{where} does not describe a neural dataset ({error!r}); restore the file.') from error
    return found
