"""An encoder of your own: Fourier coefficients of scattered measurements. Run: python examples/own_encoder.py"""

import sys
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np

import hyperinr
from hyperinr import datasets, inrs, metrics
from hyperinr.types import DatasetSpec, Encoder


def fourier_coefficients(*, spec: DatasetSpec, order: int = 6, dims: int = 64) -> Encoder:
    """Make an encoder: the means of the values times sines and cosines of the coordinates, and one learned layer."""
    waves = np.pi / 2 * np.indices([2 * order + 1] * spec.coord_dims).reshape(spec.coord_dims, -1) - np.pi / 2 * order

    def init(key, datapoint):
        return {'w': jax.random.normal(key, (2 * waves.shape[1] * spec.channels, dims)) / np.sqrt(waves.shape[1])}

    def apply(params, datapoint):
        angles = datapoint.coords @ waves
        weight = datapoint.weight[:, None] / datapoint.weight.sum()
        basis = jnp.concatenate([jnp.sin(angles), jnp.cos(angles)], axis=-1)
        return jnp.tanh((basis.T @ (weight * datapoint.values)).ravel() @ params['w'] * 10)

    return Encoder(init, apply)


rng = np.random.default_rng(0)
coords = rng.uniform(-1, 1, (256, 200, 2))  # other places for each signal
slope, phase = rng.uniform(-5, 5, (256, 2, 1)), rng.uniform(0, 6, (256, 1, 1))
dataset = datasets.from_arrays(train=(coords, 0.5 + 0.4 * np.sin(coords @ slope + phase)))
model = hyperinr.train(dataset, 'runs/own_encoder', encoder=fourier_coefficients, inr=partial(inrs.siren, width=32),
                       num_steps=int(sys.argv[1]) if len(sys.argv) > 1 else 400)  # fmt: skip
mse = model.finetune(dataset.splits['test'].batch(range(8)), num_steps=10).mse
psnr_db = np.asarray(metrics.psnr_from_mse(mse, (0, 1))).mean(axis=0)
print('PSNR in dB after 0, 1, ... steps:', psnr_db.round(1))
