"""Implicit neural representations as pure functions: factories -> `hyperinr.types.Inr`.

Hypernetworks and training are elsewhere. To add one: a factory beside similar ones, an entry in ``FAMILIES`` of its
file (`hyperinr.inrs.families` lists the files), a row in `tests/parts.py`, a gin file. The factory of an MLP states its
activation and its initialisation and is decorated with `hyperinr.inrs.coordinate_mlp.coordinate_mlp`.
`hyperinr.inrs.initialisation` has the rules by which weights are drawn.
"""

from hyperinr.inrs.activation_mlps import exp_sin, gaussian, laplacian, multi_quadratic, quadratic, sinc, super_gaussian
from hyperinr.inrs.families import FAMILIES, from_metadata
from hyperinr.inrs.feature_mlps import fourier_mlp, gelu_mlp, relu_mlp
from hyperinr.inrs.grids import feature_grid, hash_grid
from hyperinr.inrs.multiplicative_filters import fourier_net, gabor_net
from hyperinr.inrs.sine_mlps import adaptive_hosc, finer, hosc, siren
from hyperinr.inrs.wire import real_wire, wire

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
