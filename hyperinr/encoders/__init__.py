"""Encoders of datapoints: factories -> `hyperinr.types.Encoder`, Datapoint -> embedding ``[E]``.

To add one: one file with one factory that takes ``spec``, a row in `tests/parts.py`, a gin file. Encoders share
`observations` and `attention`.
"""

from hyperinr.encoders.constant import constant
from hyperinr.encoders.convolutional import convolutional
from hyperinr.encoders.dense import dense
from hyperinr.encoders.label_embedding import label_embedding
from hyperinr.encoders.patch_transformer import patch_transformer
from hyperinr.encoders.residual import residual
from hyperinr.encoders.set_encoder import set_encoder
from hyperinr.encoders.set_transformer import set_transformer
from hyperinr.encoders.table import table

__all__ = [
    'constant',
    'convolutional',
    'dense',
    'label_embedding',
    'patch_transformer',
    'residual',
    'set_encoder',
    'set_transformer',
    'table',
]
