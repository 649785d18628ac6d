"""Your own arrays: fields of temperature, from kelvin to weights and back. Run: python examples/own_arrays.py"""

import sys
from functools import partial

import numpy as np

import hyperinr
from hyperinr import datasets, inrs, metrics

rng = np.random.default_rng(0)
rows, columns = np.meshgrid(*[np.linspace(0, 1, 24)] * 2, indexing='ij')
down, across, phase = rng.uniform(2, 9, (3, 256, 1, 1))
kelvin = 280 + 20 * np.sin(down * rows + phase) * np.cos(across * columns)  # [256, 24, 24]

dataset = datasets.from_arrays(train=kelvin[..., None], data_range=(250, 310))  # [n, *grid, C]
model = hyperinr.train(
    dataset,
    'runs/own_arrays',
    inr=partial(inrs.siren, width=32),
    num_steps=int(sys.argv[1]) if len(sys.argv) > 1 else 300,
)

fields = dataset.splits['test'].batch(range(8))
fitted = model.finetune(fields, num_steps=10)
psnr_db = np.asarray(metrics.psnr_from_mse(fitted.mse, model.spec.data_range)).mean(axis=0)
print('PSNR in dB after 0, 1, ... steps:', psnr_db.round(1))

model.save('models/own_arrays')
weights = hyperinr.load('models/own_arrays').generate(fields)
larger = model.spec.to_source_units(model.reconstruct(weights, (96, 96)))  # [8, 96, 96, 1], kelvin
print(f'on a grid of 96 x 96: {larger.min():.0f} to {larger.max():.0f} K')
