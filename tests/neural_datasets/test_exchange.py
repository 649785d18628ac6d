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


def test_foreign_fit_a_nef_files_give_working_inrs(tmp_path):
    """As fit-a-nef itself writes them: no file of ours, tensors in its order, labels, its own nef.json."""
    h5py = pytest.importorskip('h5py')
    rng = np.random.default_rng(0)
    shapes = {'kernel_net_0.linear': (2, 5), 'kernel_net_1.linear': (5, 5), 'output_linear': (5, 1)}
    structure = [
        pair for name, (i, o) in shapes.items() for pair in ((f'{name}.bias', [o]), (f'{name}.kernel', [i, o]))
    ]
    source = tmp_path / 'source'
    source.mkdir()
    (source / 'nef.json').write_text(
        json.dumps({'name': 'SIREN', 'params': {'hidden_dim': 5, 'num_layers': 3, 'omega_0': 8.0, 'output_dim': 1}})
    )
    rows = rng.normal(size=(5, sum(int(np.prod(shape)) for _, shape in structure))).astype(np.float32) / 4
    for begin, end in ((0, 3), (3, 5)):
        with h5py.File(source / f'nefs_{begin}-{end}.hdf5', 'w') as file:
            file.create_dataset('params', data=rows[begin:end])
            text = file.create_dataset('param_config', (1,), dtype=h5py.special_dtype(vlen=str))
            text[0] = json.dumps(structure)
            file.create_dataset('labels', data=np.arange(begin, end))
    store = open_store(import_store(source, tmp_path / 'store', format='fit-a-nef', data_range=(-1.0, 1.0)))
    assert store.column('label').tolist() == [0, 1, 2, 3, 4]
    assert store.description.spec.data_range == (-1.0, 1.0)
    coords = rng.uniform(-1, 1, (7, 2)).astype(np.float32)
    offset, layers = 0, []
    for i, o in shapes.values():
        bias, kernel = rows[4, offset : offset + o], rows[4, offset + o : offset + o + i * o].reshape(i, o)
        layers.append((kernel, bias))
        offset += o + i * o
    tree = {name: {k: v[4] for k, v in layer.items()} for name, layer in store.pytrees().items()}
    np.testing.assert_allclose(store.inr.apply(tree, coords), numpy_siren(layers, coords, (8.0, 8.0)), atol=1e-5)
    assert cli.main(['verify', '--store', str(tmp_path / 'store')]) == 0
    (source / 'nef.json').unlink()
    with pytest.raises(InputError, match='no nef.json'):
        import_store(source, tmp_path / 'other', format='fit-a-nef')


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
