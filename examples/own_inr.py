"""An INR of your own: Gaussian bumps that move. Run: python examples/own_inr.py"""

import sys

import jax
import jax.numpy as jnp
import numpy as np

import hyperinr
from hyperinr import datasets, metrics
from hyperinr.types import Inr


def bumps(*, channels: int, number: int = 64) -> Inr:
    """Make an INR ``sum_i h_i exp(-|s_i (x - c_i)|^2)``: the output layer has the heights ``h``."""

    def init(key, coord_dims):
        at, height = jax.random.split(key)
        centres = jax.random.uniform(at, (coord_dims, number), minval=-1, maxval=1)
        output = {'w': 0.1 * jax.random.normal(height, (number, channels)), 'b': jnp.full(channels, 0.5)}
        return {'layer_0': {'w': centres, 'b': jnp.full(number, 3.0)}, 'layer_1': output}

    def apply(weights, coords):
        centres, sharpness = weights['layer_0']['w'], weights['layer_0']['b']
        distance = jnp.sum((coords[:, :, None] - centres[None]) ** 2, axis=1)
        return jnp.exp(-((sharpness**2)[None] * distance)) @ weights['layer_1']['w'] + weights['layer_1']['b'][None]

    return Inr(init, apply, {'kind': 'bumps', 'number': number})


rows, columns = np.meshgrid(*[np.linspace(-1, 1, 16)] * 2, indexing='ij')
y, x = np.random.default_rng(0).uniform(-0.7, 0.7, (2, 256, 3, 1, 1))
images = np.exp(-8 * ((rows - y) ** 2 + (columns - x) ** 2)).max(axis=1)[..., None]
dataset = datasets.from_arrays(train=images, data_range=(0, 1))
num_steps = int(sys.argv[1]) if len(sys.argv) > 1 else 400
model = hyperinr.train(dataset, 'runs/own_inr', inr=bumps, num_steps=num_steps)
mse = hyperinr.load('runs/own_inr', inr=bumps).finetune(dataset.splits['test'].batch(range(8)), num_steps=10).mse
psnr_db = np.asarray(metrics.psnr_from_mse(mse, (0, 1))).mean(axis=0)
print('PSNR in dB after 0, 1, ... steps:', psnr_db.round(1))
