"""Overrides that make any experiment config of hyperinr a run of seconds."""

from pathlib import Path

import numpy as np
from PIL import Image

__all__ = ['DEFAULT', 'overrides', 'write_images']

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
    },
}  # fmt: skip


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
    return bindings


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
