"""From files of weights back to signals."""

import jax
import numpy as np
import pytest

from hyperinr import cli, files, inrs, own_files
from hyperinr.errors import InputError
from hyperinr.files.images import read_image
from tests import tiny
from tests.tiny_runs import write_images

INR = inrs.siren(channels=3, width=8, depth=2, omega_0=6.0, hidden_omega_0=3.0)
SIGNAL = {'kind': 'image', 'shape': [12, 16, 3], 'file_range': [0, 255]}


def write(path, weights=None, **changes):
    about = {**INR.metadata, 'signal': SIGNAL, 'grid_shape': [12, 16], 'data_range': [0.0, 1.0], **changes}
    files.write_weights(path, weights or INR.init(jax.random.key(0), 2), about)
    return path


def test_what_was_generated_is_decoded_again(tmp_path):
    (image,) = write_images(tmp_path / 'photos', number=1, shape=(30, 40))
    for options in ({}, {'tile': True, 'overlap': 3}):
        out = tmp_path / f'out{len(options)}'
        [found] = own_files.generate_files(tiny.make_model(), [image], out=out, **options)
        [decoded] = own_files.decode_files([found.weights], out=out / 'decoded')
        assert decoded.name == found.reconstruction.name
        again = read_image(decoded).image
        assert again.shape == (30, 40, 3)
        if options:
            np.testing.assert_allclose(again, read_image(found.reconstruction).image, atol=1.01 / 255)


def test_a_signal_is_decoded_at_any_number_of_samples(tmp_path, capsys):
    path = write(tmp_path / 'a.npz')
    assert cli.main(['decode', str(path), '--out', str(tmp_path / 'out'), '--shape', '5,7', '--debug']) == 0
    assert capsys.readouterr().out == f'{path} -> {tmp_path / "out" / "a.png"}\n'
    values = np.asarray(INR.apply(INR.init(jax.random.key(0), 2), tiny.coordinates.grid((5, 7)))).reshape(5, 7, 3)
    np.testing.assert_allclose(read_image(tmp_path / 'out' / 'a.png').image, np.clip(values, 0, 1), atol=1.01 / 255)


@pytest.mark.parametrize(
    ('changes', 'shape', 'part'),
    [
        ({'signal': {}}, None, 'does not say'),
        ({'signal': 'image'}, None, 'does not say'),
        ({'signal': {**SIGNAL, 'kind': 'smell'}}, None, "'smell'"),
        ({'kind': 'smell'}, None, "'smell'"),
        ({'signal': {**SIGNAL, 'shape': [12, 3]}}, None, '1 coordinates'),
        ({'signal': {**SIGNAL, 'shape': '88x'}}, None, 'does not say'),
        ({'signal': {**SIGNAL, 'shape': [8.7, 8, 3]}}, None, 'does not say'),
        ({'data_range': [0.0, float('inf')]}, None, 'data_range'),
        ({'data_range': '01'}, None, 'does not say'),
        ({'input_deviation': 0.0}, None, 'not finite'),
        ({}, (5,), 'needs 2 numbers'),
        ({}, (10**6, 10**6), 'too large'),
        ({}, (0, 5), 'needs 2 numbers'),
        ({'tile_grid': [2, 2]}, None, '4 INRs'),
        ({'tile_grid': [2, 2]}, (5, 7), 'leave the shape out'),
        ({'tile_grid': '22'}, None, 'does not say'),
        ({'tile_grid': [1, None]}, None, 'does not say'),
        ({'tile_grid': [1, 1], 'tile_overlap': float('inf')}, None, 'does not say'),
        ({'tile_grid': [1, 1], 'grid_shape': [10**6, 10**6]}, None, 'too large'),
        ({'tile_grid': [1, 1], 'grid_shape': [12]}, None, 'does not say'),
    ],
)
def test_what_cannot_be_decoded_is_said_and_nothing_is_written(tmp_path, changes, shape, part):
    with pytest.raises(InputError, match=part):
        own_files.decode_files([write(tmp_path / 'a.npz', **changes)], out=tmp_path / 'out', shape=shape)
    assert not list(tmp_path.glob('out/*'))


def test_two_files_of_one_output_and_weights_that_are_no_numbers_are_refused(tmp_path):
    (tmp_path / 'b').mkdir()
    twice = [write(tmp_path / 'a.npz'), write(tmp_path / 'b' / 'a.npz')]
    with pytest.raises(InputError, match='would both be written'):
        own_files.decode_files(twice, out=tmp_path / 'out')
    weights = jax.tree.map(lambda leaf: np.full_like(leaf, np.nan), INR.init(jax.random.key(0), 2))
    with pytest.raises(InputError, match='no finite floats'):
        own_files.decode_files([write(tmp_path / 'c.npz', weights)], out=tmp_path / 'out')
    assert not (tmp_path / 'out').exists()


def test_a_field_of_a_region_is_decoded_where_it_lies(tmp_path):
    """A field that is the third coordinate of the unit sphere: the sine of the latitude, at any resolution."""
    import xarray

    inr = inrs.relu_mlp(channels=1, width=2, depth=1)
    weights = jax.tree.map(np.zeros_like, inr.init(jax.random.key(0), 3))
    weights['layer_0']['w'][2] = [1, -1]
    weights['layer_1']['w'][:] = [[1], [-1]]
    axes = {'latitude': [30.0, 40.0, 50.0, 60.0], 'longitude': [350.0, 0.0, 10.0]}
    facts = {
        name: {'name': name, 'values': values, 'attributes': {}, 'dtype': 'float64'} for name, values in axes.items()
    }
    about = {'signal': {'kind': 'field', 'shape': [4, 3, 1], **facts}, 'data_range': [0.0, 1.0]}
    files.write_weights(tmp_path / 'a.npz', weights, {**inr.metadata, **about})
    for shape in (None, (8, 6)):
        [path] = own_files.decode_files([tmp_path / 'a.npz'], out=tmp_path / 'out', shape=shape)
        with xarray.open_dataset(path, engine='scipy') as found:
            values = np.asarray(found['channel_0'].transpose('latitude', 'longitude'))
            expected = np.sin(np.radians(found['latitude'].values))[:, None]
            assert 30 <= found['latitude'].values.min() < found['latitude'].values.max() <= 60
        assert values.shape == (shape or (4, 3))
        np.testing.assert_allclose(values, np.broadcast_to(expected, values.shape), atol=1e-5)
