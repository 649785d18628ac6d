"""The smallest complete model and dataset that the tests of everything above the learner share."""

import functools

import jax
import numpy as np
import optax

from hyperinr import coordinates, encoders, hypernetworks, inrs, meta_learning
from hyperinr.datasets import stack
from hyperinr.model import Model
from hyperinr.types import Datapoint, DatasetSpec


class Waves:
    """A source of smooth pictures, each another plane wave."""

    def __init__(self, spec, num_datapoints, *, seed=0):
        self.spec = spec
        self.num_datapoints = num_datapoints
        self.seed = seed

    def __len__(self):
        return self.num_datapoints

    def __getitem__(self, index):
        if not 0 <= index < self.num_datapoints:
            raise IndexError(index)
        rng = np.random.default_rng((self.seed, index))
        coords = coordinates.grid(self.spec.grid_shape, self.spec.layout)
        frequencies = rng.uniform(-3, 3, (self.spec.coord_dims, self.spec.channels))
        phases = coords @ frequencies + rng.uniform(0, 6, self.spec.channels)
        low, high = self.spec.data_range
        values = low + (high - low) * (0.5 + 0.4 * np.sin(phases)).astype(np.float32)
        return Datapoint(coords, values, np.ones(len(coords), np.float32), np.int32(index))

    def origin(self, index):
        return self.names(index)

    def names(self, index):
        return f'wave {index}'


class Batched(Waves):
    """Waves that are also read in batches."""

    def batch(self, indices, epoch=None):
        del epoch
        return stack([self[int(index)] for index in indices])


def make_spec(*, grid_shape=(12, 16), channels=3, data_range=(0.0, 1.0)):
    return DatasetSpec('waves', grid_shape, int(np.prod(grid_shape)), len(grid_shape), channels, data_range)


def make_learner(spec, *, num_steps=2, constant=False, width=8):
    inr = inrs.siren(channels=spec.channels, width=width, depth=2, omega_0=6.0, hidden_omega_0=3.0)
    if constant:
        encoder = encoders.constant(spec=spec)
    else:
        encoder = encoders.convolutional(spec=spec, embedding_dims=8, base_channels=4, num_stages=1)
    hypernetwork = hypernetworks.weight_heads(inr=inr, encoder=encoder, trunk=(8,))
    return meta_learning.meta_learner(
        hypernetwork=hypernetwork, inr=inr, optimizer=optax.adam(1e-3), num_steps=num_steps, data_range=spec.data_range
    )


@functools.cache
def make_model(*, constant=False, num_steps=2, spec=None):
    spec = spec or make_spec()
    learner = make_learner(spec, num_steps=num_steps, constant=constant)
    return Model(learner, learner.init(jax.random.key(0), Waves(spec, 1)[0]).params, spec, {'run': 'tiny', 'step': 0})
