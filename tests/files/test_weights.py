"""Weight files: exact round trips, readers that are not ours, and files that are there whole or not at all."""

import errno
import json

import jax
import numpy as np
import pytest

from hyperinr import coordinates, files, inrs
from hyperinr.errors import InputError, RunError
from hyperinr.files.tensors import write_tensors
from tests.exhaustive import thin

SIREN = inrs.siren(channels=3, width=16, depth=3, omega_0=20.0, hidden_omega_0=7.0)
METADATA = {**SIREN.metadata, 'source': 'a "quoted" näme.png', 'data_range': [0.0, 1.0], 'model': '30'}
COORDS = coordinates.grid((5, 7))


@pytest.fixture(name='weights')
def _weights():
    return jax.tree.map(np.asarray, SIREN.init(jax.random.key(0), 2))


def batched(weights, count=3):
    return jax.tree.map(lambda leaf: np.stack([leaf * (1 + 0.1 * row) for row in range(count)]), weights)


def evaluate_with_numpy(weights, metadata, coords):
    """The README's snippet, spelt out."""
    hidden = coords
    for layer in range(metadata['depth']):
        omega = metadata['omega_0'] if layer == 0 else metadata['hidden_omega_0']
        hidden = np.sin(omega * (hidden @ weights[f'layer_{layer}']['w'] + weights[f'layer_{layer}']['b']))
    last = weights[f'layer_{metadata["depth"]}']
    return hidden @ last['w'] + last['b']


@pytest.mark.parametrize('suffix', ['npz', 'safetensors'])
@pytest.mark.parametrize('stack', [False, True], ids=['one', 'several'])
def test_round_trip_is_exact(tmp_path, weights, suffix, stack):
    weights = batched(weights) if stack else weights
    path = tmp_path / f'weights.{suffix}'
    files.write_weights(path, weights, METADATA)
    found, metadata = files.read_weights(path)
    jax.tree.map(np.testing.assert_array_equal, found, weights)
    assert metadata == {'schema_version': 1, **METADATA}
    assert [each.name for each in tmp_path.iterdir()] == [path.name]


def test_safetensors_keys_and_metadata_are_as_documented(tmp_path, weights):
    from safetensors import safe_open

    files.write_weights(tmp_path / 'a.safetensors', weights, METADATA)
    with safe_open(tmp_path / 'a.safetensors', 'np') as file:
        assert sorted(file.keys()) == [f'layer_{layer}.{name}' for layer in range(4) for name in 'bw']
        assert file.get_tensor('layer_0.w').shape == (2, 16)
        metadata = json.loads(file.metadata()['metadata'])
    assert metadata['kind'] == 'siren'
    assert metadata['omega_0'] == 20.0


def test_numpy_alone_evaluates_a_file(tmp_path, weights):
    files.write_weights(tmp_path / 'a.npz', weights, METADATA)
    found, metadata = files.read_weights(tmp_path / 'a.npz')
    np.testing.assert_allclose(
        evaluate_with_numpy(found, metadata, COORDS), SIREN.apply(weights, COORDS), rtol=1e-4, atol=1e-5
    )


@pytest.mark.parametrize('stack', [False, True], ids=['one', 'several'])
def test_folding_omega_keeps_the_function(weights, stack):
    weights = batched(weights) if stack else weights
    folded, metadata = files.fold_omega(weights, METADATA)
    first = lambda tree: jax.tree.map(lambda leaf: leaf[0], tree) if stack else tree
    expected = evaluate_with_numpy(first(weights), METADATA, COORDS)
    np.testing.assert_allclose(evaluate_with_numpy(first(folded), metadata, COORDS), expected, rtol=1e-4, atol=1e-5)
    assert metadata['omega_0'] == metadata['hidden_omega_0'] == 1.0
    assert METADATA['omega_0'] == 20.0


@pytest.mark.parametrize('form', ['folded', 'pt'])
def test_an_input_deviation_is_folded_where_readers_do_not_know_it(tmp_path, weights, form):
    """What ``.npz`` says of itself, a folded file and a state dict put into the first layer."""
    metadata = {**METADATA, 'input_deviation': 0.5}
    expected = evaluate_with_numpy(weights, METADATA, 2 * COORDS)
    if form == 'folded':
        found, about = files.fold_omega(weights, metadata)
    else:
        torch = pytest.importorskip('torch')
        files.write_weights(tmp_path / 'a.pt', weights, metadata)
        about = json.loads((tmp_path / 'a.json').read_text())
        state = torch.load(tmp_path / 'a.pt')
        names = [*(f'layers.{layer}' for layer in range(3)), 'last_layer']
        found = {
            f'layer_{layer}': {'w': state[f'{name}.weight'].numpy().T, 'b': state[f'{name}.bias'].numpy()}
            for layer, name in enumerate(names)
        }
    assert about['input_deviation'] == 1.0
    np.testing.assert_allclose(evaluate_with_numpy(found, about, COORDS), expected, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize(
    'kind', thin(['adaptive_hosc', 'wire', 'gabor_net', 'feature_grid', 'hash_grid'], lambda kind: kind == 'wire')
)
def test_a_state_dict_refuses_what_is_no_chain_of_linear_layers(tmp_path, kind):
    inr = inrs.FAMILIES[kind](channels=1)
    with pytest.raises(InputError, match="'pt' holds a chain"):
        files.write_weights(tmp_path / 'a.pt', inr.init(jax.random.key(0), 2), inr.metadata)
    assert not list(tmp_path.iterdir())


def test_folding_needs_sines():
    relu = inrs.relu_mlp(channels=1, width=8, depth=1, num_frequencies=2)
    with pytest.raises(InputError, match='relu_mlp'):
        files.fold_omega(relu.init(jax.random.key(0), 2), relu.metadata)


@pytest.mark.parametrize('fold', [False, True])
def test_siren_pytorch_agrees(tmp_path, weights, fold):
    torch = pytest.importorskip('torch')
    siren_pytorch = pytest.importorskip('siren_pytorch')
    saved, metadata = files.fold_omega(weights, METADATA) if fold else (weights, METADATA)
    files.write_weights(tmp_path / 'a.pt', saved, metadata)
    metadata = json.loads((tmp_path / 'a.json').read_text())
    net = siren_pytorch.SirenNet(
        dim_in=2,
        dim_hidden=metadata['width'],
        dim_out=metadata['channels'],
        num_layers=metadata['depth'],
        w0_initial=metadata['omega_0'],
        w0=metadata['hidden_omega_0'],
    )
    net.load_state_dict(torch.load(tmp_path / 'a.pt', weights_only=True), strict=True)
    with torch.no_grad():
        found = net(torch.from_numpy(COORDS)).numpy()
    np.testing.assert_allclose(found, SIREN.apply(weights, COORDS), atol=1e-5)


def test_an_unknown_format_is_named(tmp_path, weights):
    with pytest.raises(InputError, match=r"unknown weight format '\.h5'.*npz"):
        files.write_weights(tmp_path / 'a.h5', weights, METADATA)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize('suffix', ['npz', 'safetensors'])
def test_a_file_cut_short_is_one_clear_error(tmp_path, weights, suffix):
    path = tmp_path / f'a.{suffix}'
    files.write_weights(path, weights, METADATA)
    path.write_bytes(path.read_bytes()[:-200])
    with pytest.raises(InputError, match='damaged'):
        files.read_weights(path)


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(InputError, match=r'there is no file .*nothing\.npz'):
        files.read_weights(tmp_path / 'nothing.npz')


@pytest.mark.parametrize(('code', 'error'), [(errno.ENOSPC, RunError), (errno.EACCES, InputError)])
def test_a_disk_that_refuses_leaves_the_old_file(tmp_path, weights, monkeypatch, code, error):
    path = tmp_path / 'a.npz'
    files.write_weights(path, weights, METADATA)
    before = path.read_bytes()

    def refuse(file, **arrays):
        file.write(b'half')
        raise OSError(code, 'refused')

    monkeypatch.setattr(np, 'savez', refuse)
    with pytest.raises(error, match=r'a\.npz'):
        files.write_weights(path, batched(weights), METADATA)
    assert path.read_bytes() == before
    assert [each.name for each in tmp_path.iterdir()] == ['a.npz']


@pytest.mark.parametrize('suffix', ['npz', 'safetensors'])
@pytest.mark.parametrize(
    ('tensors', 'said'), [({'weights': np.zeros(2)}, "a tensor 'weights'"), ({'.w': np.zeros(2)}, "'.w'")]
)
def test_tensors_that_are_no_inrs_are_named(tmp_path, suffix, tensors, said):
    write_tensors(tmp_path / f'a.{suffix}', tensors, {}, format=suffix)
    with pytest.raises(InputError, match=rf'{said}, and those of an INR are named layer_0.w; give another file'):
        files.read_weights(tmp_path / f'a.{suffix}')
