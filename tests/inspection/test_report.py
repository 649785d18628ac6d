"""The evaluation on the terminal and on the disk."""

import re

import pytest

from hyperinr.evaluation.curves import Evaluation
from hyperinr.inspection import report
from tests.inspection.test_pictures import CURVES, make_example


def make_evaluation(reached=24, with_examples=True):
    more = {'ssim': [0.5, None, 0.7], 'psnr_db_interval': [[20.25, None, 1.0], [30.75, None, 2.0]]}
    curves = {name: {**curve, **more} for name, curve in CURVES.items()}
    choice = {'optimizer': 'adam', 'learning_rate': 0.002}
    protocol = {
        'dataset': 'waves',
        'split': 'test',
        'num_origins': 1,
        'optimizers': {'random': choice},
        'steps_to_reach': {
            'psnr_db': 33.21,
            **{name: {'steps': 3} for name in curves},
            'random': {'steps': reached, **(choice if reached else dict.fromkeys(choice))},
        },
    }
    return Evaluation({'protocol': protocol, 'num_datapoints': 2, 'curves': curves}, (make_example(),) * with_examples)


@pytest.mark.parametrize(('reached', 'said'), [(24, '24 (adam 0.002)'), (None, 'more than 3')])
def test_the_table_says_what_was_found(capsys, monkeypatch, reached, said):
    monkeypatch.setenv('COLUMNS', '120')
    report.print_table(make_evaluation(reached))
    printed = capsys.readouterr().out
    assert 'adam 0.002' in printed
    assert '0.700' in printed
    assert '2 datapoints of 1 origin\n' in printed
    assert '20.2–30.8' in printed
    lines = dict(re.split(r'  +', line.strip(), maxsplit=1) for line in printed.split('33.21 dB:\n')[1].splitlines())
    assert lines['generated weights'] == '3'
    assert lines['random start'] == said


def test_show_draws_beside_the_json_and_names_every_file(tmp_path, capsys):
    paths = report.show(make_evaluation(), tmp_path / 'evaluation.json')
    assert [path.name for path in paths] == ['comparison.png', 'errors.png', 'curves.png']
    printed = capsys.readouterr().out
    for path in (*paths, tmp_path / 'evaluation.json'):
        assert str(path) in printed
    assert {path.name for path in (tmp_path / 'pictures').iterdir()} == {path.name for path in paths}


def test_data_without_pictures_have_curves_only(tmp_path):
    assert [path.name for path in report.draw(make_evaluation(with_examples=False), tmp_path)] == ['curves.png']
