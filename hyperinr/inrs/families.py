"""All families by name, and INRs from the metadata of stored weights."""

import inspect
from collections.abc import Callable, Mapping
from typing import Any

from hyperinr.annotations import checked
from hyperinr.errors import InputError
from hyperinr.inrs import activation_mlps, feature_mlps, grids, multiplicative_filters, sine_mlps, wire
from hyperinr.types import Inr

__all__ = ['FAMILIES', 'from_metadata']

FAMILIES: Mapping[str, Callable[..., Inr]] = {
    factory.__name__: factory
    for file in (sine_mlps, wire, activation_mlps, feature_mlps, multiplicative_filters, grids)
    for factory in file.FAMILIES
}
"""Kind -> factory, ``(*, channels, ...) -> Inr``."""


@checked
def from_metadata(metadata: Mapping[str, Any]) -> Inr:
    """Make the INR that stored metadata describe: with the same ``apply``, and the family's own ``init``.

    Args:
      metadata: the entries of `Inr.metadata`; others are ignored.

    Raises:
      InputError: the kind is unknown, an entry is missing, or the family refuses one.

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
    except (TypeError, ValueError, ArithmeticError) as error:
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
