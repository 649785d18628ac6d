"""Implicit neural representations as pure functions: factories -> `hyperinr.types.Inr`.

No hypernetwork and no training here. To add one: one file with one factory, a row in `tests/parts.py`, a gin file.
"""

from hyperinr.inrs.relu_mlp import relu_mlp
from hyperinr.inrs.siren import siren

__all__ = ['relu_mlp', 'siren']
