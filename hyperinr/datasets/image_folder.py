"""A dataset of the user's own images: every file below a folder that `hyperinr.files.read_image` reads."""

import logging
import os
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from hyperinr.annotations import checked
from hyperinr.datasets.arguments import check_channels, check_fractions, check_resolution, check_seed
from hyperinr.datasets.base import SPLITS, Dataset, random_split
from hyperinr.datasets.folders import Listing, described, existing_folder, list_files
from hyperinr.datasets.image_source import Record, fitted_record, image_dataset
from hyperinr.datasets.records import open_records
from hyperinr.errors import InputError
from hyperinr.files.file_values import FileValues, check_data_range
from hyperinr.files.image_files import SUFFIXES
from hyperinr.files.images import read_image

__all__ = ['image_folder']

OPTION = 'image_folder.data_range = ({low}, {high})'
logger = logging.getLogger(__name__)


@checked
def image_folder(
    *,
    path: str | os.PathLike | None = None,
    resolution: tuple[int, int] = (32, 32),
    channels: int = 3,
    data_range: tuple[float, float] | None = None,
    validation_fraction: float = 0.1,
    test_fraction: float = 0.1,
    augment: bool = False,
    seed: int = 0,
    in_memory: bool = True,
    data_dir: str | None = None,
) -> Dataset:
    """Make a dataset of whole images, each resized to fit into ``resolution``; the padding has weight 0.

    The aspect ratio is kept. If the folder has the sub-folders ``train``, ``validation`` and ``test``, they are the
    splits; otherwise images are drawn at random for each split. Images are read by
    `hyperinr.files.images.read_image`. Links are followed. Conversions, and how many files were passed over and why,
    are logged. The cache keeps the resized images with 256 levels. It is used as long as the files' content and their
    names in the folder stay the same, wherever the folder lies.

    Args:
      path: path of the folder.
      resolution: ``(height, width)`` of the canvas, pixels.
      channels: 3 (RGB) or 1 (grey).
      data_range: ``(LOW, HIGH)``, values of the files that become 0 and 1, as for `read_image`; ``None``: those of the
        files' type.
      validation_fraction: fraction of the images in (0, 1); at least one image.
      test_fraction: fraction of the images in (0, 1); at least one image.
      augment: give training images one of eight flips and transpositions in each epoch.
      seed: seed of the split and of the augmentation.
      in_memory: keep each image once it is decoded, instead of decoding it at each read.
      data_dir: see `hyperinr.datasets.cache_folder`.

    Returns:
      A dataset with values in [0, 1].

    Raises:
      InputError: no folder, too few images, or an image that `read_image` refuses (the cache then keeps nothing).
    """
    resolution = check_resolution('image_folder', resolution)
    check_seed('image_folder', seed)
    check_channels('image_folder', channels)
    check_fractions('image_folder', validation_fraction, test_fraction)
    data_range = check_data_range('image_folder.data_range', data_range)
    folder = existing_folder('image_folder.path', path, 'images')
    files, note = _split_files(folder, validation_fraction, test_fraction, seed)
    shape = (*resolution, channels)
    recipe = {'files': described(files, folder, data_dir), 'data_range': data_range}

    def records() -> dict[str, Iterator[Record]]:
        if note:
            logger.warning('%s: %s', folder, note)
        return _records(files, folder, shape, data_range)

    splits, known = open_records('image_folder', recipe, shape, records, data_dir)
    return image_dataset(
        'image_folder', splits, shape, augment=augment, seed=seed, in_memory=in_memory, fingerprint=known
    )


def _split_files(
    folder: Path, validation_fraction: float, test_fraction: float, seed: int
) -> tuple[dict[str, Sequence[Path]], str]:
    """Return the files of each split, and what was passed over, in words."""
    own_splits = all((folder / split).is_dir() for split in SPLITS)
    listings = {part: list_files(folder / part, SUFFIXES) for part in (SPLITS if own_splits else ('',))}
    note = Listing([], sum((listing.passed_over for listing in listings.values()), Counter[str]())).note()
    kinds = f'{", ".join(SUFFIXES)}; {note or "no other files"}'
    if own_splits:
        files: dict[str, Sequence[Path]] = {split: listing.files for split, listing in listings.items()}
        for split, members in files.items():
            if not members:
                raise InputError(f'{str(folder / split)!r} has no images ({kinds}).')
        return files, note
    everything = listings[''].files
    num_validation, num_test = (max(1, round(f * len(everything))) for f in (validation_fraction, test_fraction))
    num_train = len(everything) - num_validation - num_test
    if num_train < 1:
        raise InputError(
            f'{str(folder)!r} has {len(everything)} images ({kinds}), too few for its validation and test fractions; '
            'at least 3 are needed, one for each of train, validation and test.'
        )
    rows_of = random_split(len(everything), (num_train, num_validation, num_test), seed)
    return {split: [everything[row] for row in rows] for split, rows in rows_of.items()}, note


def _records(
    files: Mapping[str, Sequence[Path]],
    folder: Path,
    shape: tuple[int, int, int],
    data_range: tuple[float, float] | None,
) -> dict[str, Iterator[Record]]:
    """Return the records of each split. After the last one, the conversions of all images are logged."""
    conversions: Counter[str] = Counter()
    values: dict[str, FileValues] = {}

    def read(split: str) -> Iterator[Record]:
        for file in files[split]:
            found = read_image(file, shape[-1], data_range)
            conversions.update(found.conversions)
            kind = found.values.type
            values[kind] = values[kind].joined(found.values) if kind in values else found.values
            height, width = found.image.shape[:2]
            yield fitted_record(found.image, shape[:2], f'{file.relative_to(folder)} {height}x{width}')
        if split == SPLITS[-1]:
            for note in filter(None, (each.note(OPTION) for each in values.values())):
                logger.warning('%s: %s', folder, note)
            for note, count in conversions.items():
                logger.warning('%s: %s (%d images)', folder, note, count)

    return {split: read(split) for split in files}
