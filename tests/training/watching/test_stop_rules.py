from fractions import Fraction
from types import SimpleNamespace

import pytest

from hyperinr.errors import InputError
from hyperinr.training.loop import train
from hyperinr.training.watching.spans import Progress
from hyperinr.training.watching.stop_rules import StopRules, after, early_stopping
from tests.training.toy import toy_experiment

NAN = float('nan')


def stops_at(rule, values):
    """Position of the value that the rule ends at, from 1; ``None`` if it goes through all."""
    rules = StopRules([rule])
    for number, value in enumerate(values, 1):
        assert rules.ends(Progress(number, 0.0, Fraction(0)), {}) is None
        if rules.ends(Progress(number, 0.0, Fraction(0)), {'a/b': value, 'a/c': -number}):
            return number
    return None


@pytest.mark.parametrize(
    ('options', 'values', 'stops'),
    [
        ({'patience': 2}, [1, 2, 2, 2, 3], 4),
        ({'patience': 2}, [1, 2, 1, 3, 1, 4], None),
        ({'patience': 1, 'mode': 'min'}, [3, 2, 1, 1.5], 4),
        ({'patience': 1, 'mode': 'max'}, [3, 2, 1, 1.5], 2),
        ({'patience': 2, 'min_change': 0.5}, [1, 1.4, 1.5, 9], 3),
        ({'patience': 2, 'min_change': 0.5, 'mode': 'min'}, [9, 8.4, 8.0, 7.9], 4),
        ({'patience': 2}, [1, NAN, NAN, 5], 3),
        ({'patience': 2}, [NAN, 1, 2], None),
    ],
)
def test_early_stopping_waits_for_so_many_evaluations_without_a_better_one(options, values, stops):
    assert stops_at(early_stopping(figure='a/b', **options), values) == stops


def test_early_stopping_says_why():
    rules = StopRules([early_stopping(figure='a/b', patience=1)])
    now = Progress(1, 0.0, Fraction(0))
    assert rules.ends(now, {'a/b': 31.25}) is None
    assert rules.ends(now, {'a/b': 31.0}) == 'a/b not better than 31.25 in 1 evaluations'


@pytest.mark.parametrize(
    ('limit', 'before', 'there'),
    [
        ('3 steps', Progress(2, 99.0, Fraction(9)), Progress(3, 0.0, Fraction(0))),
        ('2 minutes', Progress(9, 119.0, Fraction(9)), Progress(9, 120.5, Fraction(0))),
        ('1 epoch', Progress(9, 99.0, Fraction(7, 8)), Progress(9, 99.0, Fraction(8, 8))),
    ],
)
def test_a_limit_ends_the_run_when_it_is_reached(limit, before, there):
    rules = StopRules([after(limit=limit)])
    assert rules.ends(before, {}) is None
    assert rules.ends(there, {}) == f'{limit} of training'


def test_every_rule_hears_of_every_figure_even_when_another_one_ends_the_run():
    rules = StopRules([after(limit='1 step'), early_stopping(figure='a/b', patience=1)])
    now = Progress(1, 0.0, Fraction(0))
    assert rules.ends(now, {'a/b': 2.0}) == '1 step of training'
    later = StopRules([early_stopping(figure='a/b', patience=1), after(limit='2 steps')])
    assert later.ends(now, {'a/b': 2.0}) is None
    assert later.ends(Progress(2, 0.0, Fraction(0)), {'a/b': 1.0}).startswith('a/b')


@pytest.mark.parametrize('options', [{'mode': 'best'}, {'patience': 0}, {'min_change': -1.0}])
def test_a_wrong_value_is_refused(options):
    with pytest.raises(InputError, match=next(iter(options))):
        early_stopping(**options)


def test_several_processes_take_no_rule(tmp_path):
    """Each would end by its own clock."""
    group = SimpleNamespace(count=2, leads=True)
    with pytest.raises(InputError, match='stop_rules end a run of one process'):
        train(toy_experiment(), tmp_path / 'run', stop_rules=[after(limit='1 second')], group=group)
    assert not (tmp_path / 'run').exists()
