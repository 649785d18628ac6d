"""What a hypernetwork sees of a datapoint: factories -> `hyperinr.types.Encoder`, Datapoint -> embedding ``[E]``.

To add one: one file with one factory that takes ``spec``, a row in `tests/parts.py`, a gin file.
"""

from hyperinr.encoders.constant import constant
from hyperinr.encoders.convolutional import convolutional
from hyperinr.encoders.dense import dense
from hyperinr.encoders.set_encoder import set_encoder

__all__ = ['constant', 'convolutional', 'dense', 'set_encoder']
