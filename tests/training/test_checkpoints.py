import json
import os
import re
import shutil
from pathlib import Path
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from hyperinr.errors import InputError, RunError
from hyperinr.training import checkpoints as checkpoints_lib
from hyperinr.training import devices as devices_lib
from hyperinr.training.checkpoints import Checkpoints, check_run, restore_newest, steps_in
from hyperinr.types import TrainState


class Nested(NamedTuple):
    empty: optax.EmptyState
    none: None
    nothing: jax.Array


def state_at(step, size=6):
    key = jax.random.fold_in(jax.random.key(0), step)
    params = {
        'a': {'w': jax.random.normal(key, (size, 4)), 'b': jnp.full((), 2.0)},
        'c': {'half': jnp.ones(3, jnp.bfloat16)},
    }
    extra = Nested(optax.EmptyState(), None, jnp.zeros((0, 3)))
    return TrainState(jnp.int32(step), params, (optax.adam(1.0).init(params), extra), params, key)


def packed(state):
    return jax.tree.map(np.array, devices_lib.pack(state))


@pytest.fixture
def saved(tmp_path):
    """Steps 1, 2 and 3, of which the newest two are kept."""
    checkpoints = Checkpoints(tmp_path / 'checkpoints', keep=2)
    for step in (1, 2, 3):
        checkpoints.save(packed(state_at(step)), seconds=10.0 * step)
    checkpoints.wait()
    checkpoints.close()
    return tmp_path / 'checkpoints'


def test_what_was_saved_comes_back_bit_for_bit(saved):
    assert steps_in(saved) == [2, 3]
    found = restore_newest(saved, jax.eval_shape(lambda: state_at(0)))
    assert (found.step, found.seconds, found.notes) == (3, 30.0, [])
    expected = state_at(3)
    assert found.state.key == expected.key
    assert jax.tree.structure(found.state) == jax.tree.structure(expected)
    for a, b in zip(jax.tree.leaves(packed(found.state)), jax.tree.leaves(packed(expected)), strict=True):
        assert a.dtype == b.dtype
        assert a.shape == b.shape
        assert a.tobytes() == b.tobytes()


def test_no_checkpoint_is_none(tmp_path):
    assert restore_newest(tmp_path / 'none', state_at(0)) is None


def data_file(folder):
    return max((folder / 'state').glob('**/d/*'), key=lambda path: path.stat().st_size)


def cut_short(folder):
    path = data_file(folder)
    path.write_bytes(path.read_bytes()[:-7])


def change_a_byte(folder):
    path = data_file(folder)
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def lose_a_file(folder):
    data_file(folder).unlink()


def cut_metadata(folder):
    path = folder / 'metadata' / 'metadata'
    path.write_bytes(path.read_bytes()[:20])


def change_the_seconds(folder):
    path = folder / 'metadata' / 'metadata'
    path.write_text(json.dumps({**json.loads(path.read_text()), 'seconds': 1.0}))


def lose_the_sums(folder):
    (folder / 'SHA256SUMS').unlink()


def make_a_pipe_of_the_sums(folder):
    lose_the_sums(folder)
    os.mkfifo(folder / 'SHA256SUMS')


def make_a_pipe_of_the_metadata(folder):
    (folder / 'metadata' / 'metadata').unlink()
    os.mkfifo(folder / 'metadata' / 'metadata')


def make_metadata_endless(folder):
    (folder / 'metadata' / 'metadata').unlink()
    (folder / 'metadata' / 'metadata').symlink_to('/dev/zero')


DAMAGES = [cut_short, change_a_byte, lose_a_file, cut_metadata, change_the_seconds, lose_the_sums, shutil.rmtree]
DAMAGES += [make_a_pipe_of_the_sums, make_a_pipe_of_the_metadata, make_metadata_endless]


@pytest.mark.parametrize('damage', DAMAGES)
def test_a_damaged_newest_checkpoint_falls_back_and_says_so(saved, damage):
    damage(saved / '3')
    (saved / '3').mkdir(exist_ok=True)
    check_run(saved)
    found = restore_newest(saved, state_at(0))
    assert found.step == 2
    assert 'checkpoints/3 is damaged' in found.notes[0]
    assert 'step 2' in found.notes[1]
    np.testing.assert_array_equal(found.state.params['a']['w'], state_at(2).params['a']['w'])


def test_damaged_steps_are_no_obstacle_to_saving_again(saved):
    cut_short(saved / '3')
    checkpoints = Checkpoints(saved, keep=2, after_step=2)
    checkpoints.save(packed(state_at(3)), seconds=1.0)
    checkpoints.wait()
    checkpoints.close()
    assert restore_newest(saved, state_at(0)).step == 3


def test_a_save_that_a_kill_cut_short_is_no_obstacle_to_saving_another_step(saved):
    (saved / '9.orbax-checkpoint-tmp').mkdir()
    checkpoints = Checkpoints(saved, keep=2)
    checkpoints.save(packed(state_at(4)), seconds=1.0)
    checkpoints.wait()
    checkpoints.close()
    assert restore_newest(saved, state_at(0)).step == 4
    assert not list(saved.glob('*tmp'))


def test_no_sound_checkpoint_is_an_error(saved):
    for step in (2, 3):
        cut_short(saved / str(step))
    with pytest.raises(InputError, match=r'none of the checkpoints .* can be read \(steps 2, 3\)'):
        restore_newest(saved, state_at(0))


def test_a_checkpoint_that_a_training_deletes_while_it_is_read_is_not_damaged(saved, monkeypatch):
    read, moved = checkpoints_lib._read, []

    def read_late(folder, like):
        if not moved:
            moved.append(shutil.rmtree(saved / '2'))
            shutil.move(saved / '3', saved / '4')
        return read(folder, like)

    monkeypatch.setattr(checkpoints_lib, '_read', read_late)
    found = restore_newest(saved, state_at(0))
    assert (int(found.state.step), found.notes) == (3, [])


def test_process_0_sends_its_checkpoint_bit_for_bit_and_without_code(saved):
    sent = []

    class Two:
        count = 2

        def broadcast(self, content):
            sent.append(content)
            return sent[0]

    like = jax.eval_shape(lambda: state_at(0))
    restored = restore_newest(saved, like)._replace(notes=['a note'])
    received = checkpoints_lib.shared(restored, Two(), like)
    assert jax.tree.structure(received) == jax.tree.structure(restored)
    assert (*received[1:],) == (3, 30.0, ['a note'])
    for a, b in zip(jax.tree.leaves(packed(received.state)), jax.tree.leaves(packed(restored.state)), strict=True):
        assert (a.dtype, a.shape, a.tobytes()) == (b.dtype, b.shape, b.tobytes())
    assert json.loads(sent[0].partition(b'\n')[0]) == {'step': 3, 'seconds': 30.0, 'notes': ['a note']}
    sent.clear()
    assert checkpoints_lib.shared(None, Two(), like) is None


def test_a_checkpoint_of_another_model_is_refused(saved):
    with pytest.raises(InputError, match=r"another model: state\.average\['a'\]\['w'\]"):
        restore_newest(saved, state_at(0, size=7))


def test_a_checkpoint_of_the_earlier_layout_is_refused_with_a_remedy(tmp_path):
    (tmp_path / '7' / 'metadata').mkdir(parents=True)
    (tmp_path / '7' / 'metadata' / 'metadata').write_text('{"schema": 1, "step": 7, "checksum": 5}')
    with pytest.raises(InputError, match=r'7 has checkpoint schema 1 and this version reads schema 2: .* new folder'):
        restore_newest(tmp_path, state_at(0))


def test_orbax_alone_restores_it_as_the_documentation_shows(saved, monkeypatch):
    text = (Path(__file__).resolve().parents[2] / 'docs' / 'scaling.md').read_text(encoding='utf-8')
    code = re.search(r'```python\n(.*?)```', text, re.DOTALL)[1]
    assert len(code.splitlines()) <= 10
    assert 'hyperinr' not in code
    (saved.parent / 'runs' / 'mine').mkdir(parents=True)
    saved.rename(saved.parent / 'runs' / 'mine' / 'checkpoints')
    monkeypatch.chdir(saved.parent)
    names = {}
    exec(code, names)
    expected = jax.tree.leaves_with_path(packed(state_at(3)))
    found = {jax.tree_util.keystr(path): leaf for path, leaf in jax.tree.leaves_with_path(names['state'])}
    assert names['state']['step'] == 3
    assert set(names['state']) == set(TrainState._fields)
    np.testing.assert_array_equal(found["['params']['a']['w']"], packed(state_at(3)).params['a']['w'])
    assert len(found) == sum(leaf.size > 0 for _, leaf in expected)


def test_the_leftover_of_a_killed_save_is_passed_over(saved):
    shutil.copytree(saved / '3', saved / '4.orbax-checkpoint-tmp')
    assert restore_newest(saved, state_at(0)).step == 3
    checkpoints = Checkpoints(saved)
    checkpoints.save(packed(state_at(4)), seconds=1.0)
    checkpoints.close()
    assert restore_newest(saved, state_at(0)).step == 4


def test_a_state_that_is_not_finite_is_not_saved(tmp_path):
    bad = packed(state_at(1))
    bad.params['a']['w'][2, 1] = np.nan
    checkpoints = Checkpoints(tmp_path)
    with pytest.raises(RunError, match=r'not finite after step 1: first in params/a/w;'):
        checkpoints.save(bad, seconds=1.0)
    checkpoints.close()
    assert steps_in(tmp_path) == []


def _save_and_wait(checkpoints, state):
    checkpoints.save(state, seconds=1.0)
    checkpoints.wait()


def test_a_full_disk_is_one_line_and_leaves_the_earlier_checkpoint(saved, file_size_limit):
    checkpoints = Checkpoints(saved, keep=2)
    state = packed(state_at(4, size=5000))
    with file_size_limit(2000), pytest.raises(RunError, match='disk is full') as error:
        _save_and_wait(checkpoints, state)
    checkpoints.close()
    assert '\n' not in str(error.value)
    assert restore_newest(saved, state_at(0)).step == 3
