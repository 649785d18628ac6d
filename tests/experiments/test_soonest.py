"""The comparison in seconds, shrunken: which ways there are, how far they go, and what is said of them."""

import json

import jax.numpy as jnp
import numpy as np
import optax
import pytest

from experiments import finetuning_curves as curves
from experiments import soonest
from hyperinr import fitting
from hyperinr.errors import InputError
from hyperinr.types import Datapoint, DatasetSpec, Inr

# A constant field b: its error is (b - value)^2, and descent at rate 1/4 halves the distance in every step.
CONSTANT = Inr(
    init=lambda key, dims: {'layer_0': {'b': jnp.zeros(1)}},
    apply=lambda weights, coords: jnp.broadcast_to(weights['layer_0']['b'], (coords.shape[0], 1)),
    metadata={},
)
SPEC = DatasetSpec('constant', None, 4, 2, 1, (0.0, 1.0))


def batch(*values):
    each = np.broadcast_to(np.float32(values)[:, None, None], (len(values), 4, 1))
    shape = each.shape[:2]
    return Datapoint(np.zeros((*shape, 2), np.float32), each, np.ones(shape, np.float32), np.arange(shape[0]))


def beginning(*path, families=None):
    """As many own steps as there are further numbers in the path."""
    along = lambda data, steps: {
        'layer_0': {'b': np.tile(np.float32(path)[: steps + 1, None], (len(data.index), 1, 1))}
    }
    return curves.Beginning(
        inr=CONSTANT,
        num_steps=len(path) - 1,
        weights=along,
        generate=lambda data, steps: curves.last(along(data, steps)),
        metric=lambda data: None,
        families=families or {},
        may_fall=True,
    )


def test_the_learned_way_is_the_fewest_own_steps():
    learned = beginning(0.0, 0.8, 0.9, 0.99)
    way = soonest.the_learned_way('mine', learned, batch(1.0, 1.0), SPEC, target=19.9)  # An error of 0.1.
    assert way[:3] == ('mine', 'own steps', 2)
    np.testing.assert_allclose(way.run()['layer_0']['b'], [[0.9], [0.9]])
    with pytest.raises(InputError, match="mine is at 40.0 dB at most after the learner's steps; give a lower --target"):
        soonest.the_learned_way('mine', learned, batch(1.0), SPEC, target=41.0)


def test_a_rival_takes_the_steps_that_the_judged_datapoints_need(monkeypatch):
    monkeypatch.setattr(soonest, 'MAX_STEPS', 5)
    families = {
        'descent': fitting.Family(optax.sgd, (0.125, 0.25)),
        'never': fitting.Family(lambda rate: optax.sgd(0.0 * rate), (1.0,)),
    }
    fresh = beginning(0.0, families=families)
    trials = soonest.tried(fresh, batch(0.5), SPEC)
    (way,) = soonest.rivals('fresh', fresh, trials, batch(1.0, 1.0), SPEC, target=20.0)
    # The search goes on from 0.25 to 0.5, which is there at once.
    assert way[:3] == ('fresh', 'descent 0.5', 1)
    assert way.run().mse.shape == (2, 2)
    np.testing.assert_allclose(way.run().mse[:, -1], 0, atol=1e-12)


def test_times_are_medians_of_turns_and_multiples_of_the_first(monkeypatch):
    clock, turns = [0.0], []
    monkeypatch.setattr(soonest.time, 'perf_counter', lambda: clock[0])

    def way(name, *seconds):
        left = iter(seconds)

        def run():
            clock[0] += next(left)
            turns.append(name)

        return soonest.Way(name, 'x', 1, run)

    ways = [way('a', 9.0, 0.2, 0.1, 0.4), way('b', 9.0, 1.0, 3.0, 1.2)]  # The first of each compiles.
    first, second = soonest.compare(ways, count=2, rounds=3)
    assert ''.join(turns) == 'ab' * 4
    assert (first['ms'], first['ms_least'], first['ms_most'], first['times']) == (100, 50, 200, 1)
    assert (second['ms'], second['ms_least'], second['ms_most'], second['times']) == (600, 500, 1500, 6)


@pytest.mark.exhaustive
def test_the_command_writes_a_table_and_json(trained_run, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(soonest, 'MAX_STEPS', 20)
    arguments = ['--run', str(trained_run), '--random', 'feature_grid', '--datapoints', '2', '--rounds', '1']
    soonest.main([*arguments, '--target', '5', '--out', str(tmp_path)])
    table = (tmp_path / 'soonest.md').read_text()
    assert table.strip() == capsys.readouterr().out.strip()
    assert '### To 5 dB, 2 datapoints at once' in table
    rows = json.loads((tmp_path / 'soonest.json').read_text())['rows']
    assert rows[0]['by'] == 'own steps'
    assert {row['start'] for row in rows[1:]} == {'feature_grid'}


def test_a_target_out_of_reach_is_said_before_anything_is_searched(trained_run, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(soonest, 'tried', None)
    with pytest.raises(SystemExit, match='2'):
        soonest.main(['--run', str(trained_run), '--datapoints', '2', '--target', '5', '90', '--out', str(tmp_path)])
    assert 'give a lower --target' in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ('arguments', 'named'),
    [
        (['--run', 'nowhere'], 'nowhere'),
        (['--run', 'nowhere', '--rounds', '0'], 'give at least 1'),
        (['--run', 'nowhere', '--datapoints', '0'], 'give at least 1'),
    ],
)
def test_wrong_arguments_are_one_line(arguments, named, tmp_path, capsys):
    with pytest.raises(SystemExit, match='2'):
        soonest.main([*arguments, '--out', str(tmp_path)])
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 1
    assert named in lines[0]
    assert not list(tmp_path.iterdir())
