"""A shard: a safetensors file of weights ``[n, P]`` and one column per property, written atomically.

Letters: ``n`` INRs of the shard, ``P`` weights of each.
"""

import hashlib
import json
import os
import re
from collections import deque
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
from safetensors.numpy import save

from hyperinr.errors import InputError
from hyperinr.runtime.files import replacing, sync_folder

__all__ = [
    'COLUMNS',
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
NUMPY_TYPES = {'F32': np.float32, 'I64': np.int64, 'I32': np.int32, 'U8': np.uint8}
NUM_THREADS = 4
"""Threads that write shards at once: a flush waits for the disk and occupies no core."""
MAX_HEADER = 2**20
"""Bytes. A file with a longer header is not a shard."""


def shard_path(folder: str | os.PathLike, start: int, end: int) -> Path:
    """Return the path ``weights-<start>-<end>.safetensors`` in a folder."""
    return Path(folder) / f'weights-{start}-{end}.safetensors'


def list_shards(folder: str | os.PathLike, start: int = 0, end: int | None = None) -> list[tuple[int, int]]:
    """Return ``(start, end)`` of the shard files in a folder, in order: of those that overlap [start, end)."""
    found = []
    for name in os.listdir(folder):
        match = re.fullmatch(r'weights-(0|[1-9]\d*)-([1-9]\d*)\.safetensors', name)
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


def write_shard(folder: str | os.PathLike, weights: np.ndarray, columns: Mapping[str, np.ndarray]) -> Path:
    """Write a shard under a temporary name, flush it to the disk and rename it. Equal content gives equal bytes.

    Args:
      folder: folder of the store.
      weights: ``[n, P]`` float32.
      columns: every name of `COLUMNS`, each ``[n]``; ``index`` ascends without gaps and names the file.

    Returns:
      The path.

    Raises:
      ValueError: a column is missing or has another length, or ``index`` has gaps.
      InputError, RunError: as `hyperinr.runtime.files.disk_errors`.
    """
    path = _write_file(folder, weights, columns)
    sync_folder(path.parent)
    return path


def write_shards(folder: str | os.PathLike, shards: Iterable[tuple[np.ndarray, Mapping[str, np.ndarray]]]) -> None:
    """Write many shards, several at a time: the disk flushes some while others get their checksum and are copied.

    Args:
      folder: folder of the store.
      shards: pairs of weights and columns; at most `NUM_THREADS` of them are in memory at once.

    Raises:
      ValueError, InputError, RunError: as `write_shard`; the shards before the failing one are written.
    """
    with ThreadPoolExecutor(NUM_THREADS) as pool:
        running: deque[Future[Path]] = deque()
        for weights, columns in shards:
            if len(running) == NUM_THREADS:
                running.popleft().result()
            running.append(pool.submit(_write_file, folder, weights, columns))
        for each in running:
            each.result()
    sync_folder(Path(folder))


def shard_tensors(weights: np.ndarray, columns: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Return weights ``[n, P]`` and columns ``[n]`` by name, converted to their stored types."""
    tensors = {name: np.ascontiguousarray(columns[name], dtype) for name, dtype in COLUMNS.items()}
    return {**tensors, 'weights': np.ascontiguousarray(weights, np.float32)}


def _write_file(folder: str | os.PathLike, weights: np.ndarray, columns: Mapping[str, np.ndarray]) -> Path:
    """Write a shard as `write_shard` does, without flushing the folder."""
    if set(columns) != set(COLUMNS) or any(len(column) != len(weights) for column in columns.values()):
        raise ValueError(f'a shard needs the columns {", ".join(COLUMNS)}, each as long as its weights.')
    tensors = shard_tensors(weights, columns)
    start = int(tensors['index'][0])
    if not np.array_equal(tensors['index'], np.arange(start, start + len(weights))):
        raise ValueError('the indices of a shard must ascend without gaps.')
    path = shard_path(folder, start, start + len(weights))
    with replacing(path, flush_folder=False) as temporary:
        temporary.write_bytes(save(tensors, metadata={'checksum': checksum(tensors)}))
    return path


def map_shard(path: str | os.PathLike, shape: tuple[int, int]) -> tuple[dict[str, np.ndarray], str | None]:
    """Map a shard into memory.

    Args:
      path: path of the file.
      shape: expected shape ``(n, P)`` of its weights.

    Returns:
      Its tensors by name, and the recorded checksum. Tensors are read-only, and read from the disk on first use.

    Raises:
      InputError: the file is no safetensors file, is cut short, or does not hold the tensors of a shard of this shape.
    """
    path = Path(path)
    try:
        data = np.memmap(path, np.uint8, mode='r')
        length = int.from_bytes(data[:8].tobytes(), 'little')
        if not 2 <= length <= min(MAX_HEADER, len(data) - 8):
            raise ValueError('no safetensors header')
        header: dict[str, Any] = json.loads(data[8 : 8 + length].tobytes())
        recorded = header.pop('__metadata__', {}).get('checksum')
        end = max((about['data_offsets'][1] for about in header.values()), default=0)
        if len(data) != 8 + length + end:
            raise ValueError(f'{len(data)} bytes long instead of {8 + length + end}: cut short or appended to')
        if set(header) != {'weights', *COLUMNS}:
            raise ValueError(f'tensors {", ".join(sorted(header))} instead of those of a shard')
        tensors = {}
        for name, about in header.items():
            begin, stop = about['data_offsets']
            tensor = data[8 + length + begin : 8 + length + stop].view(NUMPY_TYPES[about['dtype']])
            tensors[name] = tensor.reshape(about['shape'])
            expected = shape if name == 'weights' else shape[:1]
            if tensors[name].shape != expected:
                raise ValueError(f'{name} {tensors[name].shape} instead of {expected}')
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise InputError(f'{path} is not a sound shard ({error}); drop it with `hyperinr verify --repair`.') from error
    return tensors, recorded
