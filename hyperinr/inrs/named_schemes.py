"""Initialisations by name, for the command line."""

from collections.abc import Callable, Mapping

from hyperinr.errors import InputError
from hyperinr.inrs.initialisation import Initialisation, compose, fan_in_biases, plain, sine_weights
from hyperinr.inrs.siren_variants import SIREN_VARIANTS, siren_variant
from hyperinr.inrs.variance_informed import variance_informed

__all__ = ['SCHEMES', 'named_scheme']

SCHEMES: Mapping[str, Callable[[], Initialisation]] = {
    'weight_scaling': lambda: compose(weights=sine_weights(scale=2.0), biases=fan_in_biases()),
    'variance_informed': variance_informed,
    'variance_informed_sine': lambda: variance_informed(preactivation_deviation=1 / 30),
    'plain': plain,
}
"""Schemes other than the SIREN variants: WS-SIREN with a factor of 2, VI3NR with its balanced deviation or with the
deviation for a sine of omega 30, and PyTorch's default."""


def named_scheme(name: str) -> Initialisation:
    """Return a scheme of `SCHEMES`, or a variant of `SIREN_VARIANTS` that differs in its scheme alone.

    Raises:
      InputError: no such scheme.

    Example:
      >>> named_scheme('normalised').input_deviation
      0.5779
    """
    schemes = [key for key, variant in SIREN_VARIANTS.items() if variant.omega == 30 and not variant.frozen]
    if name in SCHEMES:
        return SCHEMES[name]()
    if name not in schemes:
        raise InputError(
            f'no initialisation {name!r}: give a .npz or .safetensors file of weights, the directory of a run, or '
            f'one of {", ".join((*SCHEMES, *schemes))}.'
        )
    return siren_variant(name=name)
