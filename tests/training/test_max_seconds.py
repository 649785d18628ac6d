"""A run that ends when its time is up: a finished run like any other, at the step where that was."""

import json

import pytest

from hyperinr.errors import InputError
from hyperinr.training import devices as seam
from hyperinr.training.checkpoints import steps_in
from hyperinr.training.loop import train
from tests.training.toy import toy_experiment


def run(folder, max_seconds):
    return train(
        toy_experiment(num_steps=7), folder, log_every=5, validate_every=5, checkpoint_every=5,
        num_validation=2, tensorboard=False, max_seconds=max_seconds,
    )  # fmt: skip


@pytest.fixture(name='clock')
def _clock(monkeypatch):
    """Every update takes a second, all else no time."""
    now = [0.0]
    compile_update = seam.compile_update

    def timed(*arguments):
        compiled = compile_update(*arguments)

        def call(state, batch):
            now[0] += 1.0
            return compiled.call(state, batch)

        return compiled._replace(call=call)

    monkeypatch.setattr('time.perf_counter', lambda: now[0])
    monkeypatch.setattr(seam, 'compile_update', timed)


@pytest.mark.usefixtures('clock')
def test_training_ends_with_the_update_that_uses_the_time_up(tmp_path, capsys):
    state = run(tmp_path / 'run', 3)
    assert int(state.step) == 3
    assert steps_in(tmp_path / 'run' / 'checkpoints') == [3]
    lines = [json.loads(line) for line in (tmp_path / 'run' / 'metrics.jsonl').read_text().splitlines()]
    assert [(line['kind'], line['step']) for line in lines] == [('train', 3), ('validation', 3)]
    assert json.loads((tmp_path / 'run' / 'summary.json').read_text())['step_seconds'] == 1
    assert int(run(tmp_path / 'run', 3).step) == 3
    assert 'is finished: 3 steps in 3 of 3 s' in capsys.readouterr().out
    assert int(run(tmp_path / 'run', 100).step) == 7


def test_a_time_that_is_none_is_refused(tmp_path):
    with pytest.raises(InputError, match='max_seconds is 0'):
        run(tmp_path / 'run', 0)
    assert not (tmp_path / 'run').exists()
