"""Volumes: small synthetic scans of ellipsoids. Run: python examples/volume.py"""

import sys
from functools import partial

import numpy as np

import hyperinr
from hyperinr import coordinates, datasets, encoders, inrs, metrics

SIZE = (8, 10, 10)


def scan(rng: np.random.Generator) -> np.ndarray:
    """Return a volume ``[8, 10, 10, 1]`` of 12-bit values: a body with two organs, blurred edges."""
    at, volume = coordinates.grid(SIZE), np.zeros(np.prod(SIZE))
    for radius, bright in ((0.8, 1500), (0.3, 1000), (0.2, -900)):
        centre = rng.uniform(-0.4, 0.4, 3) * (radius < 0.8)
        axes = radius * rng.uniform(0.8, 1.2, 3)
        volume += bright / (1 + np.exp(12 * (np.linalg.norm((at - centre) / axes, axis=1) - 1)))
    return volume.clip(0, 4095).astype(np.uint16).reshape(*SIZE, 1)


rng = np.random.default_rng(0)
volumes = np.stack([scan(rng) for _ in range(256)])
dataset = datasets.from_arrays(train=volumes, data_range=(0, 4095), kind='volume', spacing=(3.0, 2.0, 2.0))
model = hyperinr.train(
    dataset,
    'runs/volume',
    inr=partial(inrs.siren, width=32, omega_0=10.0),
    encoder=partial(encoders.set_encoder, embedding_dims=128, width=64),
    num_steps=int(sys.argv[1]) if len(sys.argv) > 1 else 300,
)
mse = model.finetune(dataset.splits['test'].batch(range(8)), num_steps=10).mse
psnr_db = np.asarray(metrics.psnr_from_mse(mse, (0, 1))).mean(axis=0)
print('PSNR in dB after 0, 1, ... steps:', psnr_db.round(1))
