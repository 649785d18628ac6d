"""What every dataset of images shares: its specification, and each split as a source."""

from collections.abc import Mapping

from hyperinr.datasets.base import Dataset
from hyperinr.datasets.image_source import Images, ImageSource
from hyperinr.types import DatasetSpec

__all__ = ['image_dataset']


def image_dataset(
    name: str,
    splits: Mapping[str, Images],
    shape: tuple[int, int, int],
    *,
    augment: bool = False,
    seed: int,
    in_memory: bool = False,
    num_labels: int | None = None,
) -> Dataset:
    """A dataset of images with values in [0, 1] on the full pixel grid.

    Args:
      name: of the dataset.
      splits: images of ``'train'``, ``'validation'`` and ``'test'``.
      shape: ``(H, W, C)``.
      augment: varies the training images in each epoch.
      seed: of the augmentation.
      in_memory: makes or decodes every image once.
      num_labels: classes, where the images have labels.
    """
    height, width, channels = shape
    sources = {
        split: ImageSource(
            images.in_memory() if in_memory else images,
            shape=(height, width),
            augment=augment and split == 'train',
            seed=seed,
        )
        for split, images in splits.items()
    }
    spec = DatasetSpec(
        name=name,
        grid_shape=(height, width),
        num_points=height * width,
        coord_dims=2,
        channels=channels,
        data_range=(0.0, 1.0),
        num_datapoints=len(sources['train']),
        num_labels=num_labels,
    )
    return Dataset(spec, sources)
