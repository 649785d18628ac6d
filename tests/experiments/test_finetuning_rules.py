"""The comparison of rules, shrunken: what its columns are of."""

import json

import numpy as np
import pytest

from experiments import finetuning_curves as curves
from experiments import finetuning_rules as rules
from hyperinr import inrs
from tests import tiny
from tests.fitting import problems


def test_a_row_is_one_rule_from_the_same_start():
    batch = problems.batch(2)
    spec = tiny.make_spec(grid_shape=(6, 6))
    beginning = curves.random(inrs.siren(channels=3, width=8, depth=2), spec, seed=0)
    rows = rules.measure(beginning, batch, data_range=(0.0, 1.0), num_steps=10)
    assert [row['rule'] for row in rows] == list(rules.RULES)
    assert all(row['steps'] == [0, 1, 3, 10] for row in rows)
    found = {row['rule']: row for row in rows}
    assert len({row['psnr_db'][0] for row in rows}) == 1
    measured = found['conjugate gradient']
    assert measured['least_margin_db'] == 0
    assert measured['psnr_db'][-1] > max(found['Adam 1e-3']['psnr_db'][-1], measured['psnr_db'][0])
    # Random weights have no learned rates.
    np.testing.assert_array_equal(measured['psnr_db'], found['- rates not used']['psnr_db'])
    assert found['Adam 1e-3']['cost'] == 1


def test_rules_that_fall_are_seen_to(monkeypatch):
    batch, spec = problems.batch(1), tiny.make_spec(grid_shape=(6, 6))
    beginning = curves.random(inrs.siren(channels=3, width=8, depth=2), spec, seed=0)
    wild = rules.Tried(rules._rule(rules.optimizers.sgd, learning_rate=30.0))
    monkeypatch.setattr(rules, 'RULES', {'Adam 1e-3': rules.RULES['Adam 1e-3'], 'wild': wild})
    rows = rules.measure(beginning, batch, data_range=(0.0, 1.0), num_steps=3)
    assert rows[1]['least_margin_db'] is None or rows[1]['least_margin_db'] < -3


def test_the_command_writes_a_table_and_json(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(rules, 'RULES', {name: rules.RULES[name] for name in ('Adam 1e-3', 'conjugate gradient')})
    small = rules.table.data_of('photo_patches_32', small=True)
    monkeypatch.setattr(rules.table, 'data_of', lambda name: small)
    rules.main(['--random', 'random_paper', '--datapoints', '2', '--steps', '3', '--out', str(tmp_path)])
    assert '| conjugate gradient |' in (tmp_path / 'finetuning_rules.md').read_text()
    assert '### random_paper' in capsys.readouterr().out
    rows = json.loads((tmp_path / 'finetuning_rules.json').read_text())['rows']
    assert [row['start'] for row in rows] == ['random_paper'] * 2


@pytest.mark.parametrize(
    ('arguments', 'named'),
    [
        ([], 'give --run DIR or --random NAME'),
        (['--random', 'random_paper', '--steps', '0'], 'give at least 1'),
        (['--random', 'random_paper', '--datapoints', '0'], 'give at least 1'),
        (['--run', 'nowhere'], 'nowhere'),
    ],
)
def test_wrong_arguments_are_one_line(arguments, named, tmp_path, capsys):
    with pytest.raises(SystemExit, match='2'):
        rules.main([*arguments, '--out', str(tmp_path)])
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 1
    assert named in lines[0]
    assert not list(tmp_path.iterdir())
