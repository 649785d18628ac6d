"""Other formats: what is in the files is what their readers expect, and round trips are exact."""

import json

import numpy as np
import pytest

from hyperinr import cli, inrs
from hyperinr.errors import InputError
from hyperinr.neural_datasets import open_store
from hyperinr.neural_datasets.exchange.formats import EXCHANGE_FORMATS, export_store, import_store
from hyperinr.neural_datasets.shards import shard_path
from tests.neural_datasets.tiny_store import default_job, fit_tiny, tiny_dataset, tiny_job

NEEDS = {'fit-a-nef': 'h5py', 'dwsnets': 'torch', 'nfn': 'torch'}


@pytest.fixture(scope='module')
def folder(tmp_path_factory):
    path = tmp_path_factory.mktemp('stores') / 'store'
    fit_tiny(path)
    return path


def needs(format):
    if format in NEEDS:
        pytest.importorskip(NEEDS[format])


def content(folder):
    return {path.name: path.read_bytes() for path in sorted(folder.glob('weights-*'))}


def numpy_siren(tensors, coords, omegas):
    """float64 oracle; ``tensors`` are (w [in, out], b [out]) of each layer."""
    hidden = np.asarray(coords, np.float64)
    for (w, b), omega in zip(tensors[:-1], omegas, strict=True):
        hidden = np.sin(omega * (hidden @ w + b))
    w, b = tensors[-1]
    return hidden @ w + b


def reference(folder, row):
    store = open_store(folder)
    coords = tiny_dataset().splits['train'][0].coords
    tree = {name: {k: v[row] for k, v in layer.items()} for name, layer in store.pytrees().items()}
    return coords, np.asarray(store.inr.apply(tree, coords))


@pytest.mark.parametrize('format', EXCHANGE_FORMATS)
def test_a_round_trip_gives_the_store_back_bit_for_bit(folder, tmp_path, format):
    needs(format)
    if format == 'fit-a-nef':  # which has one omega_0 for all layers
        folder = tmp_path / 'one_omega'
        fit_tiny(folder, tiny_job(hidden_omega_0=6.0))
    out = export_store(folder, tmp_path / 'out', format=format)
    back = import_store(out, tmp_path / 'back', format=format)
    assert content(back) == content(folder)
    assert (back / 'dataset.json').read_text() == (folder / 'dataset.json').read_text()


@pytest.mark.parametrize('format', EXCHANGE_FORMATS)
def test_folded_weights_are_the_same_functions_and_say_so(folder, tmp_path, format):
    needs(format)
    out = export_store(folder, tmp_path / 'out', format=format, fold_omega=True)
    back = open_store(import_store(out, tmp_path / 'back', format=format))
    assert back.description.inr['omega_folded'] is True
    assert back.description.inr['omega_0'] == back.description.inr['hidden_omega_0'] == 1.0
    assert back.description.config == ''
    _, expected = reference(folder, 13)
    found = reference(tmp_path / 'back', 13)[1]
    np.testing.assert_allclose(found, expected, atol=1e-5)
    assert not np.array_equal(back.weights([13]), open_store(folder).weights([13]))
    again = export_store(tmp_path / 'back', tmp_path / 'again', format=format)
    third = import_store(again, tmp_path / 'third', format=format)
    assert content(third) == content(tmp_path / 'back')


def test_fit_a_nef_files_have_its_names_order_and_fields(folder, tmp_path):
    h5py = pytest.importorskip('h5py')
    with pytest.raises(InputError, match='one omega_0, these have 6.0 and 3.0; add --fold-omega'):
        export_store(folder, tmp_path / 'plain', format='fit-a-nef')
    out = export_store(folder, tmp_path / 'out', format='fit-a-nef', fold_omega=True)
    names = sorted(path.name for path in out.glob('*.hdf5'))
    assert names[:2] == ['nefs_0-4.hdf5', 'nefs_12-16.hdf5']
    network = json.loads((out / 'nef.json').read_text())
    assert network == {
        'name': 'SIREN',
        'params': {'hidden_dim': 6, 'num_layers': 3, 'omega_0': 1.0, 'output_dim': 3},
    }
    assert json.loads((out / 'cfg.json').read_text())['dataset']['name'] == 'continuous_function'
    with h5py.File(out / 'nefs_12-16.hdf5') as file:
        assert file['params'].dtype == np.float32
        structure = json.loads(file['param_config'][0].decode('utf-8'))
        rows, labels = file['params'][:], file['labels'][:]
    assert [name for name, _ in structure] == [
        'kernel_net_0.linear.bias',
        'kernel_net_0.linear.kernel',
        'kernel_net_1.linear.bias',
        'kernel_net_1.linear.kernel',
        'output_linear.bias',
        'output_linear.kernel',
    ]
    assert labels.tolist() == [-1] * 4
    parts = np.split(rows[1], np.cumsum([int(np.prod(shape)) for _, shape in structure])[:-1])
    shaped = [part.reshape(shape) for part, (_, shape) in zip(parts, structure, strict=True)]
    layers = list(zip(shaped[1::2], shaped[0::2], strict=True))
    coords, expected = reference(folder, 13)
    np.testing.assert_allclose(numpy_siren(layers, coords, (1.0, 1.0)), expected, atol=1e-5)


SHAPES = {'kernel_net_0.linear': (2, 5), 'kernel_net_1.linear': (5, 5), 'output_linear': (5, 1)}


def write_foreign(folder, rows=None, ranges=((0, 3), (3, 5))):
    """A folder as fit-a-nef itself writes it: no file of ours, tensors in its order, labels, its own nef.json."""
    import h5py

    if rows is None:
        rows = np.random.default_rng(0).normal(size=(5, 51)).astype(np.float32) / 4
    pairs = [pair for name, (i, o) in SHAPES.items() for pair in ((f'{name}.bias', [o]), (f'{name}.kernel', [i, o]))]
    folder.mkdir()
    network = {'hidden_dim': 5, 'num_layers': 3, 'omega_0': 8.0, 'output_dim': 1}
    (folder / 'nef.json').write_text(json.dumps({'name': 'SIREN', 'params': network}))
    for begin, end in ranges:
        with h5py.File(folder / f'nefs_{begin}-{end}.hdf5', 'w') as file:
            file.create_dataset('params', data=rows[begin:end])
            text = file.create_dataset('param_config', (1,), dtype=h5py.special_dtype(vlen=str))
            text[0] = json.dumps(pairs)
            file.create_dataset('labels', data=np.arange(begin, end))
    return folder


def test_foreign_fit_a_nef_files_give_working_inrs(tmp_path):
    pytest.importorskip('h5py')
    rng = np.random.default_rng(0)
    rows = rng.normal(size=(5, 51)).astype(np.float32) / 4
    source = write_foreign(tmp_path / 'source', rows)
    store = open_store(import_store(source, tmp_path / 'store', format='fit-a-nef', data_range=(-1.0, 1.0)))
    assert store.column('label').tolist() == [0, 1, 2, 3, 4]
    assert store.description.spec.data_range == (-1.0, 1.0)
    coords = rng.uniform(-1, 1, (7, 2)).astype(np.float32)
    offset, layers = 0, []
    for i, o in SHAPES.values():
        bias, kernel = rows[4, offset : offset + o], rows[4, offset + o : offset + o + i * o].reshape(i, o)
        layers.append((kernel, bias))
        offset += o + i * o
    tree = {name: {k: v[4] for k, v in layer.items()} for name, layer in store.pytrees().items()}
    np.testing.assert_allclose(store.inr.apply(tree, coords), numpy_siren(layers, coords, (8.0, 8.0)), atol=1e-5)
    assert cli.main(['verify', '--store', str(tmp_path / 'store')]) == 0
    (source / 'nef.json').unlink()
    with pytest.raises(InputError, match='no nef.json'):
        import_store(source, tmp_path / 'other', format='fit-a-nef')


def assert_refused(path, store, format, message):
    with pytest.raises(InputError, match=message) as raised:
        import_store(path, store, format=format)
    assert '\n' not in str(raised.value)
    assert len(str(raised.value)) < 500
    assert not store.exists()


def replaced(name, value=None, **options):
    """Another dataset of that name in the first file."""

    def change(file, folder):
        del file[name]
        file.create_dataset(name, data=value, **options)

    return change


def in_another_file(link):
    """The weights of a file elsewhere, which the import must not read."""

    def change(file, folder):
        import h5py

        secret = folder.parent / 'secret'
        secret.write_bytes(np.full((3, 51), 7, np.float32).tobytes())
        with h5py.File(folder.parent / 'secret.hdf5', 'w') as other:
            other['params'] = np.full((3, 51), 7, np.float32)
        del file['params']
        if link == 'external storage':
            file.create_dataset('params', (3, 51), np.float32, external=[(str(secret), 0, h5py.h5f.UNLIMITED)])
        elif link == 'virtual':
            layout = h5py.VirtualLayout((3, 51), np.float32)
            layout[:] = h5py.VirtualSource(folder.parent / 'secret.hdf5', 'params', (3, 51))
            file.create_virtual_dataset('params', layout)
        elif link == 'external link':
            file['params'] = h5py.ExternalLink(str(folder.parent / 'secret.hdf5'), 'params')
        else:
            file['else'] = np.full((3, 51), 7, np.float32)
            file['params'] = h5py.SoftLink('/else')

    return change


def as_group(file, folder):
    del file['params']
    file.create_group('params')


ONES = np.ones((3, 51), np.float32)
BAD_HDF5 = {
    'external storage': (in_another_file('external storage'), 'params lies in other files'),
    'virtual': (in_another_file('virtual'), 'params lies in other files'),
    'external link': (in_another_file('external link'), 'params is a link to another place'),
    'soft link': (in_another_file('soft link'), 'params is a link to another place'),
    'group': (as_group, 'params is no dataset'),
    'complex': (replaced('params', ONES * 1j), 'params holds complex64 where a store has real'),
    'integers': (replaced('params', ONES.astype(int)), 'params holds int64 where a store has real'),
    'text': (replaced('params', [b'a'] * 3), 'params holds no numbers'),
    'overflow': (replaced('params', ONES * np.float64(1e300)), r'params holds 1e\+300, which does not fit float32'),
    'nan': (replaced('params', ONES * np.float32(np.nan)), 'INR 0 has weights that are not finite'),
    'short': (replaced('params', ONES[:2]), r'params has shape \(2, 51\) instead of \(3, 51\)'),
    'narrow': (replaced('params', ONES[:, :50]), r'params has shape \(3, 50\) instead of \(3, 51\)'),
    'short labels': (replaced('labels', np.arange(2)), 'labels has 2 rows instead of 3'),
    'large label': (replaced('labels', np.array([0, 2**31, 1])), 'labels holds 2147483648, which does not fit int32'),
    'float label': (replaced('labels', np.ones(3)), 'labels holds float64 where a store has integers'),
    'never written': (replaced('params', shape=(10**12, 51), dtype='f4'), 'declares 204,000,000,000,000 bytes'),
    'no chunk': (replaced('params', shape=(10**12, 51), dtype='f4', chunks=(64, 51)), 'the file holds 0 of it'),
    'some chunks': (
        replaced('params', shape=(3, 51), dtype='f4', chunks=(2, 40), compression='gzip'),
        'the file holds 0',
    ),
    'bomb': (replaced('params', np.zeros((10**5, 51), 'f4'), compression='gzip'), 'and the file holds'),
    'names': (replaced('param_config', ['[["kernel_net_0.linear.bias", [5]]]']), 'every tensor once'),
    'nested': (replaced('param_config', ['[' * 10**5]), 'recursion'),
    'shapes': (replaced('param_config', ['[["output_linear.bias", [-1]]]']), 'every tensor once'),
}


@pytest.mark.parametrize('kind', BAD_HDF5)
def test_an_hdf5_file_of_a_stranger_is_checked_before_a_store_is_made(tmp_path, kind):
    h5py = pytest.importorskip('h5py')
    source = write_foreign(tmp_path / 'source')
    change, message = BAD_HDF5[kind]
    with h5py.File(source / 'nefs_0-3.hdf5', 'a') as file:
        change(file, source)
    assert_refused(source, tmp_path / 'store', 'fit-a-nef', message)


def test_labels_that_compress_well_are_no_bomb(tmp_path):
    h5py = pytest.importorskip('h5py')
    rows = np.random.default_rng(0).normal(size=(9000, 51)).astype(np.float32)
    source = write_foreign(tmp_path / 'source', rows, ranges=((0, 9000),))
    with h5py.File(source / 'nefs_0-9000.hdf5', 'a') as file:
        replaced('labels', np.full((9000, 1), 3), compression='gzip')(file, source)
        replaced('params', rows.astype(np.float64), compression='gzip')(file, source)
    store = open_store(import_store(source, tmp_path / 'store', format='fit-a-nef'))
    assert set(store.column('label').tolist()) == {3}
    assert len(store) == 9000


@pytest.mark.parametrize(
    ('network', 'message'),
    [
        ({'num_layers': 10**12}, 'outside their ranges'),
        ({'num_layers': '3'}, 'does not describe a network'),
        ({'hidden_dim': 10**400}, 'outside their ranges'),
        ({'hidden_dim': 6}, 'has other weights'),
        ({'omega_0': 'inf'}, 'outside their ranges'),
        ({'omega_0': 10**400}, 'does not describe a network'),
    ],
    ids=str,
)
def test_a_network_that_cannot_be_is_refused(tmp_path, network, message):
    pytest.importorskip('h5py')
    source = write_foreign(tmp_path / 'source')
    content = json.loads((source / 'nef.json').read_text())
    content['params'].update(network)
    (source / 'nef.json').write_text(json.dumps(content))
    assert_refused(source, tmp_path / 'store', 'fit-a-nef', message)


def test_a_missing_part_is_no_gap_to_close(folder, tmp_path):
    pytest.importorskip('h5py')
    source = write_foreign(tmp_path / 'source')
    (source / 'nefs_0-3.hdf5').rename(tmp_path / 'away')
    assert_refused(source, tmp_path / 'store', 'fit-a-nef', 'no file for INR 0: the next is nefs_3-5.hdf5')
    (tmp_path / 'away').rename(source / 'nefs_0-3_copy.hdf5')
    assert_refused(source, tmp_path / 'store', 'fit-a-nef', 'is no file nefs_<start>-<end>.hdf5')
    ours = export_store(folder, tmp_path / 'ours', format='fit-a-nef', fold_omega=True)
    (ours / 'nefs_20-22.hdf5').unlink()
    assert_refused(ours, tmp_path / 'store', 'fit-a-nef', 'holds 20 INRs, and hyperinr.json says 22')


BAD_TABLES = {
    'a column too short': ({'label': lambda old: old[:-1]}, r'label has shape \(21,\) instead of \(22,\)'),
    'a column gone': ({'label': None}, "tensors 'label' are missing"),
    'no weights': ({'weights': None}, 'holds no INRs'),
    'another tensor': ({'mine': lambda _: np.zeros(2)}, "tensors 'mine' are missing or none of a neural dataset"),
    'a wide label': ({'label': lambda old: old + np.int64(2**40)}, 'does not fit int32'),
    'a float label': ({'label': lambda old: old.astype(float)}, 'holds float64 where a store has integers'),
    'a gap': ({'index': lambda old: old + (old > 9)}, 'the indices do not ascend within'),
    'disorder': ({'index': lambda old: old[::-1]}, 'the indices do not ascend within'),
    'another seed': ({'seed': lambda old: old + 1}, 'column seed contradicts'),
    'a swapped signal': ({'source_index': np.flip}, 'column source_index contradicts'),
    'a status': ({'status': lambda old: old + np.uint8(7)}, 'column status contradicts'),
    'a wide error': ({'mse': lambda old: old.astype(float) * 1e60}, 'mse holds .* which does not fit float32'),
    'complex weights': ({'weights': lambda old: old + 0j}, 'holds complex64'),
    'whole weights': ({'weights': lambda old: old.astype(int)}, 'holds int64'),
    'flat weights': ({'weights': lambda old: old[:, 0]}, r'weights has shape \(22,\)'),
    'other weights': ({'weights': lambda old: old[:, 1:]}, 'rows of 80 weights do not fit a siren of 81'),
    'nan': ({'weights': lambda old: np.where(old == old[3, 3], np.nan, old)}, 'INR 3 has weights that are not finite'),
}


@pytest.mark.parametrize('kind', BAD_TABLES)
def test_a_table_is_checked_before_a_store_is_made(folder, tmp_path, kind):
    changes, message = BAD_TABLES[kind]
    out = export_store(folder, tmp_path / 'out.npz', format='npz')
    with np.load(out) as archive:
        tensors = dict(archive)
    for name, change in changes.items():
        old = tensors.pop(name, None)
        if change is not None:
            tensors[name] = change(old)
    np.savez(out, **tensors)
    assert_refused(out, tmp_path / 'store', 'npz', message)


class Call:
    def __reduce__(self):
        return print, ('foreign code',)


def a_missing_state(path, torch):
    path.unlink()


def a_pipe(path, torch):
    import os

    path.unlink()
    os.mkfifo(path)


def foreign_code(path, torch):
    torch.save({'seq.0.weight': Call()}, path)


def another_shape(path, torch):
    torch.save({**torch.load(path), 'seq.0.weight': torch.zeros(6, 3)}, path)


def another_type(path, torch):
    torch.save({name: value.double() for name, value in torch.load(path).items()}, path)


def a_view_of_nothing(path, torch):
    torch.save({**torch.load(path), 'seq.0.weight': torch.zeros(1).expand(2**40, 2)}, path)


def another_bias(path, torch):
    torch.save({**torch.load(path), 'seq.2.bias': torch.zeros(3)}, path)


def packed(path, torch):
    import zipfile

    with zipfile.ZipFile(path) as old:
        members = {name: old.read(name) for name in old.namelist()}
    with zipfile.ZipFile(path, 'w', zipfile.ZIP_DEFLATED) as new:
        for name, data in members.items():
            new.writestr(name, data)
        new.writestr('bomb', bytes(10**6))


BAD_STATES = {
    a_missing_state: 'no such file',
    a_pipe: 'no such file',
    foreign_code: 'is no state dict of these INRs, or damaged',
    another_shape: r'seq.0.weight is torch.float32 \(6, 3\) instead of float32 \(6, 2\)',
    another_type: 'seq.0.weight is torch.float64',
    a_view_of_nothing: 'seq.0.weight is torch.float32',
    another_bias: 'have other output biases',
    packed: 'it unpacks to more than its size',
}


@pytest.mark.parametrize('damage', BAD_STATES, ids=lambda damage: damage.__name__)
def test_a_state_dict_of_a_stranger_is_checked_and_runs_nothing(folder, tmp_path, damage, capsys):
    torch = pytest.importorskip('torch')
    out = export_store(folder, tmp_path / 'out', format='dwsnets')
    damage(next(iter(sorted(out.glob('train_*/checkpoints/model_final.pth')))), torch)
    assert_refused(out, tmp_path / 'store', 'dwsnets', BAD_STATES[damage])
    assert 'foreign' not in capsys.readouterr().out


@pytest.mark.parametrize(('layout', 'shift'), [('dwsnets', 0.5), ('nfn', 0.0)])
def test_state_dicts_are_what_weight_space_networks_load(folder, tmp_path, layout, shift):
    torch = pytest.importorskip('torch')
    out = export_store(folder, tmp_path / 'out', format=layout, fold_omega=True)
    splits = json.loads((out / 'splits.json').read_text())
    assert {name: len(each['path']) for name, each in splits.items()} == {'train': 12, 'val': 6, 'test': 4}
    assert splits['test']['label'] == ['-1'] * 4
    state = torch.load(splits['val']['path'][0], weights_only=True)
    assert all(len(state[name].shape) == (2 if name.endswith('weight') else 1) for name in state)
    if layout == 'dwsnets':
        assert list(state) == [f'seq.{i}.{kind}' for i in range(3) for kind in ('weight', 'bias')]
    else:
        assert list(state)[:2] == ['net.0.linear.weight', 'net.0.linear.bias']
        assert list(state)[-2:] == ['net.2.weight', 'net.2.bias']
    values = list(state.values())
    layers = [(w.numpy().T, b.numpy()) for w, b in zip(values[0::2], values[1::2], strict=True)]
    coords, expected = reference(folder, 6)
    np.testing.assert_allclose(numpy_siren(layers, coords, (1.0, 1.0)) + shift, expected, atol=1e-5)


def test_part_of_a_store_is_numbered_anew(folder, tmp_path):
    import shutil

    part = shutil.copytree(folder, tmp_path / 'part')
    shard_path(part, 4, 8).unlink()
    out = export_store(part, tmp_path / 'out.npz', format='npz')
    back = open_store(import_store(out, tmp_path / 'back', format='npz'))
    np.testing.assert_array_equal(back.weights(), open_store(part).weights())
    assert back.column('index').tolist() == list(range(18))
    assert back.description.config == ''


def test_wrong_calls_are_one_line(folder, tmp_path):
    with pytest.raises(InputError, match="--format must be 'fit-a-nef', .* or 'safetensors', not 'hdf5'"):
        export_store(folder, tmp_path / 'out', format='hdf5')
    (tmp_path / 'there').write_text('mine')
    with pytest.raises(InputError, match='exists'):
        export_store(folder, tmp_path / 'there', format='npz')
    with pytest.raises(InputError, match='is no npz file'):
        import_store(tmp_path / 'there', tmp_path / 'store', format='npz')
    with pytest.raises(InputError, match='no such file'):
        import_store(tmp_path / 'nowhere', tmp_path / 'store', format='npz')
    with pytest.raises(InputError, match='is not empty'):
        for _ in range(2):  # An earlier export is replaced.
            out = export_store(folder, tmp_path / 'out.npz', format='npz')
        import_store(out, folder, format='npz')


def test_no_pickle_is_needed_to_read_the_single_files(folder, tmp_path):
    out = export_store(folder, tmp_path / 'out.npz', format='npz')
    with np.load(out, allow_pickle=False) as archive:
        about = json.loads(str(archive['metadata']))
        assert archive['weights'].shape == (22, 81)
    assert about['inr'] == dict(default_job().inr.metadata)
    assert inrs.siren.__name__ == about['inr']['kind']
