"""A dataset of the user's own images: every PNG, JPEG and ``.npy`` file below a folder."""

import logging
import os
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from hyperinr.datasets.arguments import check_channels, check_resolution, check_seed
from hyperinr.datasets.base import SPLITS, Dataset, random_split
from hyperinr.datasets.image_source import Record, fitted_record, image_dataset
from hyperinr.datasets.records import open_records
from hyperinr.errors import InputError
from hyperinr.files.images import read_image

__all__ = ['image_folder']

SUFFIXES = ('.png', '.jpg', '.jpeg', '.npy')
logger = logging.getLogger(__name__)


def image_folder(
    *,
    path: str | os.PathLike | None = None,
    resolution: tuple[int, int] = (32, 32),
    channels: int = 3,
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
    `hyperinr.files.images.read_image`, and conversions are logged. The cache keeps the resized images with 256 levels
    and is used as long as the folder does not change.

    Args:
      path: path of the folder.
      resolution: ``(height, width)`` of the canvas, pixels.
      channels: 3 (RGB) or 1 (grey).
      validation_fraction: fraction of the images in (0, 1); at least one image.
      test_fraction: fraction of the images in (0, 1); at least one image.
      augment: give training images one of eight flips and transpositions in each epoch.
      seed: seed of the split and of the augmentation.
      in_memory: decode all images once, instead of at each read.
      data_dir: see `hyperinr.datasets.cache_folder`.

    Returns:
      A dataset with values in [0, 1].

    Raises:
      InputError: no folder, too few images, or an image that `read_image` refuses (the cache then keeps nothing).
    """
    resolution = check_resolution('image_folder', resolution)
    check_seed('image_folder', seed)
    check_channels('image_folder', channels)
    if min(validation_fraction, test_fraction) <= 0 or validation_fraction + test_fraction >= 1:
        raise InputError('image_folder.validation_fraction and test_fraction must be above 0 and together below 1.')
    folder = _check_folder(path)
    files = _split_files(folder, validation_fraction, test_fraction, seed)
    stamps = [
        (split, str(file.relative_to(folder)), file.stat().st_size, file.stat().st_mtime_ns)
        for split, members in files.items()
        for file in members
    ]
    shape, recipe = (*resolution, channels), {'folder': str(folder), 'files': stamps}
    splits = open_records('image_folder', recipe, shape, lambda: _records(files, folder, shape), data_dir)
    return image_dataset('image_folder', splits, shape, augment=augment, seed=seed, in_memory=in_memory)


def _check_folder(path: str | os.PathLike | None) -> Path:
    if not path:
        raise InputError(
            'image_folder.path must name the folder of your images: add -p "image_folder.path=\'FOLDER\'".'
        )
    folder = Path(path).expanduser().absolute()
    if not folder.is_dir():
        raise InputError(f'image_folder.path: there is no folder {str(folder)!r}.')
    return folder


def _image_files(folder: Path) -> list[Path]:
    """Return the image files sorted by path, without hidden ones."""
    return sorted(
        file
        for file in folder.rglob('*')
        if file.suffix.lower() in SUFFIXES
        and file.is_file()
        and not any(part.startswith('.') for part in file.relative_to(folder).parts)
    )


def _split_files(
    folder: Path, validation_fraction: float, test_fraction: float, seed: int
) -> dict[str, Sequence[Path]]:
    if all((folder / split).is_dir() for split in SPLITS):
        files: dict[str, Sequence[Path]] = {split: _image_files(folder / split) for split in SPLITS}
        for split, members in files.items():
            if not members:
                raise InputError(f'{str(folder / split)!r} has no images ({", ".join(SUFFIXES)}).')
        return files
    everything = _image_files(folder)
    num_validation, num_test = (max(1, round(f * len(everything))) for f in (validation_fraction, test_fraction))
    num_train = len(everything) - num_validation - num_test
    if num_train < 1:
        raise InputError(
            f'{str(folder)!r} has {len(everything)} images ({", ".join(SUFFIXES)}), too few for its validation and '
            'test fractions; at least 3 are needed, one for each of train, validation and test.'
        )
    rows_of = random_split(len(everything), (num_train, num_validation, num_test), seed)
    return {split: [everything[row] for row in rows] for split, rows in rows_of.items()}


def _records(
    files: Mapping[str, Sequence[Path]], folder: Path, shape: tuple[int, int, int]
) -> dict[str, Iterator[Record]]:
    conversions: Counter[str] = Counter()

    def read(split: str) -> Iterator[Record]:
        for file in files[split]:
            image, notes = read_image(file, shape[-1])
            conversions.update(notes)
            height, width = image.shape[:2]
            yield fitted_record(image, shape[:2], f'{file.relative_to(folder)} {height}x{width}')
        if split == SPLITS[-1]:
            for note, count in conversions.items():
                logger.warning('%s: %s (%d images)', folder, note, count)

    return {split: read(split) for split in files}
