import functools
import json
import os
import shutil
import signal

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from hyperinr.datasets.base import Dataset
from hyperinr.errors import InputError, InterruptedRunError, RunError
from hyperinr.runtime.interruption import note
from hyperinr.training import devices, loop
from hyperinr.training.checkpoints import steps_in
from hyperinr.training.loop import train
from hyperinr.training.run_directory import locked
from hyperinr.training.watching.evaluators import held_out_psnr
from tests.training.tiny_run import tiny_dataset
from tests.training.toy import toy_experiment

CONFIG = 'SEED = 0\nsiren.width = 64\n'
train_quickly = functools.partial(
    train,
    log_every=2,
    checkpoint_every=2,
    evaluators=[held_out_psnr(every='3 steps', num_datapoints=2)],
    config_text=CONFIG,
)


class Intercepted:
    """A source that calls ``before(call, batch)`` with the number of each batch read; it may return another."""

    def __init__(self, source, before):
        self._source, self._before, self._calls = source, before, 0

    def __getattr__(self, name):
        return getattr(self._source, name)

    def __len__(self):
        return len(self._source)

    def __getitem__(self, index):
        return self._source[index]

    def batch(self, indices, epoch=None):
        self._calls += 1
        batch = self._source.batch(indices, epoch)
        return self._before(self._calls, batch) or batch


def intercepted_dataset(before):
    dataset = tiny_dataset()
    return Dataset(dataset.spec, {**dataset.splits, 'train': Intercepted(dataset.splits['train'], before)})


def assert_equal_states(a, b):
    packed_a, packed_b = jax.tree.map(np.asarray, (devices.pack(a), devices.pack(b)))
    for one, other in zip(jax.tree.leaves(packed_a), jax.tree.leaves(packed_b), strict=True):
        assert one.tobytes() == other.tobytes()


def records(run_dir, kind):
    lines = [json.loads(line) for line in (run_dir / 'metrics.jsonl').read_text().splitlines()]
    return [line for line in lines if line['kind'] == kind]


@pytest.fixture(scope='module')
def finished(tmp_path_factory):
    """An uninterrupted run, and its final state."""
    run_dir = tmp_path_factory.mktemp('finished') / 'run'
    return run_dir, train_quickly(toy_experiment(), run_dir)


def test_a_run_leaves_everything_that_it_promises(finished):
    run_dir, state = finished
    assert int(state.step) == 7
    assert state.params['head']['w'].shape == (3, 9)
    assert (run_dir / 'config.gin').read_text() == CONFIG
    assert json.loads((run_dir / 'run.json').read_text()) == {'num_steps': 7, 'batch_size': 8, 'seed': 0}
    assert {'python', 'jax', 'optax'} <= json.loads((run_dir / 'versions.json').read_text()).keys()
    assert steps_in(run_dir / 'checkpoints') == [6, 7]
    assert [line['step'] for line in records(run_dir, 'train')] == [2, 4, 6, 7]
    assert [line['step'] for line in records(run_dir, 'validation')] == [3, 6, 7]
    summary = json.loads((run_dir / 'summary.json').read_text())
    assert summary['validation_psnr_db'] == records(run_dir, 'validation')[-1]['psnr_db']


def test_training_lowers_the_loss(tmp_path):
    train_quickly(toy_experiment(num_steps=60), tmp_path / 'run')
    losses = [line['loss'] for line in records(tmp_path / 'run', 'train')]
    assert np.mean(losses[-5:]) < np.mean(losses[:5])


def test_the_state_is_that_of_a_plain_loop_over_the_batches(finished):
    from hyperinr.training.input_pipeline import Positions

    experiment = toy_experiment()
    dataset = experiment.dataset()
    learner, source = experiment.build(dataset.spec), dataset.splits['train']
    positions = Positions(len(source), 8, 0)
    first = source[int(positions(0)[0][0])]
    state = learner.init(jax.random.key(0), first)
    for step in range(7):
        batch = source.batch(*positions(step))
        one = jax.tree.map(lambda leaf: jnp.asarray(leaf)[None], (batch,))[0]
        update = jax.vmap(functools.partial(learner.update, axis_name='one'), (None, 0, 0), axis_name='one')
        state = jax.tree.map(lambda leaf: leaf[0], update(state, one, one)[0])
    jax.tree.map(functools.partial(np.testing.assert_allclose, rtol=1e-4, atol=1e-5), finished[1].params, state.params)


def test_a_finished_run_is_not_run_again(finished, capsys):
    run_dir, state = finished
    before = (run_dir / 'metrics.jsonl').read_bytes()
    assert_equal_states(train_quickly(toy_experiment(), run_dir), state)
    assert 'is finished: 7 of 7 steps' in capsys.readouterr().out
    assert (run_dir / 'metrics.jsonl').read_bytes() == before


@pytest.mark.parametrize(
    ('number', 'raised'),
    [
        (signal.SIGINT, KeyboardInterrupt),
        (signal.SIGHUP, InterruptedRunError),
        (signal.SIGPIPE, InterruptedRunError),
    ],
)
@pytest.mark.usefixtures('default_signals')
def test_a_signal_saves_and_the_same_call_ends_bit_equal(tmp_path, finished, number, raised):
    def before(call, batch):
        if call == 5:
            # Python itself ignores SIGPIPE: a stream notes it.
            note(number) if number == signal.SIGPIPE else os.kill(os.getpid(), number)

    with pytest.raises(raised) as error:
        train_quickly(
            toy_experiment(dataset=lambda: intercepted_dataset(before)), tmp_path / 'run', checkpoint_every=100
        )
    saved = steps_in(tmp_path / 'run' / 'checkpoints')
    assert len(saved) == 1
    assert 0 < saved[0] < 7
    why = 'the standard output was closed' if number == signal.SIGPIPE else 'interrupted'
    assert str(error.value).startswith(f'{why}: saved at step {saved[0]};')
    assert_equal_states(train_quickly(toy_experiment(), tmp_path / 'run'), finished[1])
    assert [line['step'] for line in records(tmp_path / 'run', 'validation')] == [3, 6, 7]


def test_a_damaged_newest_checkpoint_is_trained_again_and_said(tmp_path, finished, capsys):
    def before(call, batch):
        if call == 7:
            raise RuntimeError('power cut')

    with pytest.raises(RuntimeError, match='power cut'):
        train_quickly(toy_experiment(dataset=lambda: intercepted_dataset(before)), tmp_path / 'run')
    newest = steps_in(tmp_path / 'run' / 'checkpoints')[-1]
    (tmp_path / 'run' / 'checkpoints' / str(newest) / 'state' / 'manifest.ocdbt').write_bytes(b'')
    assert_equal_states(train_quickly(toy_experiment(), tmp_path / 'run'), finished[1])
    assert f'checkpoints/{newest} is damaged' in capsys.readouterr().out
    assert [line['step'] for line in records(tmp_path / 'run', 'train')] == [2, 4, 6, 7]


def test_the_update_is_traced_once(tmp_path):
    traces = []
    train_quickly(toy_experiment(on_trace=lambda: traces.append(1)), tmp_path / 'run')
    assert len(traces) == 1


def test_a_batch_that_the_devices_do_not_divide_is_said(tmp_path, capsys, several_devices):
    train_quickly(toy_experiment(num_steps=1, batch_size=9), tmp_path / 'run')
    used = {2: 1, 8: 3}[len(several_devices)]
    assert f'{used} of {len(several_devices)} devices are used: BATCH_SIZE 9' in capsys.readouterr().out


def test_another_config_changes_nothing(finished):
    run_dir, _ = finished
    before = {path: path.stat().st_mtime_ns for path in run_dir.rglob('*')}
    with pytest.raises(InputError, match=r'siren\.width was 64, is now 32'):
        train_quickly(toy_experiment(), run_dir, config_text=CONFIG.replace('64', '32'))
    assert before == {path: path.stat().st_mtime_ns for path in run_dir.rglob('*')}


def test_other_data_of_the_same_config_are_refused(tmp_path):
    known = lambda fingerprint: toy_experiment(num_steps=1)._replace(
        dataset=lambda: tiny_dataset()._replace(fingerprint=fingerprint)
    )
    train_quickly(known('abc'), tmp_path / 'run')
    train_quickly(known('abc'), tmp_path / 'run')
    with pytest.raises(InputError, match='files of the dataset were added, removed'):
        train_quickly(known('abd'), tmp_path / 'run')


def test_a_run_in_progress_is_left_alone(finished):
    run_dir, _ = finished
    with locked(run_dir), pytest.raises(InputError, match='another process is training'):
        train_quickly(toy_experiment(), run_dir)


def test_a_run_whose_checkpoints_are_gone_is_not_silently_trained_again(tmp_path, finished, capsys):
    def before(call, batch):
        if call == limit:
            raise RuntimeError('power cut')

    def cut():
        with pytest.raises(RuntimeError, match='power cut'):
            train_quickly(toy_experiment(dataset=lambda: intercepted_dataset(before)), tmp_path / 'run', log_every=1)
        shutil.rmtree(tmp_path / 'run' / 'checkpoints')

    limit = 5
    cut()
    limit = 8
    cut()
    assert 'ended before its first checkpoint: training begins at step 0 again' in capsys.readouterr().out
    with pytest.raises(InputError, match=r'was trained to step [56], and its checkpoints are gone: restore'):
        train_quickly(toy_experiment(), tmp_path / 'run')


@pytest.mark.parametrize('name', ['log_every', 'checkpoint_every', 'keep_checkpoints'])
def test_an_interval_below_one_is_refused(tmp_path, name):
    with pytest.raises(InputError, match=f'{name} is 0'):
        train(toy_experiment(), tmp_path / 'run', **{name: 0})
    assert not (tmp_path / 'run').exists()


def spoil_values(batch):
    values = np.array(batch.values)
    values[3, 4] = np.nan
    return batch._replace(values=values)


def test_bad_data_at_the_start_are_refused_before_anything_is_written(tmp_path):
    dataset = intercepted_dataset(lambda call, batch: spoil_values(batch))
    with pytest.raises(InputError, match=r"datapoint \d+ of 'tiny' .* not finite"):
        train_quickly(toy_experiment(dataset=lambda: dataset), tmp_path / 'run')
    assert not (tmp_path / 'run').exists()


def test_bad_data_later_fail_the_run(tmp_path):
    dataset = intercepted_dataset(lambda call, batch: spoil_values(batch) if call == 5 else None)
    with pytest.raises(RunError, match=r"before step 4: datapoint \d+ of 'tiny' .* not finite"):
        train_quickly(toy_experiment(dataset=lambda: dataset), tmp_path / 'run')


def test_a_loss_that_is_not_finite_stops_at_its_step_and_keeps_the_sound_checkpoint(tmp_path):
    poison = lambda loss, state: jnp.where(state.step == 4, jnp.nan, loss)
    with pytest.raises(RunError, match=r'diverged at step 5: loss is nan'):
        train_quickly(toy_experiment(poison=poison), tmp_path / 'run', checkpoint_every=3)
    assert steps_in(tmp_path / 'run' / 'checkpoints') == [3]
    assert [line['step'] for line in records(tmp_path / 'run', 'train')] == [2, 4]


def test_a_parameter_that_is_not_finite_is_named(tmp_path):
    with pytest.raises(RunError, match=r'the parameter head/\w is not finite'):
        train_quickly(toy_experiment(learning_rate=float('inf')), tmp_path / 'run', checkpoint_every=100)


def test_too_little_memory_is_refused_before_anything_is_written(tmp_path, monkeypatch):
    monkeypatch.setattr(devices, 'available_memory', lambda devices: 1000)
    with pytest.raises(InputError, match='lower BATCH_SIZE'):
        train_quickly(toy_experiment(), tmp_path / 'run')
    assert not (tmp_path / 'run').exists()


def test_memory_that_runs_out_midway_names_what_to_lower(tmp_path, monkeypatch):
    compile_update = loop.compile_update

    def exhausted(*arguments):
        def call(state, batch, stop):
            raise jax.errors.JaxRuntimeError('RESOURCE_EXHAUSTED: Out of memory allocating 68719476736 bytes.')

        return compile_update(*arguments)._replace(call=call)

    monkeypatch.setattr(loop, 'compile_update', exhausted)
    with pytest.raises(RunError, match=r'out of memory: lower BATCH_SIZE \(now 8\)'):
        train_quickly(toy_experiment(), tmp_path / 'run')


def test_a_disk_that_fills_up_ends_in_one_line_and_the_run_goes_on_later(tmp_path, finished, file_size_limit):
    with file_size_limit(600), pytest.raises(RunError) as error:
        train_quickly(toy_experiment(), tmp_path / 'run')
    assert '\n' not in str(error.value)
    assert str(tmp_path / 'run') in str(error.value)
    assert_equal_states(train_quickly(toy_experiment(), tmp_path / 'run'), finished[1])


def test_arithmetic_is_reported_against_a_matrix_product(tmp_path, capsys):
    train_quickly(toy_experiment(num_steps=1), tmp_path / 'run')
    summary = json.loads((tmp_path / 'run' / 'summary.json').read_text())
    assert summary['fraction'] == pytest.approx(summary['gflops'] / summary['matrix_product_gflops'])
    assert summary['gflops'] == pytest.approx(1e-3 / summary['step_seconds'])
    assert 'of a matrix product' in capsys.readouterr().out
