"""Small versions of every dataset, and tfds datasets that are prepared without TensorFlow."""

import io
import logging

import numpy as np
from PIL import Image

from hyperinr import datasets


def photo_patches(folder):
    return datasets.photo_patches(
        resolution=(8, 12), num_train=24, num_validation=5, num_test=6, data_dir=str(folder / 'cache')
    )


def mnist_5k(folder):
    return datasets.mnist_5k(
        resolution=(14, 20), num_train=30, num_validation=5, num_test=6, data_dir=str(folder / 'cache')
    )


def noise_images(folder):
    del folder
    return datasets.noise_images(resolution=(8, 12), num_train=9, num_validation=5, num_test=6)


def image_folder(folder):
    write_images(folder / 'images')
    return datasets.image_folder(
        path=folder / 'images', resolution=(8, 12), augment=True, data_dir=str(folder / 'cache')
    )


def signal_folder(folder):
    write_images(folder / 'signals')
    return datasets.signal_folder(
        path=folder / 'signals',
        shape=(8, 12),
        labels=r'(\d)\.png',
        num_train=9,
        num_validation=5,
        num_test=6,
        data_dir=str(folder / 'cache'),
    )


def field_frames(folder):
    return datasets.field_frames(path=str(write_fields(folder / 'fields.nc')), data_dir=str(folder / 'cache'))


def tfds_images(folder):
    prepare_ragged(folder / 'cache')
    return datasets.tfds_images(name='ragged', resolution=(8, 12), augment=True, data_dir=str(folder / 'cache'))


def function_on_grid(folder):
    return datasets.continuous_function(resolution=(8, 12), num_train=9, num_validation=5, num_test=6)


def function_anywhere(folder):
    return datasets.continuous_function(
        function=datasets.blobs, sampling='uniform', resolution=(4, 4, 4), num_points=50, channels=1, num_train=9
    )


def solids(folder):
    return datasets.solids(num_train=6, num_validation=5, num_test=5, num_points=20)


def mesh_folder(folder):
    write_meshes(folder / 'meshes')
    return datasets.mesh_folder(
        path=str(folder / 'meshes'),
        num_points=15,
        quantity='signed_distance',
        fractions=(0.6, 0.2, 0.2),
        data_dir=str(folder / 'cache'),
    )


def arrays_on_grid(folder):
    rng = np.random.default_rng(0)
    np.save(folder / 'train.npy', rng.integers(0, 256, (9, 3, 4, 5, 2), dtype=np.uint8))
    test = datasets.Arrays(rng.integers(0, 256, (5, 3, 4, 5, 2), dtype=np.uint8))
    return datasets.from_arrays(train=str(folder / 'train.npy'), test=test)


def arrays_of_many_shapes(folder):
    del folder
    rng = np.random.default_rng(0)
    signals = [rng.uniform(-1, 1, (5 + index, 4, 1)).astype(np.float32) for index in range(9)]
    labels = np.arange(9) % 3
    test = datasets.Arrays(signals[:4], labels=labels[:4])
    return datasets.from_arrays(train=datasets.Arrays(signals, labels=labels), test=test, data_range=(-1, 1))


def arrays_of_points(folder):
    del folder
    rng = np.random.default_rng(0)
    values = rng.uniform(250, 310, (30, 12, 1))
    return datasets.from_arrays(train=(rng.uniform(-1, 1, (12, 3)), values), data_range=(250, 310))


FACTORIES = (
    arrays_on_grid,
    arrays_of_many_shapes,
    arrays_of_points,
    photo_patches,
    mnist_5k,
    noise_images,
    image_folder,
    signal_folder,
    field_frames,
    tfds_images,
    function_on_grid,
    function_anywhere,
    solids,
    mesh_folder,
)


def write_meshes(folder, count=10):
    """Boxes in ``boxes/`` and octahedra in ``diamonds/``, as OBJ text."""
    corners = np.array([[x, y, z] for x in (-1, 1) for y in (-1, 1) for z in (-1, 1)], float)
    box = ['1 3 4 2', '5 6 8 7', '1 2 6 5', '3 7 8 4', '1 5 7 3', '2 4 8 6']
    tips = np.concatenate([np.eye(3), -np.eye(3)])
    diamond = ['1 2 3', '2 4 3', '4 5 3', '5 1 3', '2 1 6', '4 2 6', '5 4 6', '1 5 6']
    for index in range(count):
        name, points, faces = ('boxes', corners, box) if index % 2 else ('diamonds', tips, diamond)
        scaled = points * (1 + np.array([0.1, 0.2, 0.3]) * index)
        lines = [f'v {x} {y} {z}' for x, y, z in scaled] + [f'f {face}' for face in faces]
        (folder / name).mkdir(parents=True, exist_ok=True)
        (folder / name / f'{index}.obj').write_text('\n'.join(lines) + '\n')


def write_fields(path, count=12):
    """Fields of 5 x 8 latitudes and longitudes, as NetCDF."""
    import xarray

    axes = {'time': np.arange(count), 'latitude': np.linspace(90, -90, 5), 'longitude': np.arange(8) * 45.0}
    values = np.random.default_rng(0).normal(size=(count, 5, 8))
    xarray.Dataset({'u': (tuple(axes), values)}, axes).to_netcdf(path, engine='scipy')
    return path


def write_images(folder, count=12):
    """Noise in RGB of several sizes, one of them in a sub-folder, beside files that are no images."""
    rng = np.random.default_rng(0)
    (folder / 'more').mkdir(parents=True)
    (folder / 'notes.txt').write_text('no image')
    (folder / '.hidden.png').write_text('no image')
    for index in range(count):
        size = (10 + index, 10 + 2 * (index % 3))
        name = f'more/{index}.png' if index == 3 else f'{index:02}.png'
        Image.fromarray(rng.integers(0, 256, (*size, 3), dtype=np.uint8)).save(folder / name)


def each_damaged(folder):
    """Damage the files below a folder, one at a time and in each way; yield what is damaged, and restore it."""
    for path in sorted(each for each in folder.rglob('*') if each.is_file()):
        whole = path.read_bytes()
        for way, content in (
            ('cut short', whole[: len(whole) // 2]),
            ('garbage', b'\x93' * len(whole)),
            ('gone', None),
        ):
            path.unlink()
            if content is not None:
                path.write_bytes(content)
            yield f'{path.name} {way}'
            path.write_bytes(whole)


def prepare_ragged(
    cache, *, name='ragged', shape=(None, None, 3), file_format='array_record', splits=('train', 'test')
):
    """A tfds dataset of 20 images a split: the i-th has 6 + i % 3 rows, 9 columns and the value i everywhere."""
    import tensorflow_datasets as tfds

    class Ragged(tfds.core.GeneratorBasedBuilder, skip_registration=True):
        VERSION = tfds.core.Version('2.0.0')

        def _info(self):
            features = {
                'image': tfds.features.Image(shape=shape, encoding_format='png'),
                'label': tfds.features.ClassLabel(num_classes=20),
            }
            return tfds.core.DatasetInfo(
                builder=self, features=tfds.features.FeaturesDict(features), disable_shuffling=True
            )

        def _split_generators(self, dl_manager):
            return {split: self._generate_examples() for split in splits}

        def _generate_examples(self):
            for index in range(20):
                size = (6 + index % 3, 9) if shape[0] is None else shape[:2]
                buffer = io.BytesIO()
                Image.fromarray(np.full((*size, 3)[: 3 if shape[2] == 3 else 2], index, np.uint8)).save(buffer, 'png')
                yield index, {'image': buffer.getvalue(), 'label': index}

    Ragged.name = name
    logging.getLogger('absl').setLevel(logging.ERROR)
    tfds.disable_progress_bar()
    builder = Ragged(data_dir=str(cache), file_format=file_format)
    builder.download_and_prepare(download_dir=str(cache / 'downloads'))
    return builder
