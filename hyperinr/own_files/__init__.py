"""A model, or a plain INR, applied to a user's own files: ``generate``, ``finetune`` and ``fit-one``.

`generate_files` and `finetune_files` go from files to weights with a trained model, `fit_image` without one, from a
start of `single_starts` if wanted. How files are read and weights are written is in `hyperinr.files`.
"""

from hyperinr.own_files.generation import FileResult, finetune_files, generate_files, print_results
from hyperinr.own_files.single_fit import SingleFit, fit_image
from hyperinr.own_files.single_starts import datapoint_of, start_from_file, start_from_model

__all__ = [
    'FileResult',
    'SingleFit',
    'datapoint_of',
    'finetune_files',
    'fit_image',
    'generate_files',
    'print_results',
    'start_from_file',
    'start_from_model',
]
