"""Neural datasets: one INR for each signal and seed, fitted, stored, verified and read.

`open_store` reads a store, `neural_dataset` is what a config says of one, `verify` checks it; the format is
``docs/neural_datasets.md``. `plan` puts a job together, `worker` does it, `hyperinr.launching` starts many workers.
How an INR is fitted is `hyperinr.fitting`'s business; formats of others are in `hyperinr.neural_datasets.exchange`.
"""

from hyperinr.neural_datasets.plan import Plan, neural_dataset
from hyperinr.neural_datasets.store import NeuralDataset, open_store
from hyperinr.neural_datasets.verification import verify
from hyperinr.neural_datasets.weight_source import ExampleSource, WeightSource, weight_dataset

__all__ = [
    'ExampleSource',
    'NeuralDataset',
    'Plan',
    'WeightSource',
    'neural_dataset',
    'open_store',
    'verify',
    'weight_dataset',
]
