"""A shard: a safetensors file of weights ``[n, P]`` and one column per property, written atomically.

Letters: ``n`` INRs of the shard, ``P`` weights of each.
"""

import hashlib
import json
import math
import os
import re
from collections import deque
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from hyperinr.errors import InputError
from hyperinr.files.tensors import safetensors_bytes
from hyperinr.runtime.files import replacing, sync_folder

__all__ = [
    'COLUMNS',
    'Shard',
    'StrangeShardError',
    'checksum',
    'list_shards',
    'map_shard',
    'partial_files',
    'shard_path',
    'shard_tensors',
    'write_shard',
    'write_shards',
]

COLUMNS: Mapping[str, np.dtype] = {
    'index': np.dtype(np.int64),
    'source_index': np.dtype(np.int64),
    'label': np.dtype(np.int32),
    'seed': np.dtype(np.int64),
    'start': np.dtype(np.uint8),
    'steps': np.dtype(np.int32),
    'mse': np.dtype(np.float32),
    'psnr_db': np.dtype(np.float32),
    'iou': np.dtype(np.float32),
    'status': np.dtype(np.uint8),
}
"""Name -> type of every column ``[n]``; ``docs/neural_datasets.md`` gives their meaning."""
TYPES: Mapping[str, np.dtype] = {'weights': np.dtype(np.float32), **COLUMNS}
TYPE_NAMES = {'float32': 'F32', 'int64': 'I64', 'int32': 'I32', 'uint8': 'U8'}
NUM_THREADS = 4
"""Threads that write shards at once: a flush waits for the disk and occupies no core."""
MAX_HEADER = 2**20
"""Bytes. A file with a longer header is not a shard."""


class Shard(NamedTuple):
    """A mapped shard.

    Attributes:
      tensors: ``weights [n, P]`` and the columns ``[n]``, read-only, read from the disk on first use.
      checksum: the recorded `checksum`.
    """

    tensors: dict[str, np.ndarray]
    checksum: str


class StrangeShardError(ValueError):
    """A sound shard of another store."""


def shard_path(folder: str | os.PathLike, start: int, end: int) -> Path:
    """Return the path ``weights-<start>-<end>.safetensors`` in a folder."""
    return Path(folder) / f'weights-{start}-{end}.safetensors'


def list_shards(folder: str | os.PathLike, start: int = 0, end: int | None = None) -> list[tuple[int, int]]:
    """Return ``(start, end)`` of the shard files in a folder, in order: of those that overlap [start, end)."""
    found = []
    for name in os.listdir(folder):
        match = re.fullmatch(r'weights-(0|[1-9]\d*)-([1-9]\d*)\.safetensors', name, re.ASCII)
        if match:
            found.append((int(match[1]), int(match[2])))
    return sorted(each for each in found if each[1] > start and (end is None or each[0] < end))


def partial_files(folder: str | os.PathLike, start: int | None = None, end: int | None = None) -> Iterator[Path]:
    """Yield the files that killed writers left behind, of one shard or of all."""
    yield from Path(folder).glob(f'.weights-{"*" if start is None else f"{start}-{end}"}.*.partial.safetensors')


def checksum(tensors: Mapping[str, np.ndarray]) -> str:
    """Return the hexadecimal SHA-256 of the tensors' names, types, shapes and bytes, in the order of the names.

    Bytes are little-endian and row-major.
    """
    digest = hashlib.sha256()
    for name in sorted(tensors):
        array = np.ascontiguousarray(tensors[name])
        digest.update(f'{name} {array.dtype.str} {list(array.shape)}\n'.encode())
        digest.update(array.reshape(-1).view(np.uint8).data)
    return digest.hexdigest()


def write_shard(
    folder: str | os.PathLike, weights: np.ndarray, columns: Mapping[str, np.ndarray], *, store: str
) -> Path:
    """Write a shard under a temporary name, flush it to the disk and rename it. Equal content gives equal bytes.

    Args:
      folder: folder of the store.
      weights: ``[n, P]`` float32.
      columns: every name of `COLUMNS`, each ``[n]``; ``index`` ascends without gaps and names the file.
      store: `hyperinr.neural_datasets.identity.identity` of the store, recorded in the file.

    Returns:
      The path.

    Raises:
      ValueError: a column is missing or has another length, or ``index`` has gaps.
      InputError, RunError: as `hyperinr.runtime.files.disk_errors`.
    """
    path = _write_file(folder, weights, columns, store)
    sync_folder(path.parent)
    return path


def write_shards(
    folder: str | os.PathLike, shards: Iterable[tuple[np.ndarray, Mapping[str, np.ndarray]]], *, store: str
) -> None:
    """Write many shards, several at a time: the disk flushes some while others get their checksum and are copied.

    Args:
      folder: folder of the store.
      shards: pairs of weights and columns; at most `NUM_THREADS` of them are in memory at once.
      store: as in `write_shard`.

    Raises:
      ValueError, InputError, RunError: as `write_shard`; the shards before the failing one are written.
    """
    with ThreadPoolExecutor(NUM_THREADS) as pool:
        running: deque[Future[Path]] = deque()
        for weights, columns in shards:
            if len(running) == NUM_THREADS:
                running.popleft().result()
            running.append(pool.submit(_write_file, folder, weights, columns, store))
        for each in running:
            each.result()
    sync_folder(Path(folder))


def shard_tensors(weights: np.ndarray, columns: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Return weights ``[n, P]`` and columns ``[n]`` by name, converted to their stored types."""
    tensors = {name: np.ascontiguousarray(columns[name], dtype) for name, dtype in COLUMNS.items()}
    return {**tensors, 'weights': np.ascontiguousarray(weights, np.float32)}


def _write_file(folder: str | os.PathLike, weights: np.ndarray, columns: Mapping[str, np.ndarray], store: str) -> Path:
    """Write a shard as `write_shard` does, without flushing the folder."""
    if set(columns) != set(COLUMNS) or any(len(column) != len(weights) for column in columns.values()):
        raise ValueError(f'a shard needs the columns {", ".join(COLUMNS)}, each as long as its weights.')
    tensors = shard_tensors(weights, columns)
    start = int(tensors['index'][0])
    if not np.array_equal(tensors['index'], np.arange(start, start + len(weights))):
        raise ValueError('the indices of a shard must ascend without gaps.')
    path = shard_path(folder, start, start + len(weights))
    about = {'checksum': checksum(tensors), 'range': [start, start + len(weights)], 'store': store}
    with replacing(path, flush_folder=False) as temporary:
        temporary.write_bytes(safetensors_bytes(tensors, json.dumps(about)))
    return path


def map_shard(folder: str | os.PathLike, shard: tuple[int, int], num_weights: int, *, store: str) -> Shard:
    """Map a shard into memory. No number of its header is used that does not follow from the arguments.

    Args:
      folder: folder of the store.
      shard: ``(start, end)``.
      num_weights: P.
      store: the store that the shard must belong to, as in `write_shard`.

    Raises:
      InputError: the file is no safetensors file, is cut short, does not hold the tensors of this shard, or belongs to
        another store (caused by `StrangeShardError`).
    """
    path, (start, end) = shard_path(folder, *shard), shard
    try:
        if not path.is_file():  # A pipe would never end.
            raise ValueError('no regular file')
        data = np.memmap(path, np.uint8, mode='r')
        length = int.from_bytes(data[:8].tobytes(), 'little')
        if not 2 <= length <= min(MAX_HEADER, len(data) - 8):
            raise ValueError('no safetensors header')
        header: dict[str, Any] = json.loads(data[8 : 8 + length].tobytes())
        about = json.loads(header.pop('__metadata__', {}).get('metadata', '{}'))
        found = Shard(_tensors(header, data[8 + length :], (end - start, num_weights)), str(about.get('checksum')))
        if about.get('store') != store:
            raise StrangeShardError('it belongs to another neural dataset')
        if about.get('range') != [start, end] or not np.array_equal(found.tensors['index'], np.arange(start, end)):
            raise ValueError('it holds other INRs than its name says')
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        remedy = f'drop it with `hyperinr verify --store {folder} --repair`'
        raise InputError(f'{path} is not a sound shard ({error}); {remedy}.') from error
    return found


def _tensors(header: Mapping[str, Any], data: np.ndarray, shape: tuple[int, int]) -> dict[str, np.ndarray]:
    """Return the tensors in the data of a file, whose header must lay them out side by side.

    Raises:
      ValueError: the header says anything else, or the data have another length.
    """
    if set(header) != set(TYPES):
        raise ValueError(f'tensors {", ".join(sorted(header))[:200]!r} instead of those of a shard')
    tensors, begin = {}, 0
    for name, about in sorted(header.items(), key=lambda item: item[1]['data_offsets']):
        dtype, expected = TYPES[name], list(shape if name == 'weights' else shape[:1])
        stop = begin + math.prod(expected) * dtype.itemsize
        if about['shape'] != expected:
            raise ValueError(f'{name} of shape {str(about["shape"])[:50]} instead of {expected}')
        if about['dtype'] != TYPE_NAMES[dtype.name] or about['data_offsets'] != [begin, stop]:
            raise ValueError(f'{name} is not {TYPE_NAMES[dtype.name]} in the bytes from {begin} to {stop}')
        tensors[name] = data[begin:stop]
        begin = stop
    if len(data) != begin:
        raise ValueError(f'{len(data)} bytes of tensors instead of {begin}: cut short or appended to')
    shaped = lambda name, part: part.view(TYPES[name]).reshape(shape if name == 'weights' else shape[:1])
    return {name: shaped(name, part) for name, part in tensors.items()}
