"""Implicit neural representations as pure functions: factories -> `hyperinr.types.Inr`.

No hypernetwork and no training here. To add one: one file with one factory, an entry in `hyperinr.inrs.families`, a row
in `tests/parts.py`, a gin file. An MLP needs its activation alone: `hyperinr.inrs.coordinate_mlp` is the rest, and
`hyperinr.inrs.initialisation` what its weights can be drawn by.
"""

from hyperinr.inrs.adaptive_hosc import adaptive_hosc
from hyperinr.inrs.exp_sin import exp_sin
from hyperinr.inrs.families import FAMILIES, from_metadata
from hyperinr.inrs.feature_grid import feature_grid
from hyperinr.inrs.finer import finer
from hyperinr.inrs.fourier_mlp import fourier_mlp
from hyperinr.inrs.fourier_net import fourier_net
from hyperinr.inrs.gabor_net import gabor_net
from hyperinr.inrs.gaussian import gaussian
from hyperinr.inrs.gelu_mlp import gelu_mlp
from hyperinr.inrs.hash_grid import hash_grid
from hyperinr.inrs.hosc import hosc
from hyperinr.inrs.laplacian import laplacian
from hyperinr.inrs.multi_quadratic import multi_quadratic
from hyperinr.inrs.quadratic import quadratic
from hyperinr.inrs.real_wire import real_wire
from hyperinr.inrs.relu_mlp import relu_mlp
from hyperinr.inrs.sinc import sinc
from hyperinr.inrs.siren import siren
from hyperinr.inrs.super_gaussian import super_gaussian
from hyperinr.inrs.wire import wire

__all__ = [
    'FAMILIES',
    'adaptive_hosc',
    'exp_sin',
    'feature_grid',
    'finer',
    'fourier_mlp',
    'fourier_net',
    'from_metadata',
    'gabor_net',
    'gaussian',
    'gelu_mlp',
    'hash_grid',
    'hosc',
    'laplacian',
    'multi_quadratic',
    'quadratic',
    'real_wire',
    'relu_mlp',
    'sinc',
    'siren',
    'super_gaussian',
    'wire',
]
