"""Readers and writers of files, one module for each kind: images, arrays, meshes, NetCDF, weights, models, surfaces.

`write_weights` and `read_weights` handle the formats of weights. `fold_omega` rescales weights for readers without an
``omega_0``. To add a format of weights: one entry in `hyperinr.files.weights`. The uses of the files are elsewhere.
"""

from hyperinr.files.images import letterbox, read_image, resize
from hyperinr.files.weights import FORMATS, fold_omega, read_weights, torch_state_dict, write_weights

__all__ = [
    'FORMATS',
    'fold_omega',
    'letterbox',
    'read_image',
    'read_weights',
    'resize',
    'torch_state_dict',
    'write_weights',
]
