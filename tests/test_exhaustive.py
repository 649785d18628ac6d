"""``make test`` leaves out products, not parts: every row of every table keeps a test that is not marked exhaustive."""

import pytest

from hyperinr import inrs, kinds
from hyperinr.fitting import optimizers
from tests import parts, test_other_signals
from tests.encoders import test_every_encoder
from tests.fitting import test_optimizers
from tests.hypernetworks import test_every_hypernetwork, test_fresh_inrs
from tests.inrs import test_every_inr, test_families
from tests.kinds import test_every_kind
from tests.meta_learning import test_every_learner, test_meta_gradients


def is_exhaustive(marks):
    return any(mark.name == 'exhaustive' for mark in marks)


def kept_rows(module, argument):
    """Return the values of a parameter in the tests of a module that `make test` runs."""
    found = set()
    for function in vars(module).values():
        marks = getattr(function, 'pytestmark', [])
        if not callable(function) or is_exhaustive(marks):
            continue
        for mark in marks:
            if mark.name != 'parametrize':
                continue
            names, values = mark.args
            names = [names] if isinstance(names, str) else list(names)
            if argument in names:
                rows = [value if hasattr(value, 'marks') else pytest.param(value) for value in values]
                rows = [row for row in rows if not is_exhaustive(row.marks)]
                column = names.index(argument)
                found |= {row.values[0][column] if len(names) > len(row.values) else row.values[column] for row in rows}
    return found


TABLES = {
    'INRs': (test_every_inr, 'name', parts.INRS),
    'encoders': (test_every_encoder, 'name', parts.ENCODERS),
    'hypernetworks': (test_every_hypernetwork, 'name', parts.HYPERNETWORKS),
    'learners': (test_every_learner, 'name', parts.LEARNERS),
    'kinds of signals': (test_every_kind, 'name', kinds.KINDS),
    'families of INRs': (test_families, 'kind', inrs.FAMILIES),
    'families of hypernetworks': (test_fresh_inrs, 'name', test_fresh_inrs.FAMILIES),
    'optimisers': (test_optimizers, 'name', optimizers.OPTIMIZERS),
    'adaptations': (test_meta_gradients, 'adaptation', test_meta_gradients.ADAPTATIONS),
    'meta-gradients': (test_meta_gradients, 'meta_gradient', test_meta_gradients.META_GRADIENTS),
    'other signals': (test_other_signals, 'signal', test_other_signals.SIGNALS),
}


@pytest.mark.parametrize('table', TABLES)
def test_every_row_keeps_a_test(table):
    module, argument, rows = TABLES[table]
    assert set(rows) <= kept_rows(module, argument)


def test_a_row_of_exhaustive_tests_alone_would_be_seen():
    assert not kept_rows(test_every_inr, 'coord_dims')
