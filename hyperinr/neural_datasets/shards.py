"""One shard: a safetensors file of weights ``[n, P]`` and one column per property, whole or not there at all.

Letters: ``n`` INRs of the shard, ``P`` weights of each.
"""

import contextlib
import hashlib
import json
import os
import re
from collections import deque
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from hyperinr.errors import InputError
from hyperinr.files import disk_errors, replacing

__all__ = [
    'COLUMNS',
    'Header',
    'checksum',
    'list_shards',
    'map_tensor',
    'partial_files',
    'read_header',
    'read_shard',
    'shard_path',
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
"""Name -> type of every column ``[n]``; ``docs/neural_datasets.md`` says what each means."""
NUMPY_TYPES = {'F32': np.float32, 'I64': np.int64, 'I32': np.int32, 'U8': np.uint8}
TYPE_ORDER = ('U8', 'I32', 'F32', 'I64')
"""As safetensors orders its types."""
NUM_THREADS = 4
"""That write shards at once: a flush waits for the disk and occupies no core."""
MAX_HEADER = 2**20
"""Bytes; a longer header is no shard of ours."""


class Header(NamedTuple):
    """Where the tensors of a shard lie.

    Attributes:
      tensors: name -> (type, shape, offset in the file).
      metadata: of the file: ``checksum``.
    """

    tensors: Mapping[str, tuple[np.dtype, tuple[int, ...], int]]
    metadata: Mapping[str, str]


def shard_path(folder: str | os.PathLike, start: int, end: int) -> Path:
    """``weights-<start>-<end>.safetensors``."""
    return Path(folder) / f'weights-{start}-{end}.safetensors'


def list_shards(folder: str | os.PathLike) -> list[tuple[int, int]]:
    """``(start, end)`` of the shard files in a folder, in order."""
    found = []
    for name in os.listdir(folder):
        match = re.fullmatch(r'weights-(0|[1-9]\d*)-([1-9]\d*)\.safetensors', name)
        if match:
            found.append((int(match[1]), int(match[2])))
    return sorted(found)


def partial_files(folder: str | os.PathLike, start: int | None = None, end: int | None = None) -> Iterator[Path]:
    """What killed writers left behind: of one shard, or of all."""
    yield from Path(folder).glob(f'.weights-{"*" if start is None else f"{start}-{end}"}.*.partial.safetensors')


def checksum(tensors: Mapping[str, np.ndarray]) -> str:
    """SHA-256, hexadecimal, of each tensor's name, type, shape and bytes (little-endian, row-major), by name."""
    digest = hashlib.sha256()
    for name in sorted(tensors):
        array = np.ascontiguousarray(tensors[name])
        digest.update(f'{name} {array.dtype.str} {list(array.shape)}\n'.encode())
        digest.update(array.reshape(-1).view(np.uint8).data)
    return digest.hexdigest()


def write_shard(folder: str | os.PathLike, weights: np.ndarray, columns: Mapping[str, np.ndarray]) -> Path:
    """Writes a shard aside, flushes it to the disk, and renames it; the same content gives the same bytes.

    Args:
      folder: of the store.
      weights: ``[n, P]`` float32.
      columns: every name of `COLUMNS`, each ``[n]``; ``index`` ascends without gaps and names the file.

    Returns:
      The path.

    Raises:
      ValueError: columns missing, of another length, or an ``index`` with gaps.
      InputError, RunError: as `hyperinr.files.disk_errors`.
    """
    path = _write_file(folder, weights, columns)
    with disk_errors(path):
        sync_folder(path.parent)
    return path


def write_shards(
    folder: str | os.PathLike,
    shards: Iterable[tuple[np.ndarray, Mapping[str, np.ndarray]]],
    *,
    num_threads: int = NUM_THREADS,
) -> None:
    """`write_shard` of many, several at a time: the disk flushes some while others are summed and copied.

    Args:
      folder: of the store.
      shards: pairs of weights and columns; no more than ``num_threads`` of them are held at once.
      num_threads: >= 1.

    Raises:
      ValueError, InputError, RunError: as `write_shard`; the shards before that one are there.
    """
    with ThreadPoolExecutor(num_threads) as pool:
        running: deque[Future[Path]] = deque()
        for weights, columns in shards:
            if len(running) == num_threads:
                running.popleft().result()
            running.append(pool.submit(_write_file, folder, weights, columns))
        for each in running:
            each.result()
    with disk_errors(folder):
        sync_folder(Path(folder))


def _write_file(folder: str | os.PathLike, weights: np.ndarray, columns: Mapping[str, np.ndarray]) -> Path:
    """`write_shard` without flushing the folder."""
    if set(columns) != set(COLUMNS) or any(len(column) != len(weights) for column in columns.values()):
        raise ValueError(f'a shard needs the columns {", ".join(COLUMNS)}, each as long as its weights.')
    tensors = {name: np.ascontiguousarray(columns[name], dtype) for name, dtype in COLUMNS.items()}
    tensors['weights'] = np.ascontiguousarray(weights, np.float32)
    start = int(tensors['index'][0])
    if not np.array_equal(tensors['index'], np.arange(start, start + len(weights))):
        raise ValueError('the indices of a shard must ascend without gaps.')
    path = shard_path(folder, start, start + len(weights))
    with replacing(path) as temporary, temporary.open('wb') as file:
        file.writelines(_serialised(tensors, {'checksum': checksum(tensors)}))
    return path


def _serialised(tensors: Mapping[str, np.ndarray], metadata: Mapping[str, str]) -> Iterator[bytes | memoryview]:
    """The bytes of a safetensors file: the length of a header, the header, and the tensors as they lie in memory.

    ``safetensors.numpy.save`` gives the same bytes, after copying every tensor twice.
    """
    names = {np.dtype(dtype): name for name, dtype in NUMPY_TYPES.items()}
    # Wide types first: every tensor is then aligned to its type.
    order = sorted(tensors, key=lambda name: (-TYPE_ORDER.index(names[tensors[name].dtype]), name))
    header: dict[str, Any] = {'__metadata__': dict(metadata)}
    end = 0
    for name in order:
        begin, end = end, end + tensors[name].nbytes
        dtype, shape = names[tensors[name].dtype], list(tensors[name].shape)
        header[name] = {'dtype': dtype, 'shape': shape, 'data_offsets': [begin, end]}
    text = json.dumps(header, separators=(',', ':')).encode()
    text = text.ljust(-(-len(text) // 8) * 8)
    yield len(text).to_bytes(8, 'little') + text
    for name in order:
        yield tensors[name].reshape(-1).view(np.uint8).data


def sync_folder(folder: Path) -> None:
    """Flushes a folder's entries, so that a rename outlives a power cut; a file system that cannot is left alone."""
    with contextlib.suppress(PermissionError, NotImplementedError):
        handle = os.open(folder, os.O_RDONLY)
        try:
            with contextlib.suppress(OSError):
                os.fsync(handle)
        finally:
            os.close(handle)


def read_header(path: str | os.PathLike) -> Header:
    """Reads where the tensors of a shard lie, and that the file is as long as they need. Costs one small read.

    Raises:
      InputError: not a safetensors file, cut short, or not the tensors of a shard.
    """
    path = Path(path)
    try:
        with path.open('rb') as file:
            length = int.from_bytes(file.read(8), 'little')
            if not 2 <= length <= MAX_HEADER:
                raise ValueError('no safetensors header')
            text = file.read(length)
            size = file.seek(0, os.SEEK_END)
        if len(text) != length:
            raise ValueError('no safetensors header')
        header: dict[str, Any] = json.loads(text)
        metadata = header.pop('__metadata__', {})
        tensors, end = {}, 8 + length
        for name, about in header.items():
            begin, stop = about['data_offsets']
            dtype, shape = np.dtype(NUMPY_TYPES[about['dtype']]), tuple(about['shape'])
            if stop - begin != dtype.itemsize * int(np.prod(shape, dtype=np.int64)):
                raise ValueError(f'{name} has another size than its shape')
            tensors[name] = (dtype, shape, 8 + length + begin)
            end = max(end, 8 + length + stop)
        if size != end:
            raise ValueError(f'{size} bytes long instead of {end}: cut short or appended to')
        if set(tensors) != {'weights', *COLUMNS}:
            raise ValueError(f'tensors {", ".join(sorted(tensors))} instead of those of a shard')
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise InputError(f'{path} is not a sound shard ({error}); drop it with `hyperinr verify --repair`.') from error
    return Header(tensors, metadata)


def map_tensor(path: str | os.PathLike, header: Header, name: str) -> np.ndarray:
    """A tensor of a shard, mapped into memory and not read until it is looked at; read-only."""
    dtype, shape, offset = header.tensors[name]
    return np.memmap(path, dtype=dtype, mode='r', offset=offset, shape=shape)


def read_shard(path: str | os.PathLike) -> tuple[dict[str, np.ndarray], Header]:
    """All tensors of a shard in memory, with its header.

    Raises:
      InputError: as `read_header`.
    """
    header = read_header(path)
    return {name: np.array(map_tensor(path, header, name)) for name in header.tensors}, header
