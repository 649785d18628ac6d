"""Our own tfds datasets: PNG images of one size with a box and a name each, prepared once, read without TensorFlow.

Imports tensorflow_datasets (0.4 to 0.8 s), so other modules import this one inside functions.
"""

import contextlib
import functools
import hashlib
import io
import json
import logging
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import tensorflow_datasets as tfds
from PIL import Image

from hyperinr.datasets.cache import cache_folder, locked
from hyperinr.datasets.image_source import ImageRecords
from hyperinr.files import disk_errors

__all__ = ['Record', 'RecordReader', 'open_records']

SCHEMA = '1.1.0'
NO_LABEL = -1


class Record(NamedTuple):
    """One image to store.

    Attributes:
      pixels: ``[H, W, C]`` uint8, C 1 or 3.
      box: (top, left, height, width) in pixels of what is image; the rest is padding.
      name: where it comes from.
      label: its class, or -1.
    """

    pixels: np.ndarray
    box: tuple[int, int, int, int]
    name: str
    label: int = NO_LABEL


class _Images(tfds.core.GeneratorBasedBuilder, skip_registration=True):  # type: ignore[call-arg]
    """Stores `Record`s under ``<data_dir>/images/<config name>/<schema>``."""

    name = 'images'
    VERSION = tfds.core.Version(SCHEMA)

    def __init__(
        self, *, shape: tuple[int, int, int], splits: Mapping[str, Iterable[Record]], description: str, **kwargs
    ):
        self._shape = shape
        self._splits = splits
        self._description = description
        super().__init__(**kwargs)

    def _info(self) -> tfds.core.DatasetInfo:
        features = tfds.features.FeaturesDict(
            {
                'image': tfds.features.Image(shape=self._shape, encoding_format='png'),
                'box': tfds.features.Tensor(shape=(4,), dtype=np.int32),
                'name': tfds.features.Text(),
                'label': tfds.features.Scalar(dtype=np.int32),
            }
        )
        return tfds.core.DatasetInfo(
            builder=self, description=self._description, features=features, disable_shuffling=True
        )

    def _split_generators(self, dl_manager):
        return {split: self._generate_examples(records) for split, records in self._splits.items()}

    def _generate_examples(self, records):
        for key, record in enumerate(records):
            box = np.asarray(record.box, np.int32)
            yield key, {'image': _png(record.pixels), 'box': box, 'name': record.name, 'label': record.label}


class RecordReader:
    """`Images` of one prepared split, decoded at each read.

    Args:
      source: of encoded examples, as ``tfds.data_source`` gives them.
    """

    def __init__(self, source):
        self._source = source

    def __len__(self) -> int:
        return len(self._source)

    def read(self, indices: Sequence[int] | np.ndarray) -> ImageRecords:
        examples = self._source.__getitems__([int(i) for i in indices])
        images = [np.asarray(Image.open(io.BytesIO(example['image']))) for example in examples]
        pixels = np.stack(images)
        return ImageRecords(
            pixels=pixels if pixels.ndim == 4 else pixels[..., None],
            boxes=np.stack([example['box'] for example in examples]),
            names=[example['name'].decode() for example in examples],
            labels=_labels_of(examples),
        )

    @functools.cached_property
    def labels(self) -> np.ndarray | None:
        return _labels_of(self._source.__getitems__(list(range(len(self)))))

    def read_all(self) -> ImageRecords:
        """Every image of the split."""
        return self.read(np.arange(len(self)))


def open_records(
    name: str,
    *,
    recipe: Mapping[str, Any],
    shape: tuple[int, int, int],
    splits: Callable[[], Mapping[str, Iterable[Record]]],
    data_dir: str | None,
) -> Mapping[str, RecordReader]:
    """The prepared splits of a dataset of ours, which is prepared first where the cache does not hold it.

    A preparation is written aside and renamed when it is complete; one that was killed leaves nothing that is read, and
    the next one removes its remains. Processes that want the same dataset at once wait for the first.

    Args:
      name: of the dataset.
      recipe: all that the records depend on, JSON-serialisable; another recipe is another folder.
      shape: ``(H, W, C)`` of every image.
      splits: makes the records of each split; called only to prepare.
      data_dir: see `cache_folder`.

    Raises:
      InputError: the cache cannot be written to, or what ``splits`` raised.
      RunError: the disk is full.
    """
    recipe = {'name': name, 'shape': list(shape), 'schema': SCHEMA, **recipe}
    text = json.dumps(recipe, sort_keys=True)
    digest = hashlib.sha256(text.encode()).hexdigest()[:16]
    root = cache_folder(data_dir)
    folder = root / 'images' / f'{name}-{digest}'
    if not (folder / SCHEMA).is_dir():
        with locked(root, folder.name):
            if not (folder / SCHEMA).is_dir():
                _prepare(root, folder, text, shape, splits())
    builder = tfds.builder_from_directory(folder / SCHEMA)
    encoded = {'image': tfds.decode.SkipDecoding()}
    return {split: RecordReader(builder.as_data_source(split, decoders=encoded)) for split in builder.info.splits}


def _prepare(
    root: Path, folder: Path, recipe: str, shape: tuple[int, int, int], splits: Mapping[str, Iterable[Record]]
) -> None:
    for remains in folder.glob('incomplete.*'):
        shutil.rmtree(remains, ignore_errors=True)
    print(f'preparing {folder.name}, once, in {folder}', file=sys.stderr)
    try:
        with disk_errors(folder), tempfile.TemporaryDirectory() as downloads, _quiet_tfds():
            builder = _Images(
                shape=shape,
                splits=splits,
                description=recipe,
                data_dir=str(root),
                config=tfds.core.BuilderConfig(name=folder.name, version=SCHEMA),
                file_format='array_record',
            )
            builder.download_and_prepare(download_dir=downloads)
    finally:
        with contextlib.suppress(OSError):
            folder.rmdir()


@contextlib.contextmanager
def _quiet_tfds() -> Iterator[None]:
    """Silences what tfds says about downloads, which there are none of, and about configs of one's own."""
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


def _labels_of(examples: Sequence[Mapping[str, Any]]) -> np.ndarray | None:
    labels = np.array([example['label'] for example in examples], np.int32)
    return None if (labels == NO_LABEL).any() else labels


def _png(pixels: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(pixels if pixels.shape[-1] == 3 else pixels[..., 0]).save(buffer, 'png')
    return buffer.getvalue()
