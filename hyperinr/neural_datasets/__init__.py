"""INR weights as files: writing and reading them, and making them from the user's own images.

`write_weights` and `read_weights` are the formats, `fold_omega` the rescaling for readers that know no ``omega_0``;
`generate_files` and `finetune_files` go from images to weights with a trained model. Another format is one entry in
`hyperinr.neural_datasets.weight_files`.
"""

from hyperinr.neural_datasets.generation import FileResult, finetune_files, generate_files, print_results
from hyperinr.neural_datasets.weight_files import FORMATS, fold_omega, read_weights, torch_state_dict, write_weights

__all__ = [
    'FORMATS',
    'FileResult',
    'finetune_files',
    'fold_omega',
    'generate_files',
    'print_results',
    'read_weights',
    'torch_state_dict',
    'write_weights',
]
