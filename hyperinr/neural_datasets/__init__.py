"""INR weights on disk: single files, and neural datasets of one INR per signal and seed.

Single files: `write_weights` and `read_weights` are the formats, `fold_omega` the rescaling for readers that know no
``omega_0``; `generate_files` and `finetune_files` go from images to weights with a trained model,
`fit_image` without one, from a start of `hyperinr.neural_datasets.single_starts` if wanted. Another format is
one entry in `hyperinr.neural_datasets.weight_files`.

Neural datasets: `open_store` reads one, `neural_dataset` is what a config says of one, `verify` checks it; the format
is ``docs/neural_datasets.md``. `plan` puts a job together, `worker` does it, `hyperinr.launching` starts many workers.
How an INR is fitted is `hyperinr.fitting`'s business.
"""

from hyperinr.neural_datasets.generation import FileResult, finetune_files, generate_files, print_results
from hyperinr.neural_datasets.plan import Plan, neural_dataset
from hyperinr.neural_datasets.single_fit import SingleFit, fit_image
from hyperinr.neural_datasets.single_starts import datapoint_of, start_from_file, start_from_model
from hyperinr.neural_datasets.store import NeuralDataset, open_store
from hyperinr.neural_datasets.verification import verify
from hyperinr.neural_datasets.weight_files import FORMATS, fold_omega, read_weights, torch_state_dict, write_weights
from hyperinr.neural_datasets.weight_source import ExampleSource, WeightSource, weight_dataset

__all__ = [
    'FORMATS',
    'ExampleSource',
    'FileResult',
    'NeuralDataset',
    'Plan',
    'SingleFit',
    'WeightSource',
    'datapoint_of',
    'finetune_files',
    'fit_image',
    'fold_omega',
    'generate_files',
    'neural_dataset',
    'open_store',
    'print_results',
    'read_weights',
    'start_from_file',
    'start_from_model',
    'torch_state_dict',
    'verify',
    'weight_dataset',
    'write_weights',
]
