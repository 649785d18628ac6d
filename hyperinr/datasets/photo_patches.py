"""Crops of the photographs in the scikit-image package, at many scales, split by photograph."""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from hyperinr.annotations import checked
from hyperinr.datasets.arguments import check_counts, check_resolution, package_folder
from hyperinr.datasets.base import Dataset
from hyperinr.datasets.folders import described, existing_folder, list_files
from hyperinr.datasets.image_source import Record, image_dataset
from hyperinr.datasets.records import open_records
from hyperinr.errors import InputError
from hyperinr.files.limits import check_pixels

__all__ = ['PHOTOGRAPHS', 'photo_patches']

PHOTOGRAPHS = {
    'train': (
        'astronaut.png',
        'hubble_deep_field.jpg',
        'ihc.png',
        'motorcycle_left.png',
        'motorcycle_right.png',
        'retina.jpg',
        'rocket.jpg',
        'brick.png',
        'camera.png',
        'cell.png',
        'clock_motion.png',
        'coins.png',
        'grass.png',
        'gravel.png',
        'moon.png',
        'page.png',
        'text.png',
    ),
    'validation': ('coffee.png',),
    'test': ('chelsea.png',),
}
"""Files of each split. The two motorcycles are one scene, so both are in one split."""
SUFFIXES = ('.png', '.jpg', '.jpeg')


@checked
def photo_patches(
    *,
    resolution: tuple[int, int] = (32, 32),
    num_train: int = 20_000,
    num_validation: int = 256,
    num_test: int = 256,
    test_folder: str | os.PathLike | None = None,
    augment: bool = True,
    seed: int = 0,
    in_memory: bool = True,
    data_dir: str | None = None,
) -> Dataset:
    """Make a dataset of RGB crops of photographs. No photograph is in two splits.

    Each patch draws a photograph, a scale and a position. Colour photographs are drawn twice as often as grey ones; a
    grey value is repeated in all channels. The scale is log-uniform from 1 to the largest that fits, the position
    uniform. The crop of ``scale * resolution`` pixels is resized to ``resolution`` with an anti-aliasing Lanczos
    filter. Training photographs smaller than ``resolution`` are left out. Patch i of a split depends on ``seed`` and i
    alone, not on the number of patches.

    Args:
      resolution: ``(height, width)`` of a patch, pixels.
      num_train: number of patches of the training photographs.
      num_validation: number of patches of ``coffee``.
      num_test: number of patches of ``chelsea``, and of the photographs in ``test_folder`` if there is one.
      test_folder: folder with further photographs for the test split, of the kinds of `SUFFIXES`. Training never reads
        them.
      augment: give training patches one of eight flips and transpositions in each epoch.
      seed: seed of the crops and of the augmentation.
      in_memory: keep each patch once it is decoded (3 kB at 32 x 32).
      data_dir: see `hyperinr.datasets.cache_folder`.

    Returns:
      A dataset with values in [0, 1], C = 3.

    Raises:
      InputError: scikit-image is missing, a size is below 1 or above that of the photographs, ``test_folder`` has no
        photographs, or the cache cannot be written.
    """
    resolution = check_resolution('photo_patches', resolution)
    counts = check_counts('photo_patches', num_train, num_validation, num_test, seed=seed)
    shape: tuple[int, int, int] = (*resolution, 3)
    recipe: dict[str, Any] = {'seed': seed, 'counts': counts}
    more: list[Path] = []
    if test_folder is not None:
        folder = existing_folder('photo_patches.test_folder', test_folder, 'photographs')
        more = list_files(folder, SUFFIXES).files
        if not more:
            raise InputError(f'photo_patches.test_folder: {str(folder)!r} has no photographs ({", ".join(SUFFIXES)}).')
        recipe['test_files'] = described({'test': more}, folder, data_dir)
    splits, known = open_records(
        'photo_patches', recipe, shape, lambda: _splits(resolution, counts, seed, more), data_dir
    )
    return image_dataset(
        'photo_patches',
        splits,
        shape,
        augment=augment,
        seed=seed,
        in_memory=in_memory,
        origin=_photograph_of,
        fingerprint=known,
    )


def _photograph_of(name: str) -> str:
    return name.rsplit(' ', 2)[0]


def _splits(resolution: tuple[int, int], counts: dict[str, int], seed: int, more: list[Path]) -> dict[str, Iterator]:
    folder = package_folder('photo_patches', 'skimage') / 'data'
    splits = {}
    for position, (split, files) in enumerate(PHOTOGRAPHS.items()):
        paths = [folder / file for file in files] + (more if split == 'test' else [])
        photographs = [_Photograph(path) for path in paths]
        kept = [photo for photo in photographs if photo.largest_scale(resolution) >= 1]
        small = [path for path, photo in zip(paths, photographs, strict=True) if photo not in kept and path in more]
        if small:
            raise InputError(f'{str(small[0])!r} is smaller than a patch of {resolution}; remove it.')
        if not kept:
            raise InputError(
                f'photo_patches.resolution {resolution} is larger than the photographs of {split}; lower it.'
            )
        splits[split] = _crops(kept, resolution, counts[split], [seed, position])
    return splits


def _crops(photographs: list['_Photograph'], resolution: tuple[int, int], count: int, seed: list[int]) -> Iterator:
    odds = np.array([2.0 if photo.in_colour else 1.0 for photo in photographs])
    odds /= odds.sum()
    for index in range(count):
        rng = np.random.default_rng([*seed, index])
        photo = photographs[rng.choice(len(photographs), p=odds)]
        scale = np.exp(rng.uniform(0, np.log(photo.largest_scale(resolution))))
        height, width = (min(round(n * scale), most) for n, most in zip(resolution, photo.shape, strict=True))
        top = int(rng.integers(photo.shape[0] - height + 1))
        left = int(rng.integers(photo.shape[1] - width + 1))
        pixels = photo.crop((top, left, height, width), resolution)
        yield Record(pixels, (0, 0, *resolution), f'{photo.name} {top},{left} {height}x{width}')


class _Photograph:
    """A photograph and its repeated halvings, so that a crop at any scale reads only a few thousand pixels."""

    def __init__(self, path: Path):
        try:
            with Image.open(path) as opened:
                check_pixels(path, opened.width * opened.height)
                self.in_colour = opened.mode == 'RGB'
                image = opened.convert('RGB')
        except InputError:
            raise
        except Exception as error:
            raise InputError(
                f'{str(path)!r} cannot be read as a photograph: replace or remove it (one that scikit-image lacks: '
                'install the version in constraints.txt).'
            ) from error
        self.name = path.stem
        self.shape = (image.height, image.width)
        self._levels = [image]
        while min(self._levels[-1].size) >= 2:
            self._levels.append(self._levels[-1].reduce(2))

    def largest_scale(self, resolution: tuple[int, int]) -> float:
        return min(self.shape[0] / resolution[0], self.shape[1] / resolution[1])

    def crop(self, box: tuple[int, int, int, int], resolution: tuple[int, int]) -> np.ndarray:
        """Cut the box (top, left, height, width), in pixels of the photograph, and resize it: ``[h, w, 3]`` uint8.

        The halving that is used still has at least three of its pixels for each pixel of the patch, enough for the
        filter.
        """
        top, left, height, width = box
        ratio = min(height / resolution[0], width / resolution[1])
        level = max(0, int(np.log2(ratio / 3))) if ratio > 3 else 0
        step = 2**level
        image = self._levels[level]
        edges = (
            left / step,
            top / step,
            min((left + width) / step, image.width),
            min((top + height) / step, image.height),
        )
        return np.asarray(image.resize(resolution[::-1], Image.Resampling.LANCZOS, box=edges))
