"""Image datasets of tensorflow_datasets, read from the folder that `hyperinr prepare NAME` wrote."""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from hyperinr.annotations import checked
from hyperinr.datasets.arguments import check_resolution, check_seed
from hyperinr.datasets.base import Dataset
from hyperinr.datasets.cache import cache_folder, reading
from hyperinr.datasets.folders import fingerprint
from hyperinr.datasets.image_source import Images, Record, fitted_record, image_dataset
from hyperinr.datasets.records import check_features
from hyperinr.errors import InputError
from hyperinr.files.images import decode

__all__ = ['tfds_images']


@checked
def tfds_images(
    *,
    name: str = 'cifar10',
    resolution: tuple[int, int] | None = None,
    image_key: str = 'image',
    augment: bool = False,
    seed: int = 0,
    in_memory: bool = True,
    data_dir: str | None = None,
) -> Dataset:
    """Make a dataset of whole images.

    Images of another size are letterboxed into ``resolution``: the aspect ratio is kept and the padding has weight 0.
    The splits are the dataset's own if it has ``train``, ``validation`` and ``test``. If it has ``train`` and one
    other split, that one is for testing, and the last 5% of ``train`` are for validation. If it has ``train`` alone,
    its last 10% are for validation and testing.

    Args:
      name: ``'mnist'``, ``'fashion_mnist'``, ``'cifar10'``, ``'celeb_a'``, ``'imagenette/160px-v2'``, ...
      resolution: ``(height, width)``, pixels; ``None``: the images' own size, if all have the same.
      image_key: name of the feature to read.
      augment: give training images one of eight flips and transpositions in each epoch.
      seed: seed of the augmentation.
      in_memory: decode all images once (one byte per value), instead of at each read.
      data_dir: folder of the prepared dataset; ``None``: `hyperinr.datasets.cache_folder`, ``TFDS_DATA_DIR`` or
        ``~/tensorflow_datasets``.

    Returns:
      A dataset with values in [0, 1] and the dataset's own C, 1 or 3. It has labels if the dataset has a class label
      under ``'label'``.

    Raises:
      InputError: the dataset is not prepared, is damaged (also raised when an image is read), or is not prepared as
        ``array_record``; it has no such feature; or its images have several sizes and no ``resolution`` is given.
    """
    import tensorflow_datasets as tfds

    check_seed('tfds_images', seed)
    folder, again = _prepared_folder(name, data_dir), f'`hyperinr prepare {name}` makes it again'
    with reading(folder, remedy=again):
        check_features(folder)
        builder = tfds.builder_from_directory(folder)
    if builder.info.file_format is None or builder.info.file_format.value != 'array_record':
        raise InputError(f'{name} was not prepared as array_record, which reading needs: hyperinr prepare {name}.')
    height, width, channels = _image_shape(name, builder.info.features, image_key)
    if resolution is None:
        if height is None or width is None:
            raise InputError(
                f'the images of {name} have several sizes; set tfds_images.resolution to one, such as (64, 64).'
            )
        resolution = (height, width)
    shape = check_resolution('tfds_images', resolution)
    num_labels = getattr(dict(builder.info.features.items()).get('label'), 'num_classes', None)

    def images(part: str) -> Images:
        with reading(folder, remedy=again):
            source = builder.as_data_source(part, decoders={image_key: tfds.decode.SkipDecoding()})

        def record(index: int) -> Record:
            with reading(folder, remedy=again):
                example = source[index]
                label = None if num_labels is None else int(example['label'])
                return fitted_record(decode(example[image_key], channels), shape, f'{name} {part} {index}', label)

        return Images(len(source), record)

    splits = {split: images(part) for split, part in _split_names(name, list(builder.info.splits)).items()}
    sizes = {split: (part.num_examples, part.num_bytes) for split, part in builder.info.splits.items()}
    return image_dataset(
        name,
        splits,
        (*shape, channels),
        augment=augment,
        seed=seed,
        in_memory=in_memory,
        num_labels=num_labels,
        fingerprint=fingerprint({'name': builder.info.full_name, 'sizes': sizes}),
    )


def _prepared_folder(name: str, data_dir: str | None) -> Path:
    """Find the newest prepared version of ``'dataset'`` or ``'dataset/config'``."""
    roots = [cache_folder(data_dir)]
    if data_dir is None:
        roots += [Path(os.environ.get('TFDS_DATA_DIR') or '~/tensorflow_datasets').expanduser()]
    for root in roots:
        found = [info.parent for info in (root / name).glob('**/[0-9]*/dataset_info.json')]
        configs = sorted({str(folder.parent.relative_to(root)) for folder in found})
        if len(configs) > 1:
            raise InputError(
                f'{name} is prepared in several configs; set tfds_images.name to one of {", ".join(configs)}.'
            )
        if found:
            return max(found, key=lambda folder: tuple(int(n) for n in folder.name.split('.') if n.isdecimal()))
    raise InputError(f'{name} is not prepared in {" or ".join(map(str, roots))}: hyperinr prepare {name}.')


def _image_shape(name: str, features: Any, image_key: str) -> tuple[int | None, int | None, int]:
    feature: Any = dict(features.items()).get(image_key)
    shape = getattr(feature, 'shape', None)
    if shape is None or len(shape) != 3 or np.dtype(feature.np_dtype) != np.uint8:
        raise InputError(
            f'{name} has no 8-bit images under {image_key!r}; '
            f'set tfds_images.image_key to one of {", ".join(sorted(features))}.'
        )
    height, width, channels = shape
    return height, width, 1 if channels == 1 else 3


def _split_names(name: str, available: Sequence[str]) -> dict[str, str]:
    if 'train' not in available:
        raise InputError(f'{name} has no train split, only {", ".join(available)}; take another dataset.')
    rest = [split for split in ('validation', 'test') if split in available]
    if len(rest) == 2:
        return {'train': 'train', 'validation': 'validation', 'test': 'test'}
    if rest:
        return {'train': 'train[:95%]', 'validation': 'train[95%:]', 'test': rest[0]}
    return {'train': 'train[:90%]', 'validation': 'train[90%:95%]', 'test': 'train[95%:]'}
