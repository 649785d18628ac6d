"""Overrides that make any experiment config of hyperinr a run of seconds."""

from pathlib import Path

import numpy as np
from PIL import Image

__all__ = ['DEFAULT', 'overrides', 'own_data', 'write_images']

DEFAULT = 'experiment/photo_patches_siren.gin'
"""The config of `make demo`."""

SIZES = {
    'experiment.encoder': {
        'encoders.convolutional': {'embedding_dims': 8, 'base_channels': 4, 'num_stages': 1},
        'encoders.dense': {'embedding_dims': 8, 'num_blocks': 1},
        'encoders.set_encoder': {'embedding_dims': 8, 'width': 8, 'depth': 1},
        'encoders.residual': {'embedding_dims': 8, 'stage_channels': (4,), 'blocks_per_stage': 1},
        'encoders.patch_transformer': {'embedding_dims': 64, 'patch_size': 8, 'width': 8, 'depth': 1, 'num_heads': 2},
        'encoders.set_transformer': {
            'embedding_dims': 8, 'num_tokens': 4, 'width': 8, 'depth': 0, 'num_heads': 2, 'num_frequencies': 2
        },
        'encoders.table': {'embedding_dims': 8},
        'encoders.label_embedding': {'embedding_dims': 8},
        'encoders.constant': {},
    },
    'experiment.hypernetwork': {
        'hypernetworks.weight_heads': {'trunk': (8,), 'head_gain': 1.0},
        'hypernetworks.low_rank': {'trunk': (8,), 'rank': 2},
        'hypernetworks.modulations': {'latent_dims': 8},
        'hypernetworks.instance_pattern_composers': {'trunk': (8,), 'rank': 2},
        'hypernetworks.weight_tokens': {'width': 8, 'depth': 1, 'num_heads': 2, 'groups': 2},
        'hypernetworks.private_layers': {},
        'hypernetworks.chunked': {'chunk_size': 32, 'chunk_dims': 4, 'hidden': (8,)},
    },
    'experiment.dataset': {
        'datasets.photo_patches': {'resolution': (16, 16), 'num_train': 8, 'num_validation': 4, 'num_test': 4},
        'datasets.mnist_5k': {'resolution': (12, 12)},
        'datasets.noise_images': {'resolution': (12, 12)},
        'datasets.continuous_function': {
            'resolution': (12, 12), 'num_train': 8, 'num_validation': 4, 'num_test': 4
        },
        'datasets.image_folder': {'resolution': (16, 16)},
        'datasets.tfds_images': {'resolution': (16, 16)},
        'datasets.signal_folder': {'num_train': 8, 'num_validation': 4, 'num_test': 4},
        'datasets.field_frames': {},
        'datasets.from_arrays': {},
    },
}  # fmt: skip


PARTS = {'sound': (64,), 'image': (16, 16), 'video': (4, 8, 8), 'volume': (8, 8, 8)}
"""Kind of a `signal_folder` -> shape of its parts."""


def overrides(name: str, *, num_steps: int = 2) -> list[str]:
    """Bindings for ``hyperinr train NAME -p ...``: two outer steps of two small datapoints each.

    Args:
      name: of a config.
      num_steps: outer steps.
    """
    from hyperinr.config import load_config

    config = load_config(name)
    bindings = [f'NUM_STEPS={num_steps}', 'BATCH_SIZE=2', 'siren.width=8', 'siren.depth=2']
    if config.value('meta_learning.meta_learner.num_steps'):
        bindings += ['meta_learner.num_steps=1']
    bindings += ['held_out_psnr.num_datapoints=2', 'evaluate.num_datapoints=2', 'evaluate.steps=(0, 1, 3)']
    bindings += [
        'evaluate.num_search_datapoints=1',
        'evaluate.num_timing_datapoints=1',
        "evaluate.optimizers=('momentum',)",
    ]
    if 'meta_learning.largest_error_points.num_points' in {setting.name for setting in config.settings}:
        bindings += ['largest_error_points.num_points=64']
    for parameter, parts in SIZES.items():
        target = repr(config.value(f'experiment.{parameter}')).removeprefix('@')
        bindings += [f'{target}.{key}={value!r}' for key, value in parts[target].items()]
        if target == 'datasets.signal_folder':
            bindings += [f'signal_folder.shape={PARTS[config.value("datasets.signal_folder.kind")]}']
    if 'meta_learning.uniform_points.num_points' in {setting.name for setting in config.settings}:
        bindings += ['uniform_points.num_points=48', 'meta_learner.num_target_points=48']
    return bindings


def own_data(name: str, folder: Path) -> list[str]:
    """Write the user's data that a config asks for, and return the bindings that name them."""
    from hyperinr.config import load_config

    config = load_config(name)
    dataset = repr(config.value('experiment.experiment.dataset')).rpartition('.')[2]
    match dataset:
        case 'image_folder':
            write_images(folder / 'photos')
            return [f'image_folder.path={str(folder / "photos")!r}']
        case 'tfds_images':
            from tests.datasets.sources import prepare_ragged

            prepare_ragged(folder / 'tfds')
            return ["tfds_images.name='ragged'", f'tfds_images.data_dir={str(folder / "tfds")!r}']
        case 'signal_folder':
            write_signals(folder / 'signals', config.value('datasets.signal_folder.kind'))
            return [f'signal_folder.path={str(folder / "signals")!r}', f'signal_folder.data_dir={str(folder)!r}']
        case 'field_frames':
            write_fields(folder / 'fields.nc')
            return [f'field_frames.path={str(folder / "fields.nc")!r}', f'field_frames.data_dir={str(folder)!r}']
        case 'from_arrays':
            ball = np.linalg.norm(np.indices((8, 8, 8)) - 3.5, axis=0) < np.arange(1, 9)[:, None, None, None] / 2
            np.save(folder / 'solids.npy', ball[..., None].astype(np.uint8))
            return [f'from_arrays.{split}={str(folder / "solids.npy")!r}' for split in ('train', 'test')]
    return []


def write_signals(folder: Path, kind: str) -> None:
    """Smooth signals of a kind, ``0_one_0.wav``, ``1_two_1.wav``, ... of three groups."""
    from hyperinr.kinds import KINDS

    folder.mkdir(parents=True, exist_ok=True)
    low, high = (-1.0, 1.0) if kind == 'sound' else (0.0, 1.0)
    channels = 3 if kind in ('image', 'video') else 1
    for number in range(6):
        axes = np.meshgrid(*(np.linspace(0, 1, 2 * size) for size in PARTS[kind]), indexing='ij')
        waves = [np.sin((3 + number + channel) * (sum(axes) + axes[0])) for channel in range(channels)]
        values = low + (high - low) * (0.5 + 0.4 * np.stack(waves, axis=-1))
        path = folder / f'{number}_{("one", "two", "three")[number % 3]}_{number}{KINDS[kind].written}'
        # The rate of a sound is that of the config, so that nothing is resampled.
        KINDS[kind].write(path, values.astype(np.float32), {'data_range': (low, high), 'rate': 8000})


def write_fields(path: Path) -> None:
    """Ten smooth fields of two variables on a whole globe of 7 x 12 points."""
    from scipy.io import netcdf_file

    north, east = np.linspace(90, -90, 7), np.arange(12) * 30.0
    with netcdf_file(path, 'w') as file:
        for name, places, units in (('time', np.arange(10.0), 'days'), ('lat', north, 'degrees_north'),
                                    ('lon', east, 'degrees_east')):  # fmt: skip
            file.createDimension(name, len(places))
            variable = file.createVariable(name, 'f8', (name,))
            variable[:], variable.units = places, units
        for name, shift in (('u', 0.0), ('v', 1.0)):
            variable = file.createVariable(name, 'f8', ('time', 'lat', 'lon'))
            turned = np.deg2rad(east) + np.arange(10)[:, None, None] / 3 + shift
            variable[:], variable.units = np.cos(np.deg2rad(north))[:, None] * np.sin(turned), 'm/s'


def write_images(folder: Path, *, number: int = 6, shape: tuple[int, int] = (20, 28)) -> list[Path]:
    """Smooth RGB pictures ``0.png``, ``1.png``, ... to train on."""
    folder.mkdir(parents=True, exist_ok=True)
    rows, columns = np.meshgrid(*(np.linspace(0, 1, size) for size in shape), indexing='ij')
    paths = []
    for index in range(number):
        channels = [rows, columns, np.sin((index + 1) * rows * columns) ** 2]
        paths.append(folder / f'{index}.png')
        Image.fromarray(np.uint8(255 * np.stack(channels, axis=-1))).save(paths[-1])
    return paths
