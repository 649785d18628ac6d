"""All families by name, and the INR that a file's metadata describes."""

import inspect
from collections.abc import Callable, Mapping
from typing import Any

from hyperinr.errors import InputError
from hyperinr.inrs.adaptive_hosc import adaptive_hosc
from hyperinr.inrs.exp_sin import exp_sin
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
from hyperinr.types import Inr

__all__ = ['FAMILIES', 'from_metadata']

FAMILIES: Mapping[str, Callable[..., Inr]] = {
    factory.__name__: factory
    for factory in (
        siren,
        finer,
        wire,
        real_wire,
        gaussian,
        super_gaussian,
        laplacian,
        quadratic,
        multi_quadratic,
        exp_sin,
        sinc,
        hosc,
        adaptive_hosc,
        relu_mlp,
        gelu_mlp,
        fourier_mlp,
        fourier_net,
        gabor_net,
        feature_grid,
        hash_grid,
    )
}
"""Kind -> factory, ``(*, channels, ...) -> Inr``."""


def from_metadata(metadata: Mapping[str, Any]) -> Inr:
    """The INR whose weights were stored with this metadata: the same ``apply``, and the family's own ``init``.

    Args:
      metadata: with what `Inr.metadata` had; other entries are ignored.

    Raises:
      InputError: no such kind, an entry that is missing, or one that the family refuses.

    Example:
      >>> from_metadata({'kind': 'sinc', 'channels': 3, 'width': 8, 'depth': 2, 'omega': 20.0}).metadata['omega']
      20.0
    """
    kind = str(metadata.get('kind'))
    if kind not in FAMILIES:
        raise InputError(f'no INR of kind {kind!r}; there are {", ".join(FAMILIES)}.')
    factory = FAMILIES[kind]
    names = inspect.signature(factory).parameters.keys() - {'initialisation', 'output_bias'}
    arguments = {name: metadata[name] for name in names if name in metadata}
    try:
        inr = factory(**arguments)
    except (TypeError, ValueError) as error:
        raise InputError(f'the metadata do not describe an INR of kind {kind!r}: {error}') from error
    missing = inr.metadata.keys() - metadata.keys() - {'input_deviation'}
    if missing:
        raise InputError(f'the metadata of an INR of kind {kind!r} lack {", ".join(sorted(missing))}.')
    deviation = metadata.get('input_deviation', 1.0)
    if deviation == inr.metadata.get('input_deviation', 1.0):
        return inr
    return inr._replace(
        apply=lambda weights, coords: inr.apply(weights, coords / deviation),
        metadata={**inr.metadata, 'input_deviation': deviation},
    )
