from fractions import Fraction

import pytest

from hyperinr.errors import InputError
from hyperinr.training.watching.spans import Progress, span


def at(step, *, seconds=0.0, epochs=0):
    return Progress(step, seconds, Fraction(epochs))


def due(text, points):
    """Positions of the points of progress at which a span has ended since the point before."""
    length = span(text)
    return [n for n, (before, now) in enumerate(zip(points, points[1:], strict=False), 1) if length.passes(before, now)]


def test_steps():
    assert due('3 steps', [at(step) for step in range(10)]) == [3, 6, 9]
    assert due('1 step', [at(step) for step in range(4)]) == [1, 2, 3]


def test_a_session_that_begins_midway_keeps_the_rhythm():
    assert due('3 steps', [at(step) for step in range(4, 10)]) == [2, 5]


def test_seconds_of_training():
    seconds = [0.0, 12.0, 29.9, 30.0, 31.0, 95.0, 119.0, 120.0]
    assert due('30 seconds', [at(n, seconds=each) for n, each in enumerate(seconds)]) == [3, 5, 7]
    assert due('0.5 minutes', [at(n, seconds=each) for n, each in enumerate(seconds)]) == [3, 5, 7]


def test_epochs_are_exact_where_floats_are_not():
    per_step = Fraction(7, 70)
    points = [Progress(step, 0.0, step * per_step) for step in range(31)]
    assert due('1 epoch', points) == [10, 20, 30]
    assert due('0.3 epochs', points) == [3, 6, 9, 12, 15, 18, 21, 24, 27, 30]


@pytest.mark.parametrize(
    ('text', 'before', 'there'),
    [
        ('5 steps', at(4), at(5)),
        ('1 hour', at(0, seconds=3599.9), at(0, seconds=3600.0)),
        ('2 epochs', at(0, epochs=1), at(0, epochs=2)),
    ],
)
def test_reached(text, before, there):
    assert not span(text).reached(before)
    assert span(text).reached(there)


@pytest.mark.parametrize('text', ['', '3', 'steps', '-1 steps', '0 steps', '3 weeks', '1e3 steps', 200, '3 step s'])
def test_what_is_no_length_is_refused_with_an_example(text):
    with pytest.raises(InputError, match="is no length of training; .* '200 steps', '30 seconds', '0.5 epochs'"):
        span(text)


def test_half_a_step_is_refused():
    with pytest.raises(InputError, match='steps are whole'):
        span('1.5 steps')
