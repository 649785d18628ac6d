"""Each kind of damage is found and named; repairing it and fitting again gives the undamaged store."""

import json
import shutil

import numpy as np
import pytest

from hyperinr import metrics
from hyperinr.errors import InputError
from hyperinr.neural_datasets import verification
from hyperinr.neural_datasets.shard_locks import shard_lock
from hyperinr.neural_datasets.shards import map_shard, shard_path, write_shard
from tests.neural_datasets.tiny_store import default_job, fit_tiny


@pytest.fixture(scope='module')
def sound(tmp_path_factory):
    folder = tmp_path_factory.mktemp('stores') / 'sound'
    fit_tiny(folder)
    return folder


@pytest.fixture
def store(sound, tmp_path):
    return shutil.copytree(sound, tmp_path / 'store')


def rewrite(folder, change, begin=4, end=8):
    """A shard with a right checksum and wrong content."""
    path = shard_path(folder, begin, end)
    tensors = {name: np.array(tensor) for name, tensor in map_shard(path, (end - begin, 81))[0].items()}
    weights = tensors.pop('weights')
    change(weights, tensors)
    write_shard(folder, weights, tensors)


def flip_a_byte(folder):
    path = shard_path(folder, 4, 8)
    data = bytearray(path.read_bytes())
    data[-5] ^= 1
    path.write_bytes(data)


def cut_short(folder):
    path = shard_path(folder, 4, 8)
    path.write_bytes(path.read_bytes()[:-100])


def cut_in_the_header(folder):
    shard_path(folder, 4, 8).write_bytes(b'\x10\x00')


def no_shard_at_all(folder):
    shard_path(folder, 4, 8).write_text('this is not a shard, but it is long enough to look into')


def poison(folder):
    def change(weights, columns):
        weights[1, 3] = np.nan

    rewrite(folder, change)


def wrong_source(folder):
    def change(weights, columns):
        columns['source_index'][2] += 1

    rewrite(folder, change)


def wrong_status(folder):
    def change(weights, columns):
        columns['status'][2] = 9

    rewrite(folder, change)


def wrong_psnr(folder):
    def change(weights, columns):
        columns['psnr_db'][2] += 1

    rewrite(folder, change)


def copied_weights(folder):
    first = map_shard(shard_path(folder, 0, 4), (4, 81))[0]['weights']

    def change(weights, columns):
        weights[2] = first[3]

    rewrite(folder, change)


def other_layout(folder):
    tensors, _ = map_shard(shard_path(folder, 4, 8), (4, 81))
    weights = tensors.pop('weights')
    write_shard(folder, weights[:, :-1], tensors)


DAMAGES = {
    flip_a_byte: 'weights-4-8.safetensors: the checksum does not fit',
    cut_short: 'weights-4-8.safetensors.*cut short',
    cut_in_the_header: 'weights-4-8.safetensors.*no safetensors header',
    no_shard_at_all: 'weights-4-8.safetensors',
    poison: 'not finite in 1 INRs not marked as diverged, first 5',
    wrong_source: 'column source_index is wrong in 1 rows: INR 6 has 7',
    wrong_status: 'column status holds 9',
    wrong_psnr: 'mse and psnr_db contradict each other in 1 INRs, first 6',
    copied_weights: 'INR 6 has the very weights of INR 3',
    other_layout: r'weights \(4, 80\) instead of \(4, 81\)',
}


def test_a_sound_store_has_no_problems(store):
    found = verification.verify(store)
    assert found.problems == []
    assert found.num_inrs == 22
    job = default_job()
    assert verification.reevaluate(store, job.inr, job.signals.batch) == []


@pytest.mark.parametrize('damage', DAMAGES, ids=lambda damage: damage.__name__)
def test_damage_is_named_dropped_and_made_anew(sound, store, damage):
    import re

    damage(store)
    problems = verification.verify(store).problems
    assert [problem for problem in problems if re.search(DAMAGES[damage], problem.message)], problems
    assert all('\n' not in problem.message for problem in problems)
    dropped = verification.drop(store, problems)
    assert dropped == [shard_path(store, 4, 8)]
    fit_tiny(store)
    assert verification.verify(store).problems == []
    assert shard_path(store, 4, 8).read_bytes() == shard_path(sound, 4, 8).read_bytes()


def test_weights_of_another_signal_are_found_by_measuring(store):
    def change(weights, columns):
        weights[[0, 1]] = weights[[1, 0]]

    rewrite(store, change)
    assert verification.verify(store).problems == []
    job = default_job()
    problems = verification.reevaluate(store, job.inr, job.signals.batch)
    assert [problem.message.partition(':')[0] for problem in problems] == ['INR 4', 'INR 5']
    assert {problem.shard for problem in problems} == {(4, 8)}
    assert verification.reevaluate(store, job.inr, job.signals.batch, num_samples=0) == []


def test_a_range_is_verified_alone(store):
    """Gaps, damage and duplicates outside of the range are no problem, inside of it they are."""
    shard_path(store, 16, 20).unlink()
    shutil.copy(shard_path(store, 0, 4), shard_path(store, 12, 15))
    cut_short(store)
    found = verification.verify(store, 8, 10)
    assert (found.problems, found.num_inrs) == ([], 4)
    assert found.notes == ['[8, 12) of [0, 22) verified: the range in whole shards']
    job = default_job()
    assert verification.reevaluate(store, job.inr, job.signals.batch, start=8, end=10) == []
    assert [problem.shard for problem in verification.verify(store, 6, 13).problems] == [(4, 8), (12, 15)]
    (gap,) = verification.verify(store, 16).problems
    assert gap.message == f'4 INRs are missing: [16, 20); `hyperinr fit --store {store} --start 16 --end 22` makes them'


def test_gaps_are_named_as_ranges(store):
    for begin in (4, 8, 16):
        shard_path(store, begin, begin + 4).unlink()
    (problem,) = verification.verify(store).problems
    assert problem.message.startswith('12 INRs are missing: [4, 12), [16, 20);')
    assert problem.shard is None


def test_a_shard_off_the_grid_is_a_duplicate(store):
    shutil.copy(shard_path(store, 0, 4), shard_path(store, 0, 3))
    (problem,) = verification.verify(store).problems
    assert problem.shard == (0, 3)
    verification.drop(store, [problem])
    assert verification.verify(store).problems == []


def test_foreign_files_are_listed_and_never_deleted(store):
    (store / 'notes.txt').write_text('mine')
    (problem,) = verification.verify(store).problems
    assert problem == verification.Problem('notes.txt: a foreign file in the folder; move it away')
    assert verification.drop(store, [problem]) == []
    assert (store / 'notes.txt').exists()


def test_leftovers_are_a_note(store):
    (store / '.weights-0-4.77.partial.safetensors').write_bytes(b'')
    found = verification.verify(store)
    assert found.problems == []
    assert '1 unfinished files' in found.notes[0]


def test_a_shard_that_a_worker_holds_is_not_dropped(store):
    flip_a_byte(store)
    with shard_lock(store, 4, 8):
        assert verification.drop(store, verification.verify(store).problems) == []


@pytest.mark.parametrize(
    ('change', 'message'),
    [
        (lambda content: content.update(schema_version=2), 'schema version 2.*update'),
        (lambda content: content.update(config='x = 1'), 'the config does not match its hash'),
        (lambda content: content.update(num_weights=3), 'contradict'),
        (lambda content: content.pop('inr'), 'does not describe a neural dataset'),
    ],
)
def test_a_damaged_description_is_one_line(store, change, message):
    path = store / 'dataset.json'
    content = json.loads(path.read_text())
    change(content)
    path.write_text(json.dumps(content))
    with pytest.raises(InputError, match=message) as raised:
        verification.verify(store)
    assert '\n' not in str(raised.value)


def test_no_store_is_said(tmp_path):
    with pytest.raises(InputError, match='holds no neural dataset'):
        verification.verify(tmp_path)


def test_tolerance_is_far_above_rounding_and_far_below_a_wrong_signal():
    mse = np.float32(1e-4)
    exact = 10 * np.log10(1 / np.float64(mse))
    assert abs(float(metrics.psnr_from_mse(mse, (0.0, 1.0))) - exact) < verification.PSNR_TOLERANCE_DB / 100
