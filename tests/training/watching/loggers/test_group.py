import pytest

from hyperinr.training.watching.loggers import Logger, LoggerGroup
from tests.training.watching.loggers.facts import make_facts, make_record


class Told:
    """Keeps steps; fails in ``where``, from step ``fails_at`` on."""

    def __init__(self, where='', fails_at=0):
        self.steps, self.calls, self.closed = [], 0, False
        self._where, self._fails_at = where, fails_at

    def write(self, record):
        self.calls += 1
        if self._where == 'write' and record.step >= self._fails_at:
            raise OSError('no route\nto host')
        self.steps.append(record.step)

    def close(self):
        self.closed = True
        if self._where == 'close':
            raise ValueError


def opened_with(tmp_path, *loggers, first=None):
    said = []
    begins = [lambda facts, each=each: each for each in loggers]
    made = [Logger(f'logger {n}', begin) for n, begin in enumerate(([first] if first else []) + begins)]
    return LoggerGroup(made, make_facts(tmp_path), said.append), said


def test_a_logger_that_fails_is_reported_once_and_the_others_hear_everything(tmp_path):
    bad, good = Told('write', fails_at=2), Told()
    group, said = opened_with(tmp_path, bad, good)
    for step in (1, 2, 3, 4):
        group.write(make_record(step))
    group.close()
    assert (bad.steps, bad.calls, good.steps, good.closed) == ([1], 2, [1, 2, 3, 4], True)
    assert said == ['the logger logger 0 failed and is left out from here on, the run goes on: no route to host']
    assert group.failed == {'logger 0': 'no route to host'}


def test_a_logger_that_does_not_open_or_close_is_reported(tmp_path):
    def refuse(facts):
        raise PermissionError(str(facts.run_dir))

    last = Told('close')
    group, said = opened_with(tmp_path, last, first=refuse)
    group.write(make_record())
    group.close()
    assert last.steps == [4]
    assert group.failed == {'logger 0': str(tmp_path), 'logger 1': 'ValueError'}
    assert len(said) == 2


def test_an_essential_logger_ends_the_run(tmp_path):
    bad = Logger('jsonl', lambda facts: Told('write', fails_at=2), essential=True)
    group = LoggerGroup([bad], make_facts(tmp_path), print)
    group.write(make_record(1))
    with pytest.raises(OSError, match='no route'):
        group.write(make_record(2))
