import pytest

from hyperinr.errors import InputError
from hyperinr.training.watching.evaluators import Findings
from hyperinr.training.watching.loggers import console_table
from tests.training.watching.loggers.facts import make_facts, make_record


def test_figures_stand_beside_those_of_the_time_before(tmp_path):
    facts = make_facts(tmp_path)
    table = console_table().open(facts)
    for step, value in ((4, 20.25), (8, 22.5)):
        table.write(make_record(step, findings=Findings({'psnr_db': value})))
        table.write(make_record(step, kind='weights', findings=Findings({'spread': value / 10})))
    table.close()
    tables = facts.console.file.getvalue().split(' at step ')
    assert len(tables) == 5
    row = next(line for line in tables[3].splitlines() if 'psnr_db' in line)
    assert row.split()[1::2] == ['psnr_db', '22.5', '20.25']


def test_reports_of_training_and_findings_without_figures_are_no_table(tmp_path):
    facts = make_facts(tmp_path)
    table = console_table().open(facts)
    table.write(make_record(kind='train'))
    table.write(make_record(findings=Findings({})))
    assert facts.console.file.getvalue() == ''


def test_further_figures_are_counted(tmp_path):
    facts = make_facts(tmp_path)
    table = console_table(max_rows=2).open(facts)
    table.write(make_record(findings=Findings({f'figure_{n}': float(n) for n in range(5)})))
    shown = facts.console.file.getvalue()
    assert 'figure_1' in shown
    assert 'figure_2' not in shown
    assert 'and 3 more' in shown


def test_no_row_is_refused():
    with pytest.raises(InputError, match='max_rows is 0'):
        console_table(max_rows=0)
