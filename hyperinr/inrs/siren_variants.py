"""Initialisations of a SIREN that a known study compared, composed of the rules of `hyperinr.inrs.initialisation`.

The study fits a photograph with omega 30 and coordinates in [-1, 1]; ``experiments/initialisation_lab.py`` repeats it.
Each name says how the variant differs from the SIREN paper's scheme, which is called ``paper``. ``first_1.5``: weights
of the first layer U(-1.5/D, +). ``normalised``: coordinates divided by their standard deviation. ``bias_15``: PyTorch's
default biases divided by 15. ``phase_pi``: biases U(-pi/omega, +).
"""

import functools
import math
from collections.abc import Mapping
from typing import NamedTuple

from hyperinr.inrs import initialisation as schemes

__all__ = ['INPUT_DEVIATION', 'SIREN_VARIANTS', 'SirenVariant', 'siren_variant']

INPUT_DEVIATION = 0.5779
"""Standard deviation of the study's coordinates; that of U(-1, 1) is 1/sqrt(3) = 0.5774."""


class SirenVariant(NamedTuple):
    """One variant of the study.

    Attributes:
      initialisation: scheme of weights and biases.
      omega: frequency factor of all layers.
      frozen: path patterns of the weights that the fit does not change, for `hyperinr.fitting.frozen`.
    """

    initialisation: schemes.Initialisation
    omega: float = 30.0
    frozen: tuple[str, ...] = ()


def _start(
    *,
    first: float = 1.0,
    distribution: schemes.Distribution = 'uniform',
    biases: schemes.Rule | None = None,
    normalised: bool = False,
    omega: float = 30.0,
    frozen: tuple[str, ...] = (),
) -> SirenVariant:
    weights = schemes.sine_weights(distribution=distribution, first_bound=first)
    scheme = schemes.Initialisation(weights, biases or schemes.fan_in_biases(), INPUT_DEVIATION if normalised else 1.0)
    return SirenVariant(scheme, omega, frozen)


_UNIT = math.sqrt(3)
"""Bound of a uniform distribution of standard deviation 1; the study rounds it to 1.73."""
_FIRST = {'1.5': 1.5, 'half_pi': math.pi / 2, '1.73': _UNIT, '2': 2.0, '3': 3.0}
_PHASES = {'pi': math.pi, '3_pi_4': 3 * math.pi / 4, '2.5': 2.5, '2': 2.0, 'half_pi': math.pi / 2}
_BIASES = {
    **{f'bias_{divisor}': schemes.fan_in_biases(divisor=divisor) for divisor in (2, 10, 15, 30)},
    **{f'phase_{name}': schemes.omega_biases(bound=bound) for name, bound in _PHASES.items()},
}
_WITH_UNIT = ('bias_2', 'bias_10', 'bias_15', 'bias_30', 'phase_pi', 'phase_2')
"""Biases that the study also tried with normalised coordinates and first-layer weights of standard deviation 1/D."""
_unit_start = functools.partial(_start, first=_UNIT, normalised=True)

SIREN_VARIANTS: Mapping[str, SirenVariant] = {
    'paper': _start(),
    'normal': _start(distribution='normal'),
    **{f'first_{name}': _start(first=bound) for name, bound in _FIRST.items()},
    **{f'normal_first_{name}': _start(first=bound, distribution='normal') for name, bound in _FIRST.items()},
    'normalised': _start(normalised=True),
    'normalised_first_1.73': _unit_start(),
    'normalised_normal_first_1.73': _unit_start(distribution='normal'),
    **{name: _start(biases=rule) for name, rule in _BIASES.items()},
    'no_bias': _start(biases=schemes.zero_biases(), frozen=('*/b',)),
    **{f'normalised_first_1.73_{name}': _unit_start(biases=_BIASES[name]) for name in _WITH_UNIT},
    'normalised_first_1.73_no_bias': _unit_start(biases=schemes.zero_biases(), frozen=('*/b',)),
    'normalised_normal_first_1.73_bias_15': _unit_start(distribution='normal', biases=_BIASES['bias_15']),
    **{f'omega_{omega}': _start(omega=float(omega)) for omega in (10, 40, 50)},
    'first_layer_frozen': _start(frozen=('layer_0/*',)),
    'two_layers_frozen': _start(frozen=('layer_0/*', 'layer_1/*')),
}
"""Name -> variant. In the study ``normalised_first_1.73_bias_15`` was fastest; ``*_phase_pi`` had the lowest error."""


def siren_variant(*, name: str) -> schemes.Initialisation:
    """Return the initialisation of a variant in `SIREN_VARIANTS`, for gin.

    The variant's omega and frozen weights are set elsewhere.

    Raises:
      ValueError: no such variant.

    Example:
      >>> siren_variant(name='normalised_first_1.73_bias_15').input_deviation
      0.5779
    """
    if name not in SIREN_VARIANTS:
        raise ValueError(f'no SIREN variant {name!r}; there are {", ".join(SIREN_VARIANTS)}.')
    return SIREN_VARIANTS[name].initialisation
