import functools

import pytest
from rich.console import Console

from hyperinr.runtime import progress as runtime_progress
from hyperinr.runtime.progress import ProgressReport, duration, print_table


def test_away_from_a_terminal_a_report_is_one_plain_line_with_rate_and_time_left(capsys, monkeypatch):
    monkeypatch.setattr(runtime_progress, 'Console', functools.partial(Console, width=20))
    with ProgressReport(start=0, total=100) as progress:
        progress.advance(19)
        progress.report(20, step_seconds=0.5, metrics={'loss': 0.125, 'psnr_db': 31.25})
    assert capsys.readouterr().out == 'step 20/100  2.00 steps/s, 0:40 left  loss 0.125  psnr_db 31.25\n'


def test_a_terminal_gets_a_bar_with_rate_and_time_left(capsys, monkeypatch):
    monkeypatch.setattr(runtime_progress, 'Console', functools.partial(Console, force_terminal=True, width=120))
    with ProgressReport(start=0, total=100) as progress:
        progress.report(20, step_seconds=0.5, metrics={'loss': 0.125})
    shown = capsys.readouterr().out
    assert '20/100' in shown
    assert '2.00 steps/s, 0:40 left' in shown


def test_other_work_is_named_and_may_not_have_begun(capsys):
    with ProgressReport(start=0, total=22, task='fitting', unit='INR') as progress:
        progress.report(0, step_seconds=float('inf'))
        progress.report(22, step_seconds=0.25)
    assert capsys.readouterr().out == 'INR 0/22  0.00 INRs/s, unknown time left\nINR 22/22  4.00 INRs/s, 0:00 left\n'


@pytest.mark.parametrize(('seconds', 'text'), [(0, '0:00'), (59.6, '1:00'), (125, '2:05'), (3723, '1:02:03')])
def test_duration(seconds, text):
    assert duration(seconds) == text


def test_the_table_holds_its_rows(capsys):
    print_table('runs/demo', [('mean step', '12.0 ms')])
    shown = capsys.readouterr().out
    assert 'runs/demo' in shown
    assert '12.0 ms' in shown
