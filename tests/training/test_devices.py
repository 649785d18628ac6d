import jax
import numpy as np
import optax
import pytest

from hyperinr.errors import InputError
from hyperinr.runtime import sharding
from hyperinr.training import devices as devices_lib
from tests.training.tiny_run import tiny_dataset, tiny_experiment
from tests.training.toy import toy_learner


@pytest.mark.parametrize(('batch_size', 'available', 'used'), [(8, 8, 8), (12, 8, 6), (7, 8, 7), (1, 8, 1), (9, 2, 1)])
def test_as_many_devices_as_divide_the_batch(batch_size, available, used):
    devices, note = devices_lib.choose(batch_size, range(available))
    assert list(devices) == list(range(used))
    assert (note is None) == (used == available)
    if note:
        assert f'{used} of {available} devices' in note
        assert f'BATCH_SIZE {batch_size}' in note


def test_a_state_comes_back_from_its_copies_exactly(several_devices):
    dataset = tiny_dataset()
    state = toy_learner(dataset.spec).init(jax.random.key(3), dataset.splits['train'][0])
    copies = sharding.broadcast(devices_lib.pack(state), several_devices)
    for leaf in jax.tree.leaves(copies):
        assert leaf.shape[0] == len(leaf.addressable_shards) == len(several_devices)
    back = devices_lib.unpack(jax.tree.map(lambda leaf: leaf[-1], sharding.fetch(copies)))
    assert back.key == state.key
    jax.tree.map(np.testing.assert_array_equal, back._replace(key=0), state._replace(key=0))


def test_shards_lie_in_the_order_of_the_batch(several_devices):
    sharded = sharding.shard(np.arange(32).reshape(16, 2), several_devices)
    shards = np.arange(32).reshape(len(several_devices), -1, 2)
    for number, part in enumerate(sharded.addressable_shards):
        np.testing.assert_array_equal(part.data[0], shards[number])
    np.testing.assert_array_equal(np.asarray(sharded).reshape(16, 2), np.arange(32).reshape(16, 2))


@pytest.mark.exhaustive
def test_the_gradient_on_several_devices_is_that_of_one(several_devices):
    dataset = tiny_dataset()
    learner = tiny_experiment(optimizer=lambda num_steps: optax.sgd(1.0)).build(dataset.spec)
    source = dataset.splits['train']
    batch = source.batch(np.arange(8))
    state = jax.jit(learner.init)(jax.random.key(0), source[0])
    found = {}
    for count in (1, len(several_devices)):
        devices = several_devices[:count]
        update = devices_lib.compile_update(learner, state, batch, devices)
        after, metrics = update.call(
            jax.device_put(devices_lib.pack(state), devices[0]), sharding.shard(batch, devices)
        )
        moved = sharding.fetch(after)
        gradient = jax.tree.map(np.subtract, state.params, moved.params)
        found[count] = gradient, float(metrics['loss']), np.asarray(moved.key)
    (one, loss_one, key_one), (many, loss_many, key_many) = found.values()
    largest = max(float(np.abs(leaf).max()) for leaf in jax.tree.leaves(one))
    assert largest > 1e-3
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, atol=1e-5 * max(largest, 1.0)), one, many)
    assert loss_one == pytest.approx(loss_many, rel=1e-5)
    np.testing.assert_array_equal(key_one, key_many)


def test_memory_that_is_not_there_is_refused_with_the_knob(several_devices, monkeypatch):
    monkeypatch.setattr(devices_lib, 'available_memory', lambda devices: 2**30)
    devices_lib.check_memory(devices_lib.CompiledUpdate(lambda *_: None, 2**30), several_devices, 64)
    devices_lib.check_memory(devices_lib.CompiledUpdate(lambda *_: None, None), several_devices, 64)
    with pytest.raises(InputError, match=r'needs about 2\.0 GiB and 1\.0 GiB are free: lower BATCH_SIZE \(now 64\)'):
        devices_lib.check_memory(devices_lib.CompiledUpdate(lambda *_: None, 2**31), several_devices, 64)


def test_the_need_of_a_step_grows_with_its_batch(several_devices):
    dataset = tiny_dataset()
    learner, source = toy_learner(dataset.spec), dataset.splits['train']
    like = jax.eval_shape(learner.init, jax.random.key(0), source[0])
    needs = []
    for size in (8, 2**36):
        batch = jax.tree.map(lambda leaf: jax.ShapeDtypeStruct((size, *leaf.shape), leaf.dtype), source[0])  # noqa: B023
        needs.append(devices_lib.compile_update(learner, like, batch, several_devices[:1]).bytes_needed)
    assert 0 < needs[0] < 2**24
    assert needs[1] > 2**36 * 30 * 3 * 4


def test_free_memory_is_that_of_the_machine_or_of_the_group(tmp_path):
    (tmp_path / 'meminfo').write_text('MemTotal:  9 kB\nMemAvailable:    5 kB\n')
    for name, text in {
        'memory.max': '9000\n',
        'memory.current': '7000\n',
        'memory.stat': 'inactive_file 500\n',
    }.items():
        (tmp_path / name).write_text(text)
    assert devices_lib._machine_free(tmp_path / 'meminfo') == 5 * 1024
    assert devices_lib._group_free(tmp_path) == 2500
    (tmp_path / 'memory.max').write_text('max\n')
    assert devices_lib._group_free(tmp_path) is None
    assert devices_lib._machine_free(tmp_path / 'none') is None
