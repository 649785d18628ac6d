"""The store reads back what was fitted, without this library too."""

import json
import re
import subprocess
import sys
from pathlib import Path

import jax
import numpy as np
import pytest

from hyperinr import neural_datasets
from hyperinr import weights as weights_lib
from hyperinr.errors import InputError
from hyperinr.neural_datasets.description import Description, read_description
from hyperinr.neural_datasets.shards import COLUMNS, checksum, list_shards, map_shard, write_shard, write_shards
from hyperinr.training.input_pipeline import Batches, Positions
from tests.neural_datasets.tiny_store import NUM_SIGNALS, default_job, fit_tiny, tiny_dataset, tiny_job

DOCUMENT = Path(__file__).resolve().parents[2] / 'docs' / 'neural_datasets.md'
BLOCKS = re.findall(r'```python\n(.*?)```', DOCUMENT.read_text(encoding='utf-8'), re.DOTALL)
LABELS = {'train': [4, 4, 7, 1, 0, 2], 'validation': [9, 8, 4], 'test': [1, 4]}


@pytest.fixture(scope='module')
def folder(tmp_path_factory):
    dataset = tiny_dataset()
    for name, source in dataset.splits.items():
        source.labels = np.asarray(LABELS[name])
    path = tmp_path_factory.mktemp('stores') / 'store'
    fit_tiny(path, tiny_job(dataset=dataset))
    return path


@pytest.fixture(scope='module')
def store(folder):
    return neural_datasets.open_store(folder)


def test_ten_lines_of_numpy_read_it(folder, store):
    check = (
        'import sys; assert not {"jax", "hyperinr"} & sys.modules.keys()\n'
        'np.savez("read.npz", **{name.replace("/", "."): tensor for name, tensor in tensors.items()}, **table)'
    )
    subprocess.run([sys.executable, '-c', f'{BLOCKS[0]}\n{check}'], cwd=folder.parent, check=True, timeout=60)
    read = np.load(folder.parent / 'read.npz')
    trees = store.pytrees()
    for path in store.description.weights.paths:
        layer, name = path.split('/')
        np.testing.assert_array_equal(read[f'{layer}.{name}'], trees[layer][name])
    for name in COLUMNS:
        np.testing.assert_array_equal(read[name], store.column(name))


def test_the_example_of_the_document_runs(folder, monkeypatch):
    monkeypatch.chdir(folder.parent)
    names = {}
    exec(BLOCKS[1], names)
    assert names['values'].shape == (1, 3)


def test_every_row_is_the_inr_of_its_signal_and_seed(store):
    """Oracle: NumPy's sine network on the weights of one row, against the signal that its source index names."""
    dataset = tiny_dataset()
    signals = [source[i] for source in dataset.splits.values() for i in range(len(source))]
    assert len(store) == 2 * NUM_SIGNALS
    for row in (0, 5, 10, 11, 21):
        signal = signals[store.column('source_index')[row]]
        tree = {k: {n: np.asarray(t[0], np.float64) for n, t in v.items()} for k, v in store.pytrees([row]).items()}
        hidden = np.asarray(signal.coords, np.float64)
        for layer, omega in enumerate((6.0, 3.0)):
            hidden = np.sin(omega * (hidden @ tree[f'layer_{layer}']['w'] + tree[f'layer_{layer}']['b']))
        values = hidden @ tree['layer_2']['w'] + tree['layer_2']['b']
        mse = np.mean((values - signal.values) ** 2)
        np.testing.assert_allclose(store.column('mse')[row], mse, rtol=1e-4)
        np.testing.assert_allclose(store.column('psnr_db')[row], -10 * np.log10(mse), rtol=1e-4)
    assert store.column('seed').tolist() == [3] * NUM_SIGNALS + [5] * NUM_SIGNALS
    assert store.column('label')[:NUM_SIGNALS].tolist() == [*LABELS['train'], *LABELS['validation'], *LABELS['test']]


def test_rows_come_in_the_order_asked_for_and_across_shards(store):
    everything = store.weights()
    rows = [21, 0, 3, 4, 4, 20]
    np.testing.assert_array_equal(store.weights(rows), everything[rows])
    np.testing.assert_array_equal(store.weights(slice(2, 9, 3)), everything[2:9:3])
    assert store.weights([]).shape == (0, everything.shape[1])
    back = weights_lib.flatten(store.pytrees(rows), store.description.weights)
    np.testing.assert_array_equal(back, everything[rows])
    with pytest.raises(IndexError, match='22 INRs'):
        store.weights([22])
    for rows in (np.inf, 1, 2.5, [0.5], [[0]], [True]):
        with pytest.raises(InputError, match='rows'):
            store.weights(rows)
        with pytest.raises(InputError, match='rows'):
            store.split({'all': 1.0}, rows=rows)


def test_reading_rows_maps_files_and_reads_no_more(store):
    fresh = neural_datasets.open_store(store.folder)
    fresh.weights([5])
    (mapped,) = (tensors['weights'] for tensors in fresh._mapped.values())
    assert isinstance(mapped, np.memmap)
    assert not mapped.flags.writeable


def test_filters_find_the_rows_that_a_loop_finds(store):
    label, seed, psnr = (store.column(name) for name in ('label', 'seed', 'psnr_db'))
    found = store.where(label=(4, 7), seed=5, status='ok')
    assert found.tolist() == [row for row in range(len(store)) if label[row] in (4, 7) and seed[row] == 5]
    middle = float(np.median(psnr))
    assert store.where(min_psnr_db=middle).tolist() == [row for row in range(len(store)) if psnr[row] >= middle]
    assert store.where(start='shared').size == 0
    with pytest.raises(InputError, match="'okay' is none of ok, diverged"):
        store.where(status='okay')
    with pytest.raises(InputError, match="no column 'labels'; there are index"):
        store.where(labels=3)


def test_splits_keep_the_seeds_of_a_signal_together_and_stay(store):
    rows = store.split({'train': 0.5, 'test': 0.5}, seed=1)
    assert sorted(np.concatenate(list(rows.values())).tolist()) == list(range(len(store)))
    source = store.column('source_index')
    assert not set(source[rows['train']]) & set(source[rows['test']])
    assert len(rows['train']) in (10, 12)
    some = store.split({'train': 0.5, 'test': 0.5}, seed=1, rows=np.arange(0, 22, 3))
    assert set(some['train'].tolist()) <= set(rows['train'].tolist())
    assert store.split({'train': 0.5, 'test': 0.5}, seed=2)['train'].tolist() != rows['train'].tolist()
    with pytest.raises(InputError, match='sum to 1'):
        store.split({'train': 0.5})


def test_the_librarys_own_loader_takes_weights_as_data(store):
    dataset = neural_datasets.weight_dataset(store, fractions={'train': 0.7, 'test': 0.3})
    source = dataset.splits['train']
    batch = Batches(source, dataset.spec, Positions(len(source), 3, seed=0))(0)
    num_weights = sum(store.description.weights.sizes)
    assert batch.values.shape == (3, num_weights, 1)
    everything = source.batch(np.arange(len(source))).values[..., 0]
    np.testing.assert_allclose(everything.mean(axis=0), 0, atol=1e-5)
    np.testing.assert_allclose(everything.std(axis=0), 1, atol=1e-4)
    plain = neural_datasets.weight_dataset(store, fractions={'train': 0.7, 'test': 0.3}, standardise=False)
    rows = store.split({'train': 0.7, 'test': 0.3})['train']
    np.testing.assert_array_equal(plain.splits['train'][1].values[:, 0], store.weights([rows[1]])[0])
    assert plain.splits['train'].labels.tolist() == store.column('label')[rows].tolist()


def test_weights_are_standardised_by_the_training_split_wherever_it_is_named(store):
    source = neural_datasets.weight_dataset(store, fractions={'test': 0.3, 'train': 0.7}).splits['train']
    np.testing.assert_allclose(source.batch(np.arange(len(source))).values.mean(axis=0), 0, atol=1e-5)
    with pytest.raises(InputError, match="a share for 'train', not only mine"):
        neural_datasets.weight_dataset(store, fractions={'mine': 1.0})


def test_examples_come_as_tfds_gives_them_and_travel_to_other_processes(store):
    import pickle

    source = neural_datasets.ExampleSource(store, store.where(seed=5))
    first, second = source.__getitems__([0, 1])
    assert first['source_index'] == 0
    np.testing.assert_array_equal(second['weights'], store.weights([NUM_SIGNALS + 1])[0])
    assert source[0]['label'] == LABELS['train'][0]
    message = pickle.dumps(source)
    assert len(message) < 2000
    np.testing.assert_array_equal(pickle.loads(message)[1]['weights'], second['weights'])


def test_a_range_is_opened_in_whole_shards_and_travels_too(folder, store, tmp_path):
    import pickle
    import shutil

    part = neural_datasets.open_store(folder, 5, 11)
    assert part.column('index').tolist() == list(range(4, 12))
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(part)).weights(), store.weights(slice(4, 12)))
    copy = shutil.copytree(folder, tmp_path / 'copy')
    for begin in (8, 16):
        (copy / f'weights-{begin}-{begin + 4}.safetensors').unlink()
    assert neural_datasets.open_store(copy, 5, 11).missing() == [(8, 12)]
    assert neural_datasets.open_store(copy).missing() == [(8, 12), (16, 20)]
    with pytest.raises(InputError, match=r'the range \[5, 23\)'):
        neural_datasets.open_store(folder, 5, 23)


def test_the_description_survives_and_says_what_it_must(folder, store):
    content = json.loads((folder / 'dataset.json').read_text())
    assert content['inr'] == dict(default_job().inr.metadata)
    assert content['index_space']['size'] == 22
    assert content['source']['splits'] == [['train', 6], ['validation', 3], ['test', 2]]
    assert content['grid_shape'] == [5, 7]
    assert content['num_weights'] == (2 * 6 + 6) + (6 * 6 + 6) + (6 * 3 + 3)
    again = read_description(folder)
    assert again == store.description
    assert isinstance(again, Description)
    assert [part.tolist() for part in again.seeds_and_signals(np.array([1, 12]))] == [[3, 5], [1, 1]]


def test_the_inr_is_built_from_the_description_alone(store):
    tree = jax.tree.map(lambda leaf: leaf[0], store.pytrees([4]))
    coords = tiny_dataset().splits['train'][4].coords
    np.testing.assert_array_equal(store.inr.apply(tree, coords), default_job().inr.apply(tree, coords))


def test_the_checksum_notices_any_change():
    tensors = {'weights': np.zeros((2, 3), np.float32), 'index': np.arange(2)}
    reference = checksum(tensors)
    assert checksum(dict(reversed(tensors.items()))) == reference
    assert checksum({**tensors, 'index': np.arange(1, 3)}) != reference
    assert checksum({**tensors, 'weights': np.zeros((3, 2), np.float32)}) != reference


def test_a_shard_with_gaps_or_without_columns_is_refused(tmp_path):
    weights = np.zeros((2, 3), np.float32)
    columns = {name: np.zeros(2, dtype) for name, dtype in COLUMNS.items()}
    with pytest.raises(ValueError, match='without gaps'):
        write_shard(tmp_path, weights, columns, store='')
    columns['index'] = np.arange(2)
    with pytest.raises(ValueError, match='as long as its weights'):
        write_shard(tmp_path, weights[:1], columns, store='')
    path = write_shard(tmp_path, weights, columns, store='')
    assert path.name == 'weights-0-2.safetensors'
    assert path.stat().st_mode & 0o044 == 0o044 & ~_umask()
    assert map_shard(tmp_path, (0, 2), 3, store='').tensors['weights'].shape == (2, 3)
    with pytest.raises(InputError, match=r'weights of shape \[2, 3\] instead of \[2, 4\]'):
        map_shard(tmp_path, (0, 2), 4, store='')


def columns_of(begin, end):
    columns = {name: np.arange(begin, end).astype(dtype) for name, dtype in COLUMNS.items()}
    return {**columns, 'index': np.arange(begin, end)}


def test_a_shard_is_what_safetensors_writes(tmp_path):
    from safetensors.numpy import save

    weights = np.random.default_rng(0).normal(size=(5, 3)).astype(np.float32)
    path = write_shard(tmp_path, np.asfortranarray(weights), columns_of(0, 5), store='mine')
    tensors = {**columns_of(0, 5), 'weights': weights}
    about = json.dumps({'checksum': checksum(tensors), 'range': [0, 5], 'store': 'mine'})
    assert path.read_bytes() == save(tensors, metadata={'metadata': about})


def test_many_shards_at_once_are_the_same_files_as_one_after_the_other(tmp_path):
    rng = np.random.default_rng(0)
    shards = [(rng.normal(size=(4, 3)).astype(np.float32), columns_of(4 * k, 4 * k + 4)) for k in range(7)]
    for name in 'ab':
        (tmp_path / name).mkdir()
    for weights, columns in shards:
        write_shard(tmp_path / 'a', weights, columns, store='')
    write_shards(tmp_path / 'b', iter(shards), store='')
    names = [path.name for path in sorted((tmp_path / 'a').iterdir())]
    assert names == [path.name for path in sorted((tmp_path / 'b').iterdir())]
    assert all((tmp_path / 'a' / name).read_bytes() == (tmp_path / 'b' / name).read_bytes() for name in names)


def test_a_full_disk_amid_many_shards_is_said_and_leaves_whole_ones(tmp_path, monkeypatch):
    import errno

    from hyperinr.errors import RunError
    from hyperinr.runtime import files

    real, calls = files.os.fsync, []

    def fsync(handle):
        calls.append(handle)
        if len(calls) > 3:
            raise OSError(errno.ENOSPC, 'No space left on device')
        real(handle)

    monkeypatch.setattr(files.os, 'fsync', fsync)
    shards = ((np.zeros((2, 3), np.float32), columns_of(2 * k, 2 * k + 2)) for k in range(6))
    with pytest.raises(RunError, match='the disk is full'):
        write_shards(tmp_path, shards, store='')
    assert len(list(tmp_path.iterdir())) == 3
    assert all(map_shard(tmp_path, each, 3, store='') for each in list_shards(tmp_path))


def test_many_shards_share_one_flush_of_their_folder_and_unfinished_ones_are_found(tmp_path, monkeypatch):
    from hyperinr.neural_datasets import shards as shards_lib
    from hyperinr.runtime import files

    flushed = []
    for module in (files, shards_lib):
        monkeypatch.setattr(module, 'sync_folder', lambda folder: flushed.append(len(list(folder.iterdir()))))
    write_shards(tmp_path, ((np.zeros((2, 3), np.float32), columns_of(2 * k, 2 * k + 2)) for k in range(3)), store='')
    assert flushed == [3]
    with files.replacing(shards_lib.shard_path(tmp_path, 6, 8)) as temporary:
        temporary.touch()
        assert list(shards_lib.partial_files(tmp_path, 6, 8)) == list(shards_lib.partial_files(tmp_path)) == [temporary]
        assert not list(shards_lib.partial_files(tmp_path, 0, 2))


def _umask():
    import os

    mask = os.umask(0)
    os.umask(mask)
    return mask
