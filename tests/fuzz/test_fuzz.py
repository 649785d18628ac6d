"""The fuzzer itself, and some tries of each of its kinds; ``python -m tests.fuzz`` makes more of them."""

import pytest

from hyperinr.errors import InputError
from tests.fuzz.attempts import Try, defect_of
from tests.fuzz.tries import KINDS, prepare


def fails(error):
    raise error


@pytest.mark.parametrize(
    ('call', 'defect'),
    [
        (lambda: None, None),
        (lambda: fails(InputError('a is 3; give 4.')), None),
        (lambda: fails(InputError('a is\n3')), 'InputError is not one line'),
        (lambda: {}['a'], 'KeyError'),
        (lambda: int('a'), 'ValueError'),
    ],
)
def test_what_counts_as_a_defect(call, defect):
    found = defect_of(Try('kind', 'command', call))
    assert (found is None) if defect is None else (defect in found)


@pytest.fixture(scope='module')
def subjects(tmp_path_factory, trained_run):
    return prepare(tmp_path_factory.mktemp('fuzz'), trained_run)


NUMBERS = {'bindings': 4, 'options': 6, 'run': 3, 'store': 10, 'files': 30, 'library': 40}


@pytest.mark.parametrize('kind', list(KINDS))
def test_no_defect_is_found(kind, subjects, monkeypatch):
    monkeypatch.chdir(subjects.folder)
    for seed in range(NUMBERS[kind]):
        attempt = subjects.attempt(seed, [kind])[1]
        assert defect_of(attempt) is None, attempt.repeat
