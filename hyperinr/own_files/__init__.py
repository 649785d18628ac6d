"""A model or a plain INR applied to the user's own files: ``generate``, ``finetune`` and ``fit-one``.

`generate_files` and `finetune_files` turn files into weights with a trained model. `fit_file` fits one file without a
model; `sizes` chooses what it leaves open, `single_starts` has its optional starts. `decode_files` makes the signals of
files of weights. The readers and writers are in `hyperinr.kinds`.
"""

from hyperinr.own_files.decoding import decode_files
from hyperinr.own_files.generation import FileResult, finetune_files, generate_files, name_of, print_results
from hyperinr.own_files.model_signals import datapoint_of
from hyperinr.own_files.single_fit import SingleFit, fit_file
from hyperinr.own_files.single_starts import start_from_file, start_from_model

__all__ = [
    'FileResult',
    'SingleFit',
    'datapoint_of',
    'decode_files',
    'finetune_files',
    'fit_file',
    'generate_files',
    'name_of',
    'print_results',
    'start_from_file',
    'start_from_model',
]
