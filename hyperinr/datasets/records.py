"""Storage of images as tfds datasets: PNG images of one size, each with a box and a name, read without TensorFlow.

Importing tensorflow_datasets takes 0.4 to 0.8 s, so it is imported inside functions.
"""

import contextlib
import hashlib
import io
import json
import logging
import os
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from hyperinr.datasets.cache import cache_folder, locked, reading
from hyperinr.datasets.folders import fingerprint
from hyperinr.datasets.image_source import Images, Record
from hyperinr.errors import InputError
from hyperinr.files.images import decode
from hyperinr.runtime.files import disk_errors

__all__ = ['check_features', 'open_records']

SCHEMA = '1.1.0'
NO_LABEL = -1


def open_records(
    name: str,
    recipe: Mapping[str, Any],
    shape: tuple[int, int, int],
    splits: Callable[[], Mapping[str, Iterable[Record]]],
    data_dir: str | None,
) -> tuple[Mapping[str, Images], str]:
    """Open the splits of a dataset; prepare it first if it is not in the cache.

    A dataset is written under a temporary name and renamed when it is complete. A killed preparation leaves nothing
    that is ever read, and the next preparation removes its remains. If several processes need the same dataset, one
    prepares it and the others wait.

    Args:
      name: name of the dataset.
      recipe: everything that the records depend on, JSON-serialisable; each recipe has its own folder.
      shape: ``(H, W, C)`` of every image.
      splits: makes the records of each split; called only for a preparation.
      data_dir: see `cache_folder`.

    Returns:
      The images of each split, and the fingerprint of the recipe.

    Raises:
      InputError: the cache cannot be written to, ``splits`` raised it, or the prepared data is damaged (also when an
        image is read).
      RunError: the disk is full.
    """
    import tensorflow_datasets as tfds

    recipe = {'name': name, 'shape': list(shape), **recipe}
    text = json.dumps({'schema': SCHEMA, **recipe}, sort_keys=True)
    digest = hashlib.sha256(text.encode()).hexdigest()[:16]
    root = cache_folder(data_dir)
    folder = root / 'images' / f'{name}-{digest}'
    if not os.path.isdir(folder / SCHEMA):
        with locked(root, folder.name):
            if not os.path.isdir(folder / SCHEMA):
                _prepare(root, folder, text, shape, splits())
    with reading(folder):
        check_features(folder / SCHEMA)
        builder = tfds.builder_from_directory(folder / SCHEMA)
        encoded = {'image': tfds.decode.SkipDecoding()}
        found = {split: builder.as_data_source(split, decoders=encoded) for split in builder.info.splits}
    return {split: _images(source, shape[-1], folder) for split, source in found.items()}, fingerprint(recipe)


def _images(source: Any, channels: int, folder: Path) -> Images:
    """Return the images of a ``tfds.data_source`` with encoded examples, which lies in ``folder``."""

    def record(index: int) -> Record:
        with reading(folder):
            example = source[index]
            label = None if example['label'] == NO_LABEL else int(example['label'])
            return Record(decode(example['image'], channels), example['box'], example['name'].decode(), label)

    return Images(len(source), record)


def _prepare(
    root: Path, folder: Path, recipe: str, shape: tuple[int, int, int], splits: Mapping[str, Iterable[Record]]
) -> None:
    import tensorflow_datasets as tfds

    class Images(tfds.core.GeneratorBasedBuilder, skip_registration=True):  # type: ignore[call-arg]
        """Writer of `Record`s under ``<data_dir>/images/<config name>/<schema>``."""

        VERSION = tfds.core.Version(SCHEMA)

        def _info(self) -> tfds.core.DatasetInfo:
            features = {
                'image': tfds.features.Image(shape=shape, encoding_format='png'),
                'box': tfds.features.Tensor(shape=(4,), dtype=np.int32),
                'name': tfds.features.Text(),
                'label': tfds.features.Scalar(dtype=np.int32),
            }
            return tfds.core.DatasetInfo(
                builder=self,
                description=recipe,
                features=tfds.features.FeaturesDict(features),
                disable_shuffling=True,
            )

        def _split_generators(self, dl_manager):
            return {split: self._generate_examples(records) for split, records in splits.items()}

        def _generate_examples(self, records):
            for key, (pixels, box, name, label) in enumerate(records):
                label = NO_LABEL if label is None else label
                yield key, {'image': _png(pixels), 'box': np.asarray(box, np.int32), 'name': name, 'label': label}

    for remains in folder.glob('incomplete.*'):
        shutil.rmtree(remains, ignore_errors=True)
    print(f'preparing {folder.name}, once, in {folder}', file=sys.stderr)
    try:
        with disk_errors(folder), tempfile.TemporaryDirectory() as downloads, _quiet_tfds():
            config = tfds.core.BuilderConfig(name=folder.name, version=SCHEMA)
            builder = Images(data_dir=str(root), config=config, file_format='array_record')
            builder.download_and_prepare(download_dir=downloads)
    finally:
        with contextlib.suppress(OSError):
            folder.rmdir()


@contextlib.contextmanager
def _quiet_tfds() -> Iterator[None]:
    """Silence the messages of tfds about downloads (there are none) and about custom configs."""
    import tensorflow_datasets as tfds

    logger = logging.getLogger('absl')
    level = logger.level
    logger.setLevel(logging.ERROR)
    tfds.disable_progress_bar()
    try:
        with contextlib.redirect_stdout(io.StringIO()):
            yield
    finally:
        logger.setLevel(level)
        tfds.enable_progress_bar()


def _png(pixels: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(pixels if pixels.shape[-1] == 3 else pixels[..., 0]).save(buffer, 'png')
    return buffer.getvalue()


def check_features(folder: Path) -> None:
    """Refuse a prepared dataset whose ``features.json`` names classes of other packages, which tfds would import.

    Raises:
      InputError: it does.
      OSError, ValueError: the file is missing or damaged.
    """
    path = folder / 'features.json'
    if not path.is_file():
        raise FileNotFoundError(f'{path.name} is no file')
    waiting: list[Any] = [json.loads(path.read_text(encoding='utf-8'))]
    while waiting:
        value = waiting.pop()
        if isinstance(value, dict):
            waiting += value.values()
            # Under the name ``type`` older versions of tfds wrote the class.
            for name in (value.get('pythonClassName'), value.get('type')):
                if isinstance(name, str) and '.' in name and not name.startswith('tensorflow_datasets.'):
                    raise InputError(f'{path} names {name!r}, no class of tensorflow-datasets; prepare the data anew.')
        elif isinstance(value, list):
            waiting += value
