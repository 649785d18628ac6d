import threading

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hyperinr.errors import InputError
from hyperinr.training.input_pipeline import Batches, Positions, check_batch, prefetched
from tests.training.tiny_run import tiny_dataset


@settings(deadline=None, max_examples=40)
@given(length=st.integers(1, 30), batch_size=st.integers(1, 50), seed=st.integers(0, 5))
def test_every_epoch_shows_every_datapoint_once(length, batch_size, seed):
    positions = Positions(length, batch_size, seed)
    steps = -(-3 * length // batch_size)
    found = [positions(step) for step in range(steps)]
    indices, epochs = (np.concatenate(parts) for parts in zip(*found, strict=True))
    assert epochs.tolist() == sorted(epochs)
    for epoch in range(3):
        assert sorted(indices[epochs == epoch]) == list(range(length))


def test_a_step_has_the_same_batch_whatever_was_asked_before():
    straight, jumping = Positions(20, 8, 1), Positions(20, 8, 1)
    expected = [straight(step) for step in range(12)]
    for step in (11, 0, 7, 3):
        np.testing.assert_array_equal(jumping(step), expected[step])


def test_orders_differ_between_epochs_and_seeds():
    first, second = (Positions(50, 50, 0)(step)[0].tolist() for step in (0, 1))
    assert first != second
    assert first != Positions(50, 50, 1)(0)[0].tolist()


def batch():
    dataset = tiny_dataset()
    source = dataset.splits['train']
    stored = source.batch(np.arange(4))
    return type(stored)(*(np.array(leaf) for leaf in stored)), dataset.spec, source.names


def test_batches_read_the_source_at_their_positions():
    dataset = tiny_dataset()
    source, positions = dataset.splits['train'], Positions(20, 8, 0)
    found = Batches(source, dataset.spec, positions)(2)
    np.testing.assert_array_equal(found.index, positions(2)[0])
    np.testing.assert_array_equal(found.values[5], source[int(found.index[5])].values)


@pytest.mark.parametrize(
    ('field', 'value', 'said'),
    [
        ('values', np.nan, 'not finite'),
        ('values', np.inf, 'not finite'),
        ('values', 1.5, r'outside the data range \[0, 1\]'),
        ('values', -0.1, 'outside the data range'),
        ('weight', -1.0, 'weights'),
        ('weight', np.nan, 'weights'),
    ],
)
def test_bad_data_are_refused_with_the_name_of_the_datapoint(field, value, said):
    data, spec, names = batch()
    getattr(data, field)[2, 7] = value
    with pytest.raises(InputError, match=said) as error:
        check_batch(data, spec, names)
    assert "datapoint 2 of 'tiny' (train 2)" in str(error.value)


def test_a_datapoint_of_padding_only_is_refused():
    data, spec, names = batch()
    data.weight[3] = 0
    with pytest.raises(InputError, match=r'datapoint 3 .* all zero'):
        check_batch(data, spec, names)


def test_padding_may_lie_outside_the_range():
    data, spec, names = batch()
    data.values[1, 4] = -7
    data.weight[1, 4] = 0
    check_batch(data, spec, names)


def test_prefetched_keeps_the_order_and_works_ahead():
    made, ahead = [], threading.Event()

    def make(number):
        made.append(number)
        if number == 5:
            ahead.set()
        return number

    with prefetched(make, 3, 20) as items:
        assert ahead.wait(30), 'two items wait and a third is in the making before any is taken'
        assert list(items) == list(range(3, 20))
    assert made == list(range(3, 20))


def test_prefetched_raises_where_the_item_would_come():
    def make(number):
        if number == 2:
            raise InputError('number 2')
        return number

    with prefetched(make, 0, 5) as items:
        assert [next(items), next(items)] == [0, 1]
        with pytest.raises(InputError, match='number 2'):
            next(items)


def test_several_threads_keep_the_order():
    together = threading.Barrier(3, timeout=30)

    def make(number):
        together.wait()
        return number

    with prefetched(make, 0, 9, workers=3) as items:
        assert list(items) == list(range(9)), 'three at a time, or the barrier breaks'


def test_prefetched_ends_its_thread_when_left_early():
    before = threading.active_count()
    with prefetched(lambda number: number, 0, 1000) as items:
        next(items)
        assert threading.active_count() == before + 1
    assert threading.active_count() == before
