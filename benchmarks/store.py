"""Compare writing and reading of a neural dataset with one HDF5 file, in MB/s of weights.

``python -m benchmarks.store [--num 100000] [--weights 4000] [--json FILE]`` gives the fastest of interleaved
repetitions in one process, by wall time and by processor time (without waiting for the disk or for other processes).
The store is written in two ways, both with checksums: shard by shard, each flushed to the disk before the next, as in
``hyperinr fit``, which loses at most one shard; and several shards at once, as in ``hyperinr import``. HDF5 is flushed
(`os.fsync`) either once at the end, so that a crash loses everything, or after every block of as many rows as a shard.
Reads come from the page cache: all rows in order, and 1,000 rows at random.
"""

import argparse
import functools
import json
import os
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from hyperinr.neural_datasets.description import Description
from hyperinr.neural_datasets.identity import identity
from hyperinr.neural_datasets.shards import COLUMNS, write_shard, write_shards
from hyperinr.neural_datasets.store import open_store
from hyperinr.neural_datasets.verification import verify
from hyperinr.types import DatasetSpec
from hyperinr.weights import WeightSpec

NUM_RANDOM = 1000


def describe(num: int, num_weights: int, shard_size: int) -> Description:
    return Description(
        inr={'kind': 'feature_grid', 'channels': 1, 'resolution': num_weights - 1},
        weights=WeightSpec(('layer_0/b', 'layer_0/w'), ((1,), (num_weights - 1, 1))),
        spec=DatasetSpec('noise', None, 1, 1, 1, (0.0, 1.0)),
        coordinates='',
        source={'splits': [['train', num]], 'version': ''},
        seeds=(0,),
        num_signals=num,
        shard_size=shard_size,
        start={'kind': 'random'},
        fitting={},
        config='',
        versions={},
    )


def columns_of(begin: int, end: int) -> dict[str, np.ndarray]:
    columns = {name: np.zeros(end - begin, dtype) for name, dtype in COLUMNS.items()}
    columns['index'] = columns['source_index'] = np.arange(begin, end)
    columns['mse'] += 0.01
    columns['psnr_db'] += 20
    return columns


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('--num', type=int, default=4000, help='INRs (default: 4000)')
    parser.add_argument('--weights', type=int, default=4000, help='floats of each (default: 4000)')
    parser.add_argument('--shard-size', type=int, default=256)
    parser.add_argument('--repetitions', type=int, default=3)
    parser.add_argument('--folder', type=Path, help='where to write (default: a temporary folder)')
    parser.add_argument('--json', type=Path)
    options = parser.parse_args()
    description = describe(options.num, options.weights, options.shard_size)
    rng = np.random.default_rng(0)
    block = rng.standard_normal((options.shard_size, options.weights), dtype=np.float32)
    chosen = rng.choice(options.num, min(NUM_RANDOM, options.num), replace=False)
    with tempfile.TemporaryDirectory(dir=options.folder) as scratch:
        folder, file = Path(scratch, 'store'), Path(scratch, 'weights.hdf5')

        def rows(begin: int, end: int) -> np.ndarray:
            part = block[: end - begin].copy()
            part[:, 0] = np.arange(begin, end)
            return part

        def shards() -> Iterator[tuple[np.ndarray, Mapping[str, np.ndarray]]]:
            return ((rows(begin, end), columns_of(begin, end)) for begin, end in description.shards())

        def write_store(*, at_once: bool) -> None:
            shutil.rmtree(folder, ignore_errors=True)
            folder.mkdir()
            description.write(folder)
            if at_once:
                write_shards(folder, shards(), store=identity(description))
                return
            for weights, columns in shards():
                write_shard(folder, weights, columns, store=identity(description))

        def write_hdf5(*, each_block: bool) -> None:
            file.unlink(missing_ok=True)
            with h5py.File(file, 'w') as opened, file.open('rb') as handle:
                params = opened.create_dataset('params', (options.num, options.weights), np.float32)
                for begin, end in description.shards():
                    params[begin:end] = rows(begin, end)
                    if each_block:
                        opened.flush()
                        os.fsync(handle.fileno())
                opened.flush()
                os.fsync(handle.fileno())

        def read_store() -> None:
            store = open_store(folder)
            for begin, end in description.shards():
                store.weights(slice(begin, end)).sum()

        def read_hdf5() -> None:
            with h5py.File(file) as opened:
                for begin, end in description.shards():
                    opened['params'][begin:end].sum()

        def random_store() -> None:
            found = open_store(folder).weights(chosen)
            assert np.array_equal(found[:, 0], chosen)

        def random_hdf5() -> None:
            with h5py.File(file) as opened:
                order = np.argsort(chosen)
                found = opened['params'][chosen[order]]
            assert np.array_equal(found[:, 0], chosen[order])

        def check_store() -> None:
            verify(folder)

        megabytes = options.num * options.weights * 4 / 1e6
        some = len(chosen) * options.weights * 4 / 1e6
        work: dict[str, tuple[Callable[[], None], float]] = {
            'write, store, shard by shard': (functools.partial(write_store, at_once=False), megabytes),
            'write, store, several at once': (functools.partial(write_store, at_once=True), megabytes),
            'write, HDF5, each block flushed': (functools.partial(write_hdf5, each_block=True), megabytes),
            'write, HDF5, flushed at the end': (functools.partial(write_hdf5, each_block=False), megabytes),
            'read all, store': (read_store, megabytes),
            'read all, HDF5': (read_hdf5, megabytes),
            'read random rows, store': (random_store, some),
            'read random rows, HDF5': (random_hdf5, some),
            'verify, store': (check_store, megabytes),
        }
        seconds: dict[str, list[tuple[float, float]]] = {name: [] for name in work}
        for _ in range(options.repetitions):
            for name, (call, _) in work.items():
                began = time.perf_counter(), time.process_time()
                call()
                seconds[name].append((time.perf_counter() - began[0], time.process_time() - began[1]))
    print(f'{options.num:,} x {options.weights:,} floats, {megabytes:,.0f} MB, shards of {options.shard_size}')
    result: dict[str, Any] = {'num': options.num, 'weights': options.weights, 'mb_per_s': {}, 'mb_per_processor_s': {}}
    for name, each in seconds.items():
        clock, processor = (work[name][1] / min(one) for one in zip(*each, strict=True))
        result['mb_per_s'][name], result['mb_per_processor_s'][name] = clock, processor
        print(f'{name:<32} {clock:8,.0f} MB/s {processor:8,.0f} MB per processor second')
    if options.json:
        options.json.write_text(json.dumps(result, indent=2) + '\n')


if __name__ == '__main__':
    main()
