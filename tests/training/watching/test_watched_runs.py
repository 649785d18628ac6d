"""Runs with several evaluators, loggers that fail, rules that end them, and the state that they keep as the best."""

import contextlib
import functools
import gzip
import json
import os
import signal

import jax
import numpy as np
import pytest

from hyperinr.errors import InputError
from hyperinr.runtime.machine import Machine
from hyperinr.training import devices, loop
from hyperinr.training.checkpoints import restore_newest, steps_in
from hyperinr.training.loop import train
from hyperinr.training.watching.best_checkpoint import best_checkpoint
from hyperinr.training.watching.clock import PARTS
from hyperinr.training.watching.evaluators import held_out_psnr
from hyperinr.training.watching.loggers import Logger
from hyperinr.training.watching.stop_rules import after, early_stopping
from tests.training.scripted import records, scripted
from tests.training.toy import toy_experiment

watched = functools.partial(train, log_every=100, checkpoint_every=100)


def steps(run_dir, kind):
    return [record['step'] for record in records(run_dir, kind)]


def summary(run_dir):
    return json.loads((run_dir / 'summary.json').read_text())


def assert_equal_states(a, b):
    for one, other in zip(*(jax.tree.leaves(devices.pack(state)) for state in (a, b)), strict=True):
        assert np.asarray(one).tobytes() == np.asarray(other).tobytes()


def interrupting(evaluator, at_step):
    """The same evaluator, which gets a SIGINT while it measures that step."""

    def prepare(subject):
        measurement = evaluator.prepare(subject)

        def measure(state):
            if int(state.step) == at_step:
                os.kill(os.getpid(), signal.SIGINT)
            return measurement.measure(state)

        return measurement._replace(measure=measure)

    return evaluator._replace(prepare=prepare)


def test_each_evaluator_has_its_own_cadence_and_all_look_at_the_last_step(tmp_path):
    # Eight of twenty datapoints in an update: an epoch ends within the third and the fifth.
    evaluators = [
        scripted(lambda step: step, name='steps', every='3 steps'),
        scripted(lambda step: -step, name='epochs', every='1 epoch'),
    ]
    watched(toy_experiment(), tmp_path / 'run', evaluators=evaluators)
    assert steps(tmp_path / 'run', 'steps') == [3, 6, 7]
    assert steps(tmp_path / 'run', 'epochs') == [3, 5, 7]
    assert summary(tmp_path / 'run')['figures'] == {'steps/value': 7.0, 'epochs/value': -7.0}


def test_a_cadence_in_seconds_counts_training_alone(tmp_path, monkeypatch):
    now = [0.0]
    monkeypatch.setattr('time.perf_counter', lambda: now[0])
    monkeypatch.setattr(loop, 'compilation_apart', contextlib.nullcontext)  # it measures by jax's own clock

    def slow_update(*arguments):
        compiled = compile_update(*arguments)

        def call(state, batch, stop):
            now[0] += 20.0
            return compiled.call(state, batch)

        return compiled._replace(call=call)

    compile_update = devices.compile_update
    monkeypatch.setattr(loop, 'compile_update', slow_update)

    def value(step):
        now[0] += 1000.0
        return step

    watched(toy_experiment(), tmp_path / 'run', evaluators=[scripted(value, every='30 seconds')])
    assert steps(tmp_path / 'run', 'score') == [2, 3, 5, 6, 7]
    assert [record['seconds'] for record in records(tmp_path / 'run', 'score')] == [40.0, 60.0, 100.0, 120.0, 140.0]
    assert [record['evaluation_seconds'] for record in records(tmp_path / 'run', 'score')] == [1000.0] * 5
    found = summary(tmp_path / 'run')
    assert (found['seconds'], found['step_seconds']) == (140.0, 20.0)
    assert (found['time']['step'], found['time']['evaluation']) == (140.0, 5000.0)


def test_every_run_says_where_its_time_went(tmp_path, capsys):
    watched(toy_experiment(), tmp_path / 'run', evaluators=[held_out_psnr(num_datapoints=2)])
    (record,) = records(tmp_path / 'run', 'time')
    time = summary(tmp_path / 'run')['time']
    assert set(time) == set(PARTS)
    assert record['step'] == 7
    assert record['step_seconds'] == pytest.approx(time['step'])
    assert all(seconds >= 0 for seconds in time.values())
    assert min(time[part] for part in ('compile', 'step', 'evaluation', 'checkpoint')) > 0
    shown = capsys.readouterr().out
    for part in PARTS:
        assert f'time: {part}' in shown


def test_early_stopping_ends_the_run_with_everything_in_order(tmp_path, capsys):
    scores = {1: 5.0, 2: 9.0, 3: 8.0, 4: 9.0, 5: 1.0}
    evaluators = [scripted(scores.get), scripted(lambda step: step, name='rare', every='100 steps')]
    options = {'evaluators': evaluators, 'stop_rules': [early_stopping(figure='score/value', patience=2)]}
    run_dir = tmp_path / 'run'
    state = watched(toy_experiment(), run_dir, **options)
    assert int(state.step) == 4
    assert steps_in(run_dir / 'checkpoints') == [4]
    assert steps(run_dir, 'rare') == steps(run_dir, 'train') == [4]
    assert summary(run_dir)['ended_by'] == 'score/value not better than 9 in 2 evaluations'
    assert 'ended at step 4 of 7: score/value not better than 9' in capsys.readouterr().out
    before = (run_dir / 'metrics.jsonl').read_bytes()
    assert_equal_states(watched(toy_experiment(), run_dir, **options), state)
    assert 'is finished: 4 of 7 steps are done (score/value not better' in capsys.readouterr().out
    assert (run_dir / 'metrics.jsonl').read_bytes() == before
    # With more patience the same run goes on from there.
    more = options | {'stop_rules': [early_stopping(figure='score/value', patience=3)]}
    assert int(watched(toy_experiment(), run_dir, **more).step) == 5


def test_an_interrupted_run_ends_where_an_undisturbed_one_does(tmp_path):
    scores = {1: 5.0, 2: 9.0, 3: 8.0, 4: 7.0, 5: 6.0, 6: 5.0, 7: 4.0}
    score = scripted(scores.get)
    options = {'stop_rules': [early_stopping(figure='score/value', patience=3)]}
    whole = watched(toy_experiment(), tmp_path / 'whole', evaluators=[score], **options)
    with pytest.raises(KeyboardInterrupt):
        watched(toy_experiment(), tmp_path / 'parts', evaluators=[interrupting(score, 3)], **options)
    assert_equal_states(watched(toy_experiment(), tmp_path / 'parts', evaluators=[score], **options), whole)
    assert int(whole.step) == 5
    parts = summary(tmp_path / 'parts')['time']
    told = records(tmp_path / 'parts', 'time')
    assert len(told) == 2
    assert [record['step'] for record in told] == [4, 5]
    assert parts['step'] == pytest.approx(sum(record['step_seconds'] for record in told))


@pytest.mark.parametrize(('limit', 'step'), [('4 steps', 4), ('1 epoch', 3)])
def test_a_limit_ends_the_run_and_lifting_it_lets_it_go_on(tmp_path, limit, step):
    state = watched(toy_experiment(), tmp_path / 'run', stop_rules=[after(limit=limit)])
    assert int(state.step) == step
    assert steps_in(tmp_path / 'run' / 'checkpoints') == [step]
    assert summary(tmp_path / 'run')['ended_by'] == f'{limit} of training'
    assert int(watched(toy_experiment(), tmp_path / 'run').step) == 7
    assert_equal_states(
        restore_newest(tmp_path / 'run' / 'checkpoints', like()).state, watched(toy_experiment(), tmp_path / 'other')
    )


def like():
    experiment = toy_experiment()
    dataset = experiment.dataset()
    return jax.eval_shape(experiment.build(dataset.spec).init, jax.random.key(0), dataset.splits['train'][0])


@pytest.mark.parametrize(('mode', 'best', 'kept'), [('max', 3, [2, 3]), ('min', 4, [1, 4])])
def test_the_best_state_is_kept_and_is_the_one_of_its_step(tmp_path, mode, best, kept):
    scores = {1: 4.0, 2: 6.0, 3: 9.0, 4: 1.0, 5: 5.0, 6: float('nan'), 7: 3.0}
    run_dir = tmp_path / 'run'
    watched(
        toy_experiment(),
        run_dir,
        evaluators=[scripted(scores.get)],
        best=best_checkpoint(figure='score/value', mode=mode, keep=2),
    )
    assert steps_in(run_dir / 'best') == kept
    found = restore_newest(run_dir / 'best', like())
    assert found.step == best
    assert_equal_states(
        found.state, watched(toy_experiment(), tmp_path / 'short', stop_rules=[after(limit=f'{best} steps')])
    )
    assert summary(run_dir)['best'] == {'step': best, 'value': scores[best]}


def test_the_best_so_far_survives_an_interruption(tmp_path):
    score = scripted({1: 1.0, 2: 9.0, 3: 2.0, 4: 3.0, 5: 4.0, 6: 5.0, 7: 6.0}.get)
    options = {'best': best_checkpoint(figure='score/value'), 'checkpoint_every': 4}
    with pytest.raises(KeyboardInterrupt):
        train(toy_experiment(), tmp_path / 'run', evaluators=[interrupting(score, 3)], **options)
    train(toy_experiment(), tmp_path / 'run', evaluators=[score], **options)
    assert steps_in(tmp_path / 'run' / 'best') == [2]
    assert summary(tmp_path / 'run')['best'] == {'step': 2, 'value': 9.0}


class Failing:
    def write(self, record):
        raise ConnectionError('no route to host')

    def close(self):
        raise AssertionError('left out, so not closed either')


def test_a_logger_that_fails_is_reported_once_and_changes_nothing(tmp_path, capsys):
    loggers = [Logger('remote', lambda facts: Failing())]
    state = watched(toy_experiment(), tmp_path / 'run', loggers=loggers, log_every=1)
    shown = capsys.readouterr().out
    assert shown.count('the logger remote failed') == 1
    assert 'no route to host' in shown.split('time: other')[1]
    assert_equal_states(state, watched(toy_experiment(), tmp_path / 'other'))
    assert steps(tmp_path / 'run', 'train') == [1, 2, 3, 4, 5, 6, 7]


def test_a_trace_holds_the_steps_asked_for(tmp_path, capsys):
    watched(toy_experiment(num_steps=9), tmp_path / 'run', profile_steps=3)
    assert 'steps 6 to 8 are traced' in capsys.readouterr().out
    (trace,) = (tmp_path / 'run' / 'profile').glob('plugins/profile/*/*.trace.json.gz')
    with gzip.open(trace) as file:
        found = json.load(file)['traceEvents']
    numbers = {int(event['args']['step_num']) for event in found if 'step_num' in event.get('args', {})}
    assert numbers == {5, 6, 7}


def test_a_trace_longer_than_the_run_is_of_all_of_it(tmp_path, capsys):
    watched(toy_experiment(num_steps=2), tmp_path / 'run', profile_steps=5)
    assert 'steps 1 to 2 are traced' in capsys.readouterr().out


def test_the_machine_says_how_many_devices_and_threads(tmp_path, capsys, several_devices):
    state = watched(toy_experiment(), tmp_path / 'run', machine=Machine(devices=1, workers=3))
    assert 'on 1 cpu device' in capsys.readouterr().out
    other = watched(toy_experiment(), tmp_path / 'other')
    assert f'on {len(several_devices)} cpu devices' in capsys.readouterr().out
    jax.tree.map(functools.partial(np.testing.assert_allclose, rtol=1e-4, atol=1e-5), state.params, other.params)


@pytest.mark.parametrize(
    ('options', 'message'),
    [
        ({'stop_rules': [early_stopping(figure='score/valeu')]}, "finds 'score/valeu'; they find score/value"),
        ({'best': best_checkpoint(figure='other/value')}, "finds 'other/value'"),
        ({'evaluators': [scripted(float), scripted(float)]}, "'score' of an evaluator is used twice"),
        ({'evaluators': [scripted(float, name='train')]}, "'train' of an evaluator is taken"),
        ({'evaluators': [scripted(float, figure='seconds')]}, 'figure score/seconds has a name that every record uses'),
        ({'profile_steps': -1}, 'profile_steps is -1'),
        ({'machine': Machine(devices=9)}, 'machine.devices is 9; this process has'),
    ],
)
def test_what_cannot_be_watched_is_refused_before_anything_is_written(tmp_path, options, message):
    with pytest.raises(InputError, match=message):
        watched(toy_experiment(), tmp_path / 'run', **({'evaluators': [scripted(float)]} | options))
    assert not (tmp_path / 'run').exists()


@pytest.mark.parametrize('options', [{'mode': 'biggest'}, {'keep': 0}])
def test_a_best_checkpoint_of_a_wrong_value_is_refused(options):
    with pytest.raises(InputError, match=next(iter(options))):
        best_checkpoint(**options)
