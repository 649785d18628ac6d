"""What is drawn stays in its range, conditions hold, a grid is complete, and gin reads what is written."""

import pytest

from hyperinr.searching import space as spaces
from hyperinr.searching.space import parameter, space

CONDITIONAL = space(
    [
        parameter('experiment.inr', 'choice', ['@inrs.siren', '@inrs.finer']),
        parameter('siren.omega_0', 'uniform', [5.0, 60.0], when={'experiment.inr': ['@inrs.siren']}, points=2),
        parameter('finer.depth', 'integer', [2, 3], when={'experiment.inr': ['@inrs.finer']}),
        parameter('adam.learning_rate', 'log', [1e-4, 1e-2], points=3),
    ]
)


def draws(parameters, number, *, seed=0):
    optuna = pytest.importorskip('optuna')
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=seed))
    trials = [study.ask() for _ in range(number)]
    return [spaces.draw(trial, parameters) for trial in trials], trials


def test_draws_keep_ranges_and_conditions():
    drawn, trials = draws(CONDITIONAL, 60)
    families = {each['experiment.inr'] for each in drawn}
    assert families == {'@inrs.siren', '@inrs.finer'}
    for each, trial in zip(drawn, trials, strict=True):
        siren = each['experiment.inr'] == '@inrs.siren'
        assert set(each) == {
            'experiment.inr', 'adam.learning_rate', 'siren.omega_0' if siren else 'finer.depth'
        }  # fmt: skip
        assert each.get('finer.depth', 2) in (2, 3)
        assert 5 <= each.get('siren.omega_0', 5.0) <= 60
        assert 1e-4 <= each['adam.learning_rate'] <= 1e-2
        assert spaces.stored(each, CONDITIONAL) == trial.params
    # Uniform in the logarithm: half of the draws lie below the geometric mean, where 9 % would of a uniform range.
    assert 0.3 < sum(each['adam.learning_rate'] < 1e-3 for each in drawn) / 60 < 0.7


def test_a_grid_has_every_combination_once_and_conditions_cut_it():
    points = list(spaces.grid(CONDITIONAL))
    assert len(points) == 2 * 3 + 2 * 3
    assert len({tuple(sorted(each.items())) for each in points}) == 12
    assert {each.get('siren.omega_0') for each in points} == {None, 5.0, 60.0}
    rates = sorted({each['adam.learning_rate'] for each in points})
    assert rates == pytest.approx([1e-4, 1e-3, 1e-2])
    assert rates[-1] == 1e-2


def test_boundary_draws_have_every_end_and_choice():
    seen = {(each.binding, drawn[each.binding]) for each, drawn in spaces.boundary_draws(CONDITIONAL)}
    assert seen == {(each.binding, value) for each in CONDITIONAL for value in each.values}


def test_bindings_are_gin():
    drawn = {'experiment.inr': '@inrs.siren', 'photos.split': 'train', 'siren.width': 64, 'adam.b1': 0.9, 'x.y': None}
    assert spaces.bindings(drawn) == [
        'experiment.inr = @inrs.siren', "photos.split = 'train'", 'siren.width = 64', 'adam.b1 = 0.9', 'x.y = None'
    ]  # fmt: skip


@pytest.mark.parametrize(
    ('arguments', 'message'),
    [
        (('x', 'even', [1, 2]), 'must begin with one of log'),
        (('x', 'log', [0.0, 1.0]), 'is no range'),
        (('x', 'uniform', [2.0, 1.0]), 'is no range'),
        (('x', 'integer', [1.5, 2]), 'is no range'),
        (('x', 'choice', []), 'is no range'),
        (('x', 'uniform', ['a', 'b']), 'is no range'),
    ],
)
def test_a_wrong_range_is_said(arguments, message):
    with pytest.raises(ValueError, match=message):
        parameter(*arguments)


def test_a_wrong_condition_is_said():
    family = parameter('family', 'choice', ['a', 'b'])
    with pytest.raises(ValueError, match='must be an earlier parameter'):
        space([parameter('x', 'log', [1, 2], when={'family': ['a']}), family])
    with pytest.raises(ValueError, match='which it never is'):
        space([family, parameter('x', 'log', [1, 2], when={'family': ['c']})])
    with pytest.raises(ValueError, match='points >= 2'):
        parameter('x', 'log', [1, 2], points=1)
    with pytest.raises(ValueError, match='space is empty'):
        space([])
