"""Mistakes to make in real configs: factories that a gin file binds like any other part."""

import math

import jax
import jax.numpy as jnp
import numpy as np
import optax

from hyperinr import datasets, encoders, meta_learning
from hyperinr.datasets.base import Dataset, stack

__all__ = ['FAULTS', 'dead_encoder', 'faulty_images', 'partly_frozen']

SHAPE = (12, 16)


def _only(positions, change):
    """``change`` on the datapoints at these positions alone."""
    return lambda datapoint: change(datapoint) if int(datapoint.index) in positions else datapoint


def _pictures(values):
    return values.reshape(*SHAPE, -1)


def _values(change):
    return lambda datapoint: datapoint._replace(values=np.ascontiguousarray(change(datapoint.values), np.float32))


def _coords(change):
    return lambda datapoint: datapoint._replace(coords=np.asarray(change(datapoint.coords), np.float32))


def _spoilt(values):
    values = values.copy()
    values[7, 1] = np.nan
    return values


def _edges(coords):
    """Pixel corners in [-1, 1] in place of their centres."""
    del coords
    axes = (np.linspace(-1, 1, size) for size in SHAPE)
    return np.stack(np.meshgrid(*axes, indexing='ij'), axis=-1).reshape(-1, 2)


FAULTS = {
    'none': lambda datapoint: datapoint,
    'scaled twice': _values(lambda values: values / 255),
    'scaled to [-1, 1] twice': _values(lambda values: 4 * values - 3),
    'not scaled': _values(lambda values: 255 * values),
    'overshoot': _values(lambda values: 1.1 * values),
    'little range': _values(lambda values: 0.4 + 0.2 * values),
    'constant': _only(range(0, 24, 1), _values(lambda values: np.broadcast_to(values[:1], values.shape))),
    'some constant': _only(range(0, 24, 4), _values(lambda values: np.broadcast_to(values[:1], values.shape))),
    'grey': _values(lambda values: np.repeat(values[:, :1], 3, axis=1)),
    'one channel': _values(lambda values: values[:, :1]),
    'channels first': _values(lambda values: _pictures(values).transpose(2, 0, 1).reshape(values.shape)),
    'columns first': _values(lambda values: _pictures(values).transpose(1, 0, 2).reshape(values.shape)),
    'transposed grid': _coords(lambda coords: coords[:, ::-1]),
    'corners': _coords(_edges),
    'NaN pixel': _only({5}, _values(_spoilt)),
    'empty mask': _only({3}, lambda datapoint: datapoint._replace(weight=np.zeros_like(datapoint.weight))),
    'negative weight': _only({3}, lambda datapoint: datapoint._replace(weight=-datapoint.weight)),
    'half hidden': lambda datapoint: datapoint._replace(weight=np.repeat(np.float32([0, 1]), math.prod(SHAPE) // 2)),
    'one label': lambda datapoint: datapoint._replace(label=np.int32(3)),
    'counted pixels': _coords(lambda coords: (coords + 1) / 2 * SHAPE),
    'points missing': _only({3}, lambda datapoint: datapoint._replace(values=datapoint.values[:-1])),
}


class Faulty:
    """A source whose datapoints a fault has gone through."""

    labels = None

    def __init__(self, source, change, copies=1):
        self._source, self._change, self._copies = source, change, copies

    def __len__(self):
        return len(self._source)

    def __getitem__(self, index):
        return self._change(self._source[int(index) // self._copies * self._copies])

    def sample(self, index, epoch):
        del epoch
        return self[index]

    def batch(self, indices, epoch=None):
        del epoch
        return stack([self[int(index)] for index in indices])

    def names(self, index):
        return self._source.names(index)


def faulty_images(*, fault='none', data_range=(0.0, 1.0), copies=1, leak=False, grid=True):
    """24 + 8 + 8 smooth pictures of 12 x 16 pixels.

    Args:
      fault: one of `FAULTS`.
      data_range: what the specification states.
      copies: number of equal pictures in a row.
      leak: whether the validation split is the training split.
      grid: whether the specification states the grid.
    """
    dataset = datasets.noise_images(resolution=SHAPE, exponent=2.0, num_train=24, num_validation=8, num_test=8)
    change = FAULTS[fault]
    splits = {name: Faulty(source, change, copies) for name, source in dataset.splits.items()}
    if leak:
        splits['validation'] = splits['train']
    spec = dataset.spec._replace(data_range=tuple(data_range))
    if fault == 'one label':
        spec = spec._replace(num_labels=10)
    return Dataset(spec if grid else spec._replace(grid_shape=None), splits)


def dead_encoder(*, spec, kind='zeros'):
    """Dead in its output (``'zeros'``) or in its gradient (``'stopped'``)."""
    living = encoders.convolutional(spec=spec, embedding_dims=8, base_channels=4, num_stages=1)
    dead = jnp.zeros_like if kind == 'zeros' else jax.lax.stop_gradient
    return living._replace(apply=lambda params, datapoint: dead(living.apply(params, datapoint)))


def partly_frozen(*, num_steps, module='heads/head_1'):
    """The usual optimiser, which leaves out one module."""

    def frozen(params):
        path_of = lambda path: '/'.join(str(key.key) for key in path)
        return jax.tree.map_with_path(lambda path, leaf: path_of(path).startswith(f'{module}/'), params)

    return optax.chain(meta_learning.adam_cosine(num_steps=num_steps), optax.masked(optax.set_to_zero(), frozen))
