"""A split of equally sized 8-bit images, held in memory or decoded at each read."""

from collections.abc import Sequence
from typing import Any, NamedTuple, Protocol

import numpy as np

from hyperinr import coordinates
from hyperinr.datasets import augmentation
from hyperinr.types import Datapoint

__all__ = ['ImageRecords', 'ImageSource', 'Images']


class ImageRecords(NamedTuple):
    """Images of one size, each in a box of its canvas.

    Attributes:
      pixels: ``[n, H, W, C]`` uint8.
      boxes: ``[n, 4]`` int32, (top, left, height, width) of the part of the canvas that is image; the rest is padding.
      names: n strings.
      labels: ``[n]`` int32, or ``None``.
    """

    pixels: np.ndarray
    boxes: np.ndarray
    names: Sequence[str]
    labels: np.ndarray | None = None


class Images(Protocol):
    """Random access to images: `ImageRecords` in memory, or read from disk."""

    def __len__(self) -> int: ...

    def read(self, indices: np.ndarray) -> ImageRecords: ...

    @property
    def labels(self) -> np.ndarray | None: ...


class ImageSource:
    """A `Source` of images with values in [0, 1] at the pixel centres of ``coordinates.grid(shape)``.

    Args:
      images: all images as `ImageRecords` (the fast case), or an `Images` that reads those it is asked for.
      shape: ``(H, W)``.
      augment: gives every epoch one of the eight flips and transpositions of each image.
      seed: of the augmentation.
    """

    def __init__(self, images: ImageRecords | Images, *, shape: tuple[int, int], augment: bool = False, seed: int = 0):
        self._images = images
        self._shape = shape
        self._augment = augment
        self._seed = seed
        self._coords = coordinates.grid(shape)

    @property
    def labels(self) -> np.ndarray | None:
        return self._images.labels

    def __len__(self) -> int:
        return len(self._images.names) if isinstance(self._images, ImageRecords) else len(self._images)

    def __getitem__(self, index: int) -> Datapoint:
        return self._one(index, None)

    def sample(self, index: int, epoch: int) -> Datapoint:
        return self._one(index, epoch)

    def batch(self, indices: Sequence[int] | np.ndarray, epoch: int | np.ndarray | None = None) -> Datapoint:
        indices = np.asarray(indices, np.int64)
        records = self._read(indices)
        pixels, weight = records.pixels, _box_weight(records.boxes, self._shape)
        if self._augment and epoch is not None:
            symmetries = augmentation.symmetry(self._seed, indices, epoch)
            pixels = augmentation.augment(pixels, symmetries)
            weight = augmentation.augment(weight, symmetries)
        values = np.multiply(pixels, np.float32(1 / 255), dtype=np.float32)
        size, num_points = len(indices), len(self._coords)
        return Datapoint(
            coords=np.broadcast_to(self._coords, (size, *self._coords.shape)),
            values=values.reshape(size, num_points, -1),
            weight=weight.reshape(size, num_points),
            index=indices.astype(np.int32),
            label=records.labels,
        )

    def image(self, index: int) -> np.ndarray:
        return np.asarray(self[index].values).reshape(*self._shape, -1)

    def names(self, index: int) -> str:
        return self._read(np.asarray([index])).names[0]

    def _one(self, index: int, epoch: int | None) -> Datapoint:
        fields: list[Any] = [None if leaf is None else leaf[0] for leaf in self.batch([index], epoch)]
        return Datapoint(*fields)

    def _read(self, indices: np.ndarray) -> ImageRecords:
        if len(indices) and not 0 <= indices.min() <= indices.max() < len(self):
            raise IndexError(
                f'positions {indices.min()}..{indices.max()} lie outside a split of {len(self)} datapoints.'
            )
        if isinstance(self._images, ImageRecords):
            names = [self._images.names[i] for i in indices]
            labels = None if self._images.labels is None else self._images.labels[indices]
            return ImageRecords(self._images.pixels[indices], self._images.boxes[indices], names, labels)
        return self._images.read(indices)


def _box_weight(boxes: np.ndarray, shape: tuple[int, int]) -> np.ndarray:
    """Boxes ``[B, 4]`` -> ``[B, H, W]`` float32, 1 inside and 0 outside."""
    top, left, height, width = (boxes[:, i, None] for i in range(4))
    rows, columns = np.arange(shape[0]), np.arange(shape[1])
    inside_rows = (rows >= top) & (rows < top + height)
    inside_columns = (columns >= left) & (columns < left + width)
    return (inside_rows[:, :, None] & inside_columns[:, None, :]).astype(np.float32)
