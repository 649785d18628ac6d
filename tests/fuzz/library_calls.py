"""Tries of library calls with one wrong argument, or one wrong field of an argument."""

import functools
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np
import optax

import hyperinr
from hyperinr import coordinates, datasets, encoders, files, fitting, hypernetworks, inrs, meta_learning, metrics
from hyperinr import weights as weights_lib
from hyperinr.neural_datasets import open_store
from hyperinr.types import Datapoint
from tests import tiny
from tests.fuzz.attempts import Try
from tests.fuzz.values import ARGUMENTS, altered

__all__ = ['calls', 'library']


class Call(NamedTuple):
    """A right call: the name, the function and its arguments."""

    name: str
    function: Callable[..., Any]
    arguments: Mapping[str, Any]


@functools.cache
def calls(folder: Path, run: Path, store: Path) -> tuple[Call, ...]:
    """Return right calls of the public functions."""
    model = tiny.make_model()
    waves = tiny.Batched(model.spec, 2)
    batch = waves.batch([0, 1])
    siren = inrs.siren(channels=3, width=8, depth=2)
    one = jax.tree.map(np.asarray, siren.init(jax.random.key(0), 2))
    many = jax.tree.map(lambda leaf: np.stack([leaf, leaf]), one)
    generated = jax.tree.map(np.asarray, model.generate(batch))
    image = np.zeros((12, 16, 3), np.float32)
    spec = weights_lib.spec_of(one)
    opened = open_store(store)
    data_range = (0.0, 1.0)
    encoder = encoders.constant(spec=model.spec)
    files.write_weights(folder / 'w.npz', one, siren.metadata)
    np.save(folder / 'i.npy', np.uint8(image))
    np.save(folder / 't.npy', np.zeros((2, 3, 2, 2), np.float32))
    factory = {'channels': 3, 'width': 8, 'depth': 2}
    hyper = {'inr': siren, 'encoder': encoder}
    fit = {'inr': siren, 'weights': many, 'datapoints': batch, 'optimizer': optax.adam(1e-3), 'num_steps': 1}
    rows = [
        ('hyperinr.load', hyperinr.load, {'run_dir': run, 'best': False}),
        ('Model.generate', model.generate, {'datapoints': batch}),
        ('Model.finetune', model.finetune, {'datapoints': batch, 'num_steps': 1, 'record_steps': (0, 1)}),
        ('Model.reconstruct', model.reconstruct, {'weights': generated, 'shape': (4, 5)}),
        ('fitting.fit', fitting.fit, {**fit, 'record_steps': (0, 1)}),
        ('metrics.psnr', metrics.psnr, {'predicted': batch.values, 'values': batch.values, 'weight': batch.weight,
                                        'data_range': data_range}),
        ('metrics.mean_squared_error', metrics.mean_squared_error, {'predicted': batch.values, 'values': batch.values,
                                                                    'weight': batch.weight}),
        ('metrics.signal_to_noise_ratio', metrics.signal_to_noise_ratio,
         {'predicted': batch.values, 'values': batch.values, 'weight': batch.weight}),
        ('metrics.latitude_weighted_rmse', metrics.latitude_weighted_rmse,
         {'predicted': image, 'values': image, 'weight': image[..., 0]}),
        ('metrics.log_spectral_distance', metrics.log_spectral_distance,
         {'predicted': batch.values, 'values': batch.values, 'weight': batch.weight[0], 'data_range': data_range,
          'frame_size': 16, 'hop_size': 4}),
        ('metrics.spectra_db', metrics.spectra_db,
         {'values': batch.values[0, :, 0], 'data_range': data_range, 'frame_size': 16, 'hop_size': 4}),
        ('metrics.chamfer_distance', metrics.chamfer_distance, {'points': np.eye(3), 'others': np.eye(3)}),
        ('metrics.psnr_from_mse', metrics.psnr_from_mse, {'mse': np.float32(0.1), 'data_range': data_range}),
        ('metrics.intersection_over_union', metrics.intersection_over_union,
         {'first': np.ones((2, 3), bool), 'second': np.ones((2, 3), bool), 'weight': np.ones((2, 3), np.float32)}),
        ('metrics.ssim', metrics.ssim, {'predicted': image, 'values': image, 'weight': image[..., 0],
                                        'data_range': data_range, 'window_size': 11, 'sigma': 1.5}),
        ('weights.flatten', weights_lib.flatten, {'weights': one, 'spec': spec}),
        ('weights.unflatten', weights_lib.unflatten,
         {'vector': np.zeros((2, weights_lib.count(spec)), np.float32), 'spec': spec}),
        ('weights.spec_of', weights_lib.spec_of, {'weights': one}),
        ('weights.spec_of_inr', weights_lib.spec_of_inr, {'inr': siren, 'coord_dims': 2}),
        ('coordinates.grid', coordinates.grid, {'shape': (3, 4)}),
        ('open_store', open_store, {'folder': store, 'start': 0, 'end': 4}),
        ('store.weights', opened.weights, {'rows': [0, 1]}),
        ('store.pytrees', opened.pytrees, {'rows': [0, 1]}),
        ('store.where', opened.where, {'status': 'ok', 'split': 'train', 'seed': (3, 5)}),
        ('store.split', opened.split, {'fractions': {'a': 0.5, 'b': 0.5}, 'seed': 0, 'rows': [0, 1]}),
        ('store.column', opened.column, {'name': 'seed'}),
        ('files.read_image', files.read_image, {'path': folder / 'i.npy', 'channels': 3, 'data_range': None}),
        ('files.read_weights', files.read_weights, {'path': folder / 'w.npz'}),
        ('files.write_weights', files.write_weights, {'path': folder / 'o.npz', 'weights': one,
                                                      'metadata': dict(siren.metadata)}),
        ('files.fold_omega', files.fold_omega, {'weights': one, 'metadata': dict(siren.metadata)}),
        ('files.torch_state_dict', files.torch_state_dict, {'weights': one}),
        ('files.resize', files.resize, {'image': image, 'shape': (4, 5)}),
        ('files.letterbox', files.letterbox, {'image': image, 'shape': (4, 5)}),
        ('datasets.continuous_function', datasets.continuous_function,
         {'resolution': (4, 4), 'channels': 3, 'num_train': 2, 'num_validation': 1, 'num_test': 1, 'seed': 0,
          'sampling': 'grid', 'num_points': None, 'data_dir': str(folder)}),
        ('datasets.from_arrays', datasets.from_arrays,
         {'train': np.linspace(0, 1, 60, dtype=np.float32).reshape(5, 3, 2, 2), 'test': str(folder / 't.npy'),
          'data_range': (0.0, 1.0), 'kind': None, 'spacing': (1.0, 2.0), 'seed': 0, 'name': 'a'}),
        ('datasets.from_arrays of points', datasets.from_arrays,
         {'train': (np.zeros((5, 3, 2)), np.linspace(0, 1, 15).reshape(5, 3, 1)), 'layout': 'pixel_centres'}),
        ('datasets.image_folder', datasets.image_folder,
         {'path': str(folder.parent / 'images'), 'resolution': (4, 4), 'channels': 3, 'validation_fraction': 0.2,
          'test_fraction': 0.2, 'augment': False, 'in_memory': True, 'data_range': None, 'data_dir': str(folder)}),
        ('datasets.noise_images', datasets.noise_images,
         {'resolution': (4, 4), 'channels': 3, 'exponent': 1.0, 'contrast': 0.2, 'seed': 0, 'data_dir': str(folder)}),
        ('inrs.siren', inrs.siren, {**factory, 'omega_0': 30.0, 'hidden_omega_0': 30.0, 'initialisation': None}),
        ('inrs.finer', inrs.finer, factory),
        ('inrs.wire', inrs.wire, factory),
        ('inrs.gabor_net', inrs.gabor_net, factory),
        ('inrs.relu_mlp', inrs.relu_mlp, factory),
        ('inrs.from_metadata', inrs.from_metadata, {'metadata': dict(siren.metadata)}),
        ('encoders.convolutional', encoders.convolutional,
         {'spec': model.spec, 'embedding_dims': 4, 'base_channels': 4, 'num_stages': 1}),
        ('encoders.set_encoder', encoders.set_encoder,
         {'spec': model.spec, 'embedding_dims': 4, 'width': 4, 'depth': 1}),
        ('encoders.patch_transformer', encoders.patch_transformer,
         {'spec': model.spec, 'embedding_dims': 64, 'patch_size': 4, 'width': 8, 'depth': 1, 'num_heads': 2}),
        ('hypernetworks.weight_heads', hypernetworks.weight_heads,
         {**hyper, 'trunk': (4,), 'initial_delta': 0.1, 'head_gain': 1.0, 'combine': 'additive'}),
        ('hypernetworks.low_rank', hypernetworks.low_rank, {**hyper, 'trunk': (4,), 'rank': 2}),
        ('hypernetworks.modulations', hypernetworks.modulations, {**hyper, 'latent_dims': 4, 'kind': 'shift'}),
        ('meta_learning.meta_learner', meta_learning.meta_learner,
         {'hypernetwork': hypernetworks.weight_heads(**hyper), 'inr': siren, 'optimizer': optax.adam(1e-3),
          'num_steps': 1, 'data_range': data_range, 'group_size': None, 'average_decay': 0.99}),
        ('meta_learning.adam_cosine', meta_learning.adam_cosine, {'num_steps': 3, 'learning_rate': 1e-3}),
    ]  # fmt: skip
    return tuple(Call(*row) for row in rows)


def _changed(value: Any, rng: np.random.Generator) -> tuple[str, Any]:
    """Return a wrong argument in place of ``value``, with its name; of a structure, often one wrong leaf."""
    deep = rng.random() < 0.7
    if isinstance(value, Datapoint) and deep:
        field = str(rng.choice(['coords', 'values', 'weight', 'index']))
        name, changed = _changed(getattr(value, field), rng)
        return f'{field}={name}', value._replace(**{field: changed})
    if isinstance(value, Mapping) and value and deep:
        key = list(value)[int(rng.integers(len(value)))]
        if rng.random() < 0.2:
            return f'without {key!r}', {name: item for name, item in value.items() if name != key}
        name, changed = _changed(value[key], rng)
        return f'{key!r}: {name}', {**value, key: changed}
    if isinstance(value, tuple | list) and value and deep and not hasattr(value, '_fields'):
        name, changed = _changed(value[0], rng)
        return f'[{name}, ...]', type(value)([changed, *value[1:]])
    if isinstance(value, np.ndarray) and deep:
        choices = altered(value)
        changed = choices[int(rng.integers(len(choices)))]
    else:
        changed = ARGUMENTS[int(rng.integers(len(ARGUMENTS)))]
    if isinstance(changed, np.ndarray):
        return f'{changed.dtype}{list(changed.shape)} {changed.ravel()[:1]}', changed
    return repr(changed)[:80], changed


def library(rng: np.random.Generator, rows: tuple[Call, ...]) -> Try:
    """A call with one wrong argument."""
    chosen = rows[int(rng.integers(len(rows)))]
    argument = list(chosen.arguments)[int(rng.integers(len(chosen.arguments)))]
    name, changed = _changed(chosen.arguments[argument], rng)
    arguments = {**chosen.arguments, argument: changed}

    def call() -> None:
        result = chosen.function(**arguments)
        if callable(getattr(result, 'init', None)) and chosen.name.startswith('inrs.'):
            jax.eval_shape(lambda key: result.init(key, 2), jax.random.key(0))

    return Try(f'library: {chosen.name} {argument}', f'{chosen.name}({argument}={name})', call)
