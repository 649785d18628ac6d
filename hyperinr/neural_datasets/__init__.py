"""Neural datasets: one INR for each signal and seed, fitted, stored, verified and read.

`open_store` reads a store and `verify` checks it. `neural_dataset` describes one in a config. The format is
documented in ``docs/neural_datasets.md``. `plan` puts a job together, `worker` does it, and `hyperinr.launching`
starts many workers. `hyperinr.fitting` fits the INRs. `hyperinr.neural_datasets.exchange` holds other formats.
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
