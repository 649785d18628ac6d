"""Datasets of 8-bit images of one size, kept in memory or made at each read."""

import functools
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

import numpy as np

from hyperinr import coordinates
from hyperinr.datasets import augmentation
from hyperinr.datasets.base import Dataset, Source
from hyperinr.files.images import letterbox, quantise
from hyperinr.types import Datapoint, DatasetSpec

__all__ = ['ImageSource', 'Images', 'Record', 'fitted_record', 'image_dataset']

Box = tuple[int, int, int, int]


class Record(NamedTuple):
    """One image inside a canvas.

    Attributes:
      pixels: ``[H, W, C]`` uint8, C 1 or 3.
      box: (top, left, height, width) of the image in pixels; the rest is padding.
      name: origin of the image.
      label: class of the image, or ``None``.
    """

    pixels: np.ndarray
    box: Box
    name: str
    label: int | None = None


def fitted_record(image: np.ndarray, shape: tuple[int, int], name: str, label: int | None = None) -> Record:
    """Fit an image of any size into a canvas and return it as a record.

    Args:
      image: ``[h, w, C]``, uint8 or floats in [0, 1].
      shape: ``(H, W)`` of the canvas.
      name: origin of the image.
      label: class of the image, or ``None``.
    """
    canvas, box = letterbox(image.astype(np.float32) / 255 if image.dtype == np.uint8 else image, shape)
    return Record(quantise(canvas), box, name, label)


class Images(NamedTuple):
    """Images by position.

    Attributes:
      num_images: number of images.
      record: position -> `Record`, made or decoded at each call; any number of threads may call it.
    """

    num_images: int
    record: Callable[[int], Record]

    def in_memory(self) -> 'Images':
        """Return the same images; each is decoded when it is first read, and then kept."""
        kept: dict[int, Record] = {}

        def record(index: int) -> Record:
            if index not in kept:
                kept[index] = self.record(index)
            return kept[index]

        return Images(self.num_images, record)


class ImageSource(Source):
    """A `Source` of images with values in [0, 1] at the pixel centres of ``coordinates.grid(shape)``.

    Args:
      images: images of one shape.
      shape: ``(H, W)``.
      augment: give each image one of eight flips and transpositions in each epoch.
      seed: seed of the augmentation.
      origin: name of an image -> its `Source.origin`.
    """

    def __init__(
        self,
        images: Images,
        *,
        shape: tuple[int, int],
        augment: bool = False,
        seed: int = 0,
        origin: Callable[[str], str] = str,
    ):
        super().__init__(images.num_images, shape)
        self._images, self._augment, self._seed, self._origin = images, augment, seed, origin
        self._coords = coordinates.grid(shape)

    @functools.cached_property
    def labels(self) -> np.ndarray | None:  # type: ignore[override]
        return _known([self._record(index).label for index in range(len(self))])

    def batch(self, indices: Sequence[int] | np.ndarray, epoch: int | np.ndarray | None = None) -> Datapoint:
        indices = np.asarray(indices, np.int64)
        images, boxes, _, labels = zip(*(self._record(int(index)) for index in indices), strict=True)
        pixels = np.stack(images)
        weight = _box_weight(np.array(boxes), pixels.shape[1:3])
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
            label=_known(labels),
        )

    def names(self, index: int) -> str:
        return self._record(index).name

    def origin(self, index: int) -> str:
        return self._origin(self.names(index))

    def _record(self, index: int) -> Record:
        self.check(index)
        return self._images.record(index)


def _known(labels: Sequence[int | None]) -> np.ndarray | None:
    return None if None in labels else np.array(labels, np.int32)


def _box_weight(boxes: np.ndarray, shape: Sequence[int]) -> np.ndarray:
    """Turn boxes ``[B, 4]`` into weights ``[B, H, W]`` float32, 1 inside and 0 outside."""
    top, left, height, width = (boxes[:, i, None] for i in range(4))
    rows, columns = np.arange(shape[0]), np.arange(shape[1])
    inside_rows = (rows >= top) & (rows < top + height)
    inside_columns = (columns >= left) & (columns < left + width)
    return (inside_rows[:, :, None] & inside_columns[:, None, :]).astype(np.float32)


def image_dataset(
    name: str,
    splits: Mapping[str, Images],
    shape: tuple[int, int, int],
    *,
    augment: bool = False,
    seed: int,
    in_memory: bool = False,
    num_labels: int | None = None,
    origin: Callable[[str], str] = str,
    fingerprint: str = '',
) -> Dataset:
    """Make a dataset of images with values in [0, 1] on the full pixel grid.

    Args:
      name: name of the dataset.
      splits: images of ``'train'``, ``'validation'`` and ``'test'``.
      shape: ``(H, W, C)``.
      augment: vary the training images in each epoch.
      seed: seed of the augmentation.
      in_memory: keep each image once it is made or decoded.
      num_labels: number of classes; ``None`` if the images have no labels.
      origin: name of an image -> its `Source.origin`.
      fingerprint: see `Dataset`.
    """
    height, width, channels = shape
    sources = {}
    for split, images in splits.items():
        kept = images.in_memory() if in_memory else images
        sources[split] = ImageSource(
            kept, shape=(height, width), augment=augment and split == 'train', seed=seed, origin=origin
        )
    spec = DatasetSpec(
        name=name,
        grid_shape=(height, width),
        num_points=height * width,
        coord_dims=2,
        channels=channels,
        data_range=(0.0, 1.0),
        num_datapoints=len(sources['train']),
        num_labels=num_labels,
        kind='image',
    )
    return Dataset(spec, sources, fingerprint)
