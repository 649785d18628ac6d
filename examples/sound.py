"""Sounds: windows of a synthesised voice at 8 kHz. Run: python examples/sound.py"""

import sys
from functools import partial

import numpy as np

import hyperinr
from hyperinr import datasets, encoders, inrs, metrics

RATE, WINDOW = 8000, 256  # Hz, samples


def voice(rng: np.random.Generator) -> np.ndarray:
    """Return one window ``[256, 1]`` in [-1, 1] of a vowel: harmonics of a pitch, strong near two formants."""
    time = np.arange(WINDOW) / RATE
    pitch, *formants = rng.uniform((90, 300, 900), (180, 800, 1800))
    harmonics = pitch * np.arange(1, 12)[:, None]
    strength = sum(np.exp(-(((harmonics - formant) / 200) ** 2)) for formant in formants) + 0.02
    sound = (strength * np.sin(2 * np.pi * harmonics * time + rng.uniform(0, 6, (11, 1)))).sum(axis=0)
    return 0.9 * (sound / np.abs(sound).max())[:, None]


rng = np.random.default_rng(0)
sounds = np.stack([voice(rng) for _ in range(512)])  # [512, 256, 1]
dataset = datasets.from_arrays(train=sounds, data_range=(-1, 1), kind='sound', spacing=(1 / RATE,))
model = hyperinr.train(
    dataset,
    'runs/sound',
    inr=partial(inrs.siren, width=32, omega_0=100.0),
    encoder=partial(encoders.dense, embedding_dims=128),
    num_steps=int(sys.argv[1]) if len(sys.argv) > 1 else 600,
)
mse = model.finetune(dataset.splits['test'].batch(range(16)), num_steps=10).mse
psnr_db = np.asarray(metrics.psnr_from_mse(mse, (-1, 1))).mean(axis=0)
print('PSNR in dB after 0, 1, ... steps:', psnr_db.round(1))
