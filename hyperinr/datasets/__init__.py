"""Sources of datapoints: each factory here returns a `Dataset`, splits of datapoints with one specification.

A factory takes keyword-only arguments, among them ``resolution``, ``seed`` and ``data_dir``. Stored datasets are tfds
``array_record`` files (`records`). They are prepared on first use and read without TensorFlow. tensorflow_datasets is
imported in this package alone, when a dataset is opened. Models and batching are elsewhere.

To add one: a file with its factory, a line below, a row in ``tests/datasets/test_sources.py`` and a file in
``gin_configs/dataset/``. For image files use `records.open_records` and `image_source.image_dataset`.
"""

from hyperinr.datasets.arrays import Arrays
from hyperinr.datasets.augmentation import augment, symmetry
from hyperinr.datasets.base import Dataset, Source, stack
from hyperinr.datasets.cache import cache_folder
from hyperinr.datasets.continuous_function import continuous_function
from hyperinr.datasets.field_frames import field_frames
from hyperinr.datasets.from_arrays import from_arrays
from hyperinr.datasets.functions import blobs, waves
from hyperinr.datasets.image_folder import image_folder
from hyperinr.datasets.meshes import mesh_folder
from hyperinr.datasets.mnist_5k import mnist_5k
from hyperinr.datasets.noise_images import noise_images
from hyperinr.datasets.photo_patches import photo_patches
from hyperinr.datasets.prepare import prepare
from hyperinr.datasets.signal_folder import signal_folder
from hyperinr.datasets.solids import solids
from hyperinr.datasets.tfds_images import tfds_images

__all__ = [
    'Arrays',
    'Dataset',
    'Source',
    'augment',
    'blobs',
    'cache_folder',
    'continuous_function',
    'field_frames',
    'from_arrays',
    'image_folder',
    'mesh_folder',
    'mnist_5k',
    'noise_images',
    'photo_patches',
    'prepare',
    'signal_folder',
    'solids',
    'stack',
    'symmetry',
    'tfds_images',
    'waves',
]
