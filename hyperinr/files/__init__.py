"""Readers and writers, one file a kind: images, the weights of an INR, surfaces.

`write_weights` and `read_weights` are the formats of weights, `fold_omega` the rescaling for readers that know no
``omega_0``. To add a format of weights: one entry in `hyperinr.files.weights`. What is done with a file is elsewhere.
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
