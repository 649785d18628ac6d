"""Each kind of damage is found and named; repairing it and fitting again gives the undamaged store."""

import json
import os
import re
import shutil

import jax
import numpy as np
import pytest

from hyperinr import metrics
from hyperinr.errors import InputError
from hyperinr.neural_datasets import measurement, verification
from hyperinr.neural_datasets.description import SCHEMA_VERSION, Description, config_hash
from hyperinr.neural_datasets.description_checks import DIGEST, content_digest
from hyperinr.neural_datasets.identity import differences, identity
from hyperinr.neural_datasets.shard_locks import shard_lock
from hyperinr.neural_datasets.shards import map_shard, shard_path, write_shard
from hyperinr.neural_datasets.signals import Signals
from hyperinr.neural_datasets.store import open_store
from hyperinr.neural_datasets.worker import fit_range, open_for_fitting
from hyperinr.types import DatasetSpec
from hyperinr.weights import WeightSpec
from tests.neural_datasets.tiny_store import default_job, fit_tiny, tiny_dataset

STORE = identity(default_job().description)


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
    tensors = {name: np.array(tensor) for name, tensor in tensors_of(folder, begin, end).items()}
    weights = tensors.pop('weights')
    change(weights, tensors)
    write_shard(folder, weights, tensors, store=STORE)


def tensors_of(folder, begin, end):
    return map_shard(folder, (begin, end), 81, store=STORE).tensors


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
    first = tensors_of(folder, 0, 4)['weights']

    def change(weights, columns):
        weights[2] = first[3]

    rewrite(folder, change)


def other_layout(folder):
    tensors = tensors_of(folder, 4, 8)
    write_shard(folder, tensors.pop('weights')[:, :-1], tensors, store=STORE)


def header(change):
    """A shard whose header says something else of the same data."""

    def damage(folder):
        path = shard_path(folder, 4, 8)
        data = path.read_bytes()
        length = int.from_bytes(data[:8], 'little')
        content = json.loads(data[8 : 8 + length])
        text = change(content) or json.dumps(content)
        path.write_bytes(len(text).to_bytes(8, 'little') + text.encode() + data[8 + length :])

    return damage


HEADERS = {
    'overlap': lambda found: found['seed'].update(data_offsets=found['index']['data_offsets']),
    'negative': lambda found: found['index'].update(data_offsets=[-32, 0]),
    'outside': lambda found: found['index'].update(data_offsets=[2**40, 2**40 + 32]),
    'no numbers': lambda found: found['index'].update(data_offsets=['a', None]),
    'huge': lambda found: found['weights'].update(shape=[2**62, 2**62]),
    'endless': lambda found: found['weights'].update(shape=[10**400]),
    'type': lambda found: found['weights'].update(dtype='F16'),
    'list': lambda found: '[]',
    'nested': lambda found: '[' * 200_000,
    'metadata': lambda found: found.update(__metadata__='mine'),
    'no store': lambda found: found.pop('__metadata__') and None,
}


def a_pipe(folder):
    shard_path(folder, 4, 8).unlink()
    os.mkfifo(shard_path(folder, 4, 8))


def an_empty_file(folder):
    shard_path(folder, 4, 8).write_bytes(b'')


def another_shard(folder):
    shutil.copy(shard_path(folder, 8, 12), shard_path(folder, 4, 8))


def of_another_store(folder):
    tensors = dict(tensors_of(folder, 4, 8))
    write_shard(folder, tensors.pop('weights'), tensors, store='another')


DAMAGES = {
    a_pipe: 'weights-4-8.safetensors: not a sound shard: no regular file',
    an_empty_file: 'weights-4-8.safetensors: not a sound shard',
    another_shard: 'weights-4-8.safetensors: not a sound shard: it holds other INRs than its name says',
    of_another_store: 'weights-4-8.safetensors: not a sound shard: it belongs to another neural dataset',
    flip_a_byte: 'weights-4-8.safetensors: the checksum does not fit',
    cut_short: 'weights-4-8.safetensors.*cut short',
    cut_in_the_header: 'weights-4-8.safetensors.*no safetensors header',
    no_shard_at_all: 'weights-4-8.safetensors',
    poison: 'not finite in 1 INRs not marked as diverged, first 5',
    wrong_source: 'column source_index is wrong in 1 rows: INR 6 has 7',
    wrong_status: 'column status holds 9',
    wrong_psnr: 'mse and psnr_db contradict each other in 1 INRs, first 6',
    copied_weights: 'INR 6 has the very weights of INR 3',
    other_layout: r'weights of shape \[4, 80\] instead of \[4, 81\]',
}


def test_a_sound_store_has_no_problems(store):
    found = verification.verify(store)
    assert found.problems == []
    assert found.num_inrs == 22
    job = default_job()
    assert measurement.reevaluate(store, job.signals.batch) == []


@pytest.mark.parametrize('damage', DAMAGES, ids=lambda damage: damage.__name__)
def test_damage_is_named_dropped_and_made_anew(sound, store, damage):
    damage(store)
    problems = verification.verify(store).problems
    assert [problem for problem in problems if re.search(DAMAGES[damage], problem.message)], problems
    assert all('\n' not in problem.message for problem in problems)
    dropped = verification.drop(store, problems)
    assert dropped == [shard_path(store, 4, 8)]
    fit_tiny(store)
    assert verification.verify(store).problems == []
    assert shard_path(store, 4, 8).read_bytes() == shard_path(sound, 4, 8).read_bytes()


UNSOUND = [a_pipe, another_shard, of_another_store, cut_short, *map(header, HEADERS.values())]


@pytest.mark.parametrize('damage', UNSOUND, ids=['pipe', 'shard', 'store', 'cut', *HEADERS])
def test_an_unsound_shard_is_named_by_all_and_stops_no_reader_of_others(sound, store, damage):
    damage(store)
    (problem,) = verification.verify(store).problems
    assert problem.shard == (4, 8)
    assert '\n' not in problem.message
    assert len(problem.message) < 200
    reader = open_store(store)
    np.testing.assert_array_equal(reader.weights([3, 8]), open_store(sound).weights([3, 8]))
    for read in (
        lambda: reader.weights([4]),
        lambda: reader.column('label'),
        lambda: open_for_fitting(store, default_job().description),
    ):
        with pytest.raises(InputError, match='weights-4-8.safetensors is not a sound shard'):
            read()
    assert verification.drop(store, [problem]) == [shard_path(store, 4, 8)]


def test_a_folder_in_place_of_a_shard_is_named_and_kept(store):
    shard_path(store, 4, 8).unlink()
    (shard_path(store, 4, 8) / 'mine').mkdir(parents=True)
    (problem,) = verification.verify(store).problems
    assert problem.message == 'weights-4-8.safetensors: not a sound shard: no regular file'
    with pytest.raises(InputError, match='weights-4-8.safetensors is a folder; move it away'):
        verification.drop(store, [problem])
    assert (shard_path(store, 4, 8) / 'mine').is_dir()


def test_a_store_of_an_older_version_goes_on_where_the_dataset_now_states_a_kind():
    """The digest was computed by the version before kinds, and stands in the shards of its stores."""
    older = Description(
        inr={'kind': 'siren'},
        weights=WeightSpec(('layer_0/w',), ((2, 3),)),
        spec=DatasetSpec('waves', (5, 7), 35, 2, 3, (0.0, 1.0)),
        coordinates='grid',
        source={'splits': [['train', 4]], 'version': '', 'fingerprint': 'a', 'dataset_sha256': ''},
        seeds=(0,),
        num_signals=4,
        shard_size=4,
        start={'kind': 'random'},
        fitting={'num_steps': 3},
        config='',
        versions={},
    )
    assert identity(older) == 'df408c4f00474a984676b1cfea4726b6d05fc42ed8d1609d2e96d94b268c7145'
    image, sound = (older._replace(spec=older.spec._replace(kind=kind)) for kind in ('image', 'sound'))
    assert differences(older, image) == []
    assert differences(sound, image) == ['spec.kind was sound, is now image']
    assert len({identity(each) for each in (older, image, sound)}) == 3


def test_solids_on_a_grid_are_probed_at_its_points():
    dataset = tiny_dataset()
    solids = Signals(dataset._replace(spec=dataset.spec._replace(kind='occupancy')), ('train',))
    jax.tree.map(np.testing.assert_array_equal, solids.probes([0, 3]), solids.batch([0, 3]))
    assert Signals(dataset, ('train',)).probes([0, 3]) is None


def test_shards_of_one_config_fitted_apart_go_together(store, tmp_path):
    """Another machine: other versions, and its signals lie elsewhere."""
    job, other = default_job(), tmp_path / 'other'
    text = (
        'from hyperinr.training import loop\nexperiment.experiment.dataset = @mine.photos\n'
        "mine.photos.path = '{}'\nloop.train.profile = {}\n"
    )
    described = lambda path, number: job.description._replace(
        config=text.format(path, number), versions={'python': path}
    )
    assert identity(described('a', 1)) == identity(described('/b', 2)) != STORE
    assert identity(described('a', 1)) != identity(described('a', 1)._replace(seeds=(3, 6)))
    fit_tiny(other, job._replace(description=job.description._replace(versions={'python': '2.7'})), start=4, end=8)
    shutil.copy(shard_path(other, 4, 8), shard_path(store, 4, 8))
    assert verification.verify(store).problems == []


def test_names_of_foreign_files_stay_in_one_line(store):
    (store / 'a\nb').write_text('mine')
    (problem,) = verification.verify(store).problems
    assert problem.message.startswith(r"'a\nb': a foreign file")


def test_weights_of_another_signal_are_found_by_measuring(store):
    def change(weights, columns):
        weights[[0, 1]] = weights[[1, 0]]

    rewrite(store, change)
    assert verification.verify(store).problems == []
    job = default_job()
    problems = measurement.reevaluate(store, job.signals.batch)
    assert [problem.message.partition(':')[0] for problem in problems] == ['INR 4', 'INR 5']
    assert {problem.shard for problem in problems} == {(4, 8)}
    assert measurement.reevaluate(store, job.signals.batch, num_samples=0) == []


def test_a_range_is_verified_alone(store):
    """Gaps, damage and duplicates outside of the range are no problem, inside of it they are."""
    shard_path(store, 16, 20).unlink()
    shutil.copy(shard_path(store, 0, 4), shard_path(store, 12, 15))
    cut_short(store)
    found = verification.verify(store, 8, 10)
    assert (found.problems, found.num_inrs) == ([], 4)
    assert found.notes == ['[8, 12) of [0, 22) verified: the range in whole shards']
    job = default_job()
    assert measurement.reevaluate(store, job.signals.batch, start=8, end=10) == []
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


def sealed(folder, **changes):
    """A description that was changed by a program, with a new digest; names reach into tables, ``inr__width``."""
    path = folder / 'dataset.json'
    content = json.loads(path.read_text())
    for name, value in changes.items():
        *tables, last = name.split('__')
        table = content
        for each in tables:
            table = table[each]
        table[last] = value
    content['config_sha256'] = config_hash(content['config'])
    path.write_text(json.dumps({**content, DIGEST: content_digest(content)}))


def refused(folder, message):
    with pytest.raises(InputError, match=message) as raised:
        verification.verify(folder)
    assert '\n' not in str(raised.value)
    with pytest.raises(InputError):
        open_store(folder)


@pytest.mark.parametrize('field', ['"omega_0": 6.0', '"width": 6', '"shard_size": 4', '"python"'])
def test_a_change_by_hand_is_noticed(store, field):
    path = store / 'dataset.json'
    changed = path.read_text().replace(field, f'{field[:-1]}1{field[-1]}' if field[-1] == '"' else f'{field}1')
    assert changed != path.read_text()
    path.write_text(changed)
    refused(store, 'dataset.json: the content does not match its digest; restore the file')


@pytest.mark.parametrize(
    ('changes', 'message'),
    [
        ({'schema_version': SCHEMA_VERSION + 1}, 'schema version 3, this hyperinr reads 2; update'),
        ({'schema_version': 1}, 'schema version 1, .* make it again'),
        ({'schema_version': '2'}, 'does not describe'),
        ({'num_weights': 3}, 'sizes contradict each other'),
        ({'inr': None}, 'does not describe a neural dataset'),
        ({'inr__omega_0': 10**400}, 'size of the INR'),
        ({'inr__depth': 10**9}, 'depth of the INR'),
        ({'shard_size': -4}, 'shard_size'),
        ({'shard_size': '4'}, 'shard_size'),
        ({'shard_size': 2**62}, 'shard_size'),
        ({'index_space__seeds': []}, 'seeds'),
        ({'index_space__seeds': [3, 3]}, 'seeds'),
        ({'index_space__num_signals': 10**13, 'index_space__size': 2 * 10**13}, 'num_signals'),
        ({'index_space__num_signals': -11}, 'num_signals'),
        ({'grid_shape': [-5, -7]}, 'grid_shape'),
        ({'grid_shape': [2**20, 2**20]}, 'grid_shape'),
        ({'num_points': 2**40}, 'num_points'),
        ({'data_range': ['0', 1]}, 'does not describe'),
        ({'source__splits': [['train', 6]]}, 'splits'),
        ({'start__kind': 'mine'}, 'start has no known kind'),
        ({'weights': [{'path': 'layer_0/b', 'shape': [2**62, 2**62]}]}, 'shapes of weights'),
        ({'weights': []}, 'does not describe'),
    ],
    ids=str,
)
def test_a_description_that_means_nothing_is_one_line(store, changes, message):
    sealed(store, **changes)
    refused(store, message)


@pytest.mark.parametrize(
    'text',
    ['[' * 200_000, '[]', '{"schema_version": 1' + '0' * 400 + '}', '{"schema_version": NaN}', '', '\xff'],
    ids=['nested', 'list', 'huge', 'nan', 'empty', 'latin'],
)
def test_text_that_is_no_description_is_one_line(tmp_path, text):
    (tmp_path / 'dataset.json').write_text(text, encoding='latin-1')
    refused(tmp_path, 'dataset.json')


def test_a_description_that_never_ends_is_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / 'dataset.json')
    refused(tmp_path, 'dataset.json is missing')


def test_a_huge_index_space_costs_no_more_than_its_files(store):
    """10^9 INRs in shards of 4: the shards are of another store then, and nothing is listed or allocated before."""
    num = 2**28
    space = {'index_space__num_signals': num, 'index_space__size': 2 * num, 'source__splits': [['train', num]]}
    sealed(store, **space)
    refused_by_shards = 'dataset.json and the 6 shards beside it belong to different neural datasets'
    with pytest.raises(InputError, match='weights-20-22'):
        open_store(store)
    shard_path(store, 20, 22).unlink()
    with pytest.raises(InputError, match=refused_by_shards.replace('6', '5')):
        verification.verify(store)
    with pytest.raises(InputError, match='belongs to another neural dataset'):
        open_store(store).weights([0])
    assert open_store(store).description.gaps([(0, 4)]) == [(4, 2 * num)]


def test_a_description_with_a_new_digest_is_none_of_its_shards(store):
    sealed(store, inr__omega_0=10.0)
    with pytest.raises(InputError, match='dataset.json and the 6 shards beside it belong to different neural datasets'):
        verification.verify(store)
    with pytest.raises(InputError, match='weights-0-4.safetensors.*it belongs to another neural dataset'):
        open_store(store).weights([1])
    sealed(store, inr__omega_0=6.0, inr__width=7)
    with pytest.raises(InputError, match='its siren has other weights'):
        verification.verify(store)


def test_a_whole_store_made_anew_is_compared_with_its_config(tmp_path):
    """Shards and description fit each other; the config, which the file names, composes something else."""
    folder, job = tmp_path / 'store', default_job()
    description = job.description._replace(inr={**job.description.inr, 'omega_0': 10.0}, shard_size=22)
    description.write(folder)
    fit_range(folder, job._replace(description=description))
    assert verification.verify(folder).problems == []
    (problem,) = measurement.compare(folder, job.plan, job.inr, job.signals)
    assert problem.message.startswith('dataset.json contradicts its config: inr was')
    assert 'shard_size was 4, is now 22' in problem.message
    found = measurement.reevaluate(folder, job.signals.batch)  # by the INR of the description, as readers do
    assert len(found) == 22


def test_a_description_is_what_its_config_composes(store):
    job = default_job()
    assert measurement.compare(store, job.plan, job.inr, job.signals) == []


def test_no_store_is_said(tmp_path):
    with pytest.raises(InputError, match='holds no neural dataset'):
        verification.verify(tmp_path)


def test_tolerance_is_far_above_rounding_and_far_below_a_wrong_signal():
    mse = np.float32(1e-4)
    exact = 10 * np.log10(1 / np.float64(mse))
    assert abs(float(metrics.psnr_from_mse(mse, (0.0, 1.0))) - exact) < verification.PSNR_TOLERANCE_DB / 100
