import threading

import jax
import jax.numpy as jnp
import pytest

from hyperinr.training.watching.clock import PARTS, Clock, compilation_apart


@pytest.fixture
def time(monkeypatch):
    """``time(seconds)`` passes."""
    now = [100.0]
    monkeypatch.setattr('time.perf_counter', lambda: now[0])

    def passes(seconds):
        now[0] += seconds

    return passes


def test_every_second_belongs_to_one_part(time):
    clock = Clock()
    time(1)
    with clock.part('step'):
        time(2)
        with clock.part('evaluation'):
            time(4)
        time(8)
    with clock.part('input'):
        time(16)
    time(32)
    assert clock.spent() == dict.fromkeys(PARTS, 0) | {'other': 33, 'step': 10, 'evaluation': 4, 'input': 16}
    assert clock.trained == 26


def test_an_error_leaves_its_part(time):
    clock = Clock()
    with pytest.raises(KeyError), clock.part('step'):
        raise KeyError
    time(3)
    assert clock.spent()['other'] == 3


def test_training_goes_on_from_earlier_sessions(time):
    clock = Clock()
    clock.earlier = 50.0
    with clock.part('step'):
        time(2)
    assert clock.trained == 52.0


def test_compiling_is_taken_out_of_the_part_that_it_happens_in():
    clock = Clock()
    with compilation_apart(clock), clock.part('evaluation'):
        jax.jit(lambda x: jnp.sin(x) * 3.0 + 1.0)(jnp.ones(7))
    spent = clock.spent()
    assert spent['compile'] > 0
    assert spent['evaluation'] > 0
    before = spent['compile']
    jax.jit(lambda x: jnp.cos(x) * 4.0 + 1.0)(jnp.ones(7))
    assert clock.spent()['compile'] == before


def test_what_another_thread_compiles_costs_this_one_nothing():
    clock = Clock()
    with compilation_apart(clock):
        thread = threading.Thread(target=lambda: jax.jit(lambda x: jnp.tanh(x) * 5.0 + 1.0)(jnp.ones(7)))
        thread.start()
        thread.join()
    assert clock.spent()['compile'] == 0
