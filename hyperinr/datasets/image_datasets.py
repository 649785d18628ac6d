"""What every dataset of stored images shares: prepare or open the records, wrap each split as a source."""

from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any

from hyperinr.datasets.base import Dataset
from hyperinr.datasets.image_source import ImageSource
from hyperinr.types import DatasetSpec

if TYPE_CHECKING:
    from hyperinr.datasets.records import Record

__all__ = ['image_dataset', 'image_spec']


def image_spec(
    name: str, resolution: tuple[int, int], channels: int, *, num_datapoints: int, num_labels: int | None = None
) -> DatasetSpec:
    """The specification of images with values in [0, 1] on the full pixel grid."""
    return DatasetSpec(
        name=name,
        grid_shape=resolution,
        num_points=resolution[0] * resolution[1],
        coord_dims=2,
        channels=channels,
        data_range=(0.0, 1.0),
        num_datapoints=num_datapoints,
        num_labels=num_labels,
    )


def image_dataset(
    name: str,
    *,
    recipe: Mapping[str, Any],
    resolution: tuple[int, int],
    channels: int,
    splits: 'Callable[[], Mapping[str, Iterable[Record]]]',
    augment: bool,
    seed: int,
    in_memory: bool,
    data_dir: str | None,
    num_labels: int | None = None,
) -> Dataset:
    """A dataset of stored images, prepared on first use; see `hyperinr.datasets.records.open_records`.

    Args:
      name: of the dataset.
      recipe: what the records depend on besides the resolution and the channels.
      resolution: ``(H, W)``.
      channels: C, 1 or 3.
      splits: makes the records of ``'train'``, ``'validation'`` and ``'test'``.
      augment: varies the training images in each epoch.
      seed: of the augmentation.
      in_memory: decodes everything once.
      data_dir: of the cache.
      num_labels: classes, where the records have labels.
    """
    from hyperinr.datasets.records import open_records

    readers = open_records(name, recipe=recipe, shape=(*resolution, channels), splits=splits, data_dir=data_dir)
    sources = {
        split: ImageSource(
            reader.read_all() if in_memory else reader,
            shape=resolution,
            augment=augment and split == 'train',
            seed=seed,
        )
        for split, reader in readers.items()
    }
    spec = image_spec(name, resolution, channels, num_datapoints=len(sources['train']), num_labels=num_labels)
    return Dataset(spec, sources)
