"""What a rung of the ladder says: findings with stable codes, and the numbers behind them."""

from collections.abc import Mapping
from typing import Any, NamedTuple

__all__ = ['CODES', 'Finding', 'Rung', 'note', 'problem']

CODES: Mapping[str, str] = {
    'data.empty': 'a split holds no datapoint',
    'data.wrong_shape': 'a datapoint has other shapes than the specification states',
    'data.wrong_channels': 'the values have another number of channels than the specification states',
    'data.not_finite': 'NaN or infinity in coordinates, values or weights',
    'data.wrong_weight': 'a weight below 0',
    'data.empty_mask': 'a datapoint without a point of positive weight',
    'data.scaled_twice': 'the values were scaled to their range twice',
    'data.not_scaled': 'the values were not scaled to the stated range',
    'data.out_of_range': 'values a little outside the stated range',
    'data.little_range': 'the values use little of the stated range (note)',
    'data.constant': 'most datapoints are constant; a note where some are',
    'data.identical': 'all datapoints are the same',
    'data.channel_order': 'the values are channels first, and read as channels last',
    'data.equal_channels': 'all channels are equal (note)',
    'data.transposed_grid': 'rows and columns are exchanged, in the coordinates or in the values',
    'data.wrong_grid': 'the coordinates are not the pixel centres of the stated grid',
    'data.refused': 'a batch that training refuses',
    'fit.diverged': 'an INR alone diverges at every rate',
    'fit.misses_target': 'an INR alone does not reach the target on one datapoint',
    'fit.too_smooth': 'an INR alone reaches far more with higher frequencies',
    'start.inner_rate_too_high': 'the adaptation steps go too far',
    'start.not_trainable': 'an INR goes on worse from the emitted weights than from a random start',
    'training.diverged': 'training becomes NaN or infinite, at shorter steps too',
    'training.rate_too_high': 'shorter steps of the outer optimiser learn faster',
    'training.rate_too_low': 'longer steps of the outer optimiser are needed to learn anything',
    'training.stuck': 'the hypernetwork does not learn a single datapoint, at longer and shorter steps neither',
    'training.not_falling': 'the loss does not fall in a short run, at longer and shorter steps neither',
    'training.dead_encoder': 'the emitted code does not depend on the datapoint, or the encoder gets no gradient',
    'training.no_gradient': 'a module gets no gradient, although what is emitted depends on it',
    'training.unused_module': 'a module has no effect on what is emitted (note)',
    'training.frozen_module': 'a module gets a gradient and does not move',
    'training.rates_constant': 'the step sizes get no gradient; right for Reptile alone (note)',
    'training.rates_frozen': 'the step sizes get a gradient and do not move',
    'training.waits_for_input': 'reading the data takes longer than training on them (note)',
    'memory.too_small': 'a training step needs more memory than there is',
}
"""Code -> meaning. Codes are stable: scripts may rely on them."""


class Finding(NamedTuple):
    """One thing that was noticed.

    Attributes:
      code: a key of `CODES`.
      message: what is wrong, where, with numbers; one sentence without a full stop.
      remedy: what to change.
      numbers: behind the message, JSON-serialisable.
      is_problem: fails the rung; a note does not.
    """

    code: str
    message: str
    remedy: str
    numbers: Mapping[str, Any]
    is_problem: bool = True


class Rung(NamedTuple):
    """The outcome of one rung.

    Attributes:
      number: 1 to 4.
      name: what it does.
      summary: what was measured, in one line; empty where it was not reached.
      findings: in the order in which they were noticed.
      numbers: all measurements, JSON-serialisable; ``None`` where a number is not finite.
      seconds: that it took.
      reached: whether it was climbed at all.
    """

    number: int
    name: str
    summary: str
    findings: tuple[Finding, ...] = ()
    numbers: Mapping[str, Any] = {}
    seconds: float = 0.0
    reached: bool = True

    @property
    def passed(self) -> bool:
        """Whether it was climbed and no finding is a problem."""
        return self.reached and not any(finding.is_problem for finding in self.findings)


def problem(code: str, message: str, remedy: str, **numbers: Any) -> Finding:
    """A finding that fails its rung."""
    return Finding(code, message, remedy, numbers)


def note(code: str, message: str, remedy: str, **numbers: Any) -> Finding:
    """A finding that is worth knowing and may be as intended."""
    return Finding(code, message, remedy, numbers, is_problem=False)
