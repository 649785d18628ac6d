"""INR weights as files: writing and reading them, and making them from the user's own images.

`write_weights` and `read_weights` are the formats, `fold_omega` the rescaling for readers that know no ``omega_0``;
`generate_files` and `finetune_files` go from images to weights with a trained model,
`fit_image` without one, from a start of `hyperinr.neural_datasets.starts` if wanted. Another format is one entry in
`hyperinr.neural_datasets.weight_files`.
"""

from hyperinr.neural_datasets.generation import FileResult, finetune_files, generate_files, print_results
from hyperinr.neural_datasets.single_fit import SingleFit, fit_image
from hyperinr.neural_datasets.starts import start_from_file, start_from_model
from hyperinr.neural_datasets.weight_files import FORMATS, fold_omega, read_weights, torch_state_dict, write_weights

__all__ = [
    'FORMATS',
    'FileResult',
    'SingleFit',
    'finetune_files',
    'fit_image',
    'fold_omega',
    'generate_files',
    'print_results',
    'read_weights',
    'start_from_file',
    'start_from_model',
    'torch_state_dict',
    'write_weights',
]
