"""Arrays on the devices of one process."""

import gc
import weakref

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from hyperinr.runtime import sharding


def test_what_is_placed_again_is_not_copied_again():
    place, devices = sharding.Placed(), jax.local_devices()
    params = {'w': jnp.arange(6.0).reshape(2, 3), 'b': jnp.ones(3)}
    first = place(params, devices)
    again = place(dict(params), devices)
    assert all(again[name] is first[name] for name in params)
    np.testing.assert_array_equal(first['w'], np.stack([params['w']] * len(devices)))


@pytest.mark.parametrize(
    'change',
    [
        lambda params, devices: ({**params, 'b': params['b'] + 1}, devices),
        lambda params, devices: ({'w': params['w'], 'c': params['b']}, devices),
        lambda params, devices: (params, devices[::-1]),
        lambda params, devices: (params, devices[:1]),
    ],
    ids=['values', 'names', 'order of devices', 'number of devices'],
)
def test_what_differs_is_placed_anew(change, several_devices):
    place, devices = sharding.Placed(), several_devices
    params = {'w': jnp.arange(6.0), 'b': jnp.ones(3)}
    place(params, devices)
    other, where = change(params, devices)
    found = place(other, where)
    assert found.keys() == other.keys()
    for name, leaf in other.items():
        np.testing.assert_array_equal(found[name], np.stack([leaf] * len(where)))
        assert found[name].sharding == sharding.sharding_over(where)


def test_the_copies_go_with_the_arrays():
    place, params = sharding.Placed(), {'w': jnp.arange(6.0), 'b': jnp.ones(3)}
    copy = weakref.ref(place(params, jax.local_devices())['w'])
    assert copy() is not None
    del params
    gc.collect()
    assert copy() is None


def test_arrays_that_can_be_written_to_are_read_each_time():
    place, devices = sharding.Placed(), jax.local_devices()
    params = {'w': np.zeros(4)}
    place(params, devices)
    params['w'][:] = 1
    np.testing.assert_array_equal(place(params, devices)['w'], np.ones((len(devices), 4)))
