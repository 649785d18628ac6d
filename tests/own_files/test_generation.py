"""From image files to weight files."""

import json
import os

import jax
import numpy as np
import pytest
from PIL import Image

from hyperinr import coordinates, files, own_files
from hyperinr.errors import InputError
from hyperinr.own_files import generation
from tests import tiny


def smooth(height, width, channels=3):
    down, right = np.meshgrid(np.linspace(0, 2, height), np.linspace(0, 3, width), indexing='ij')
    planes = [0.5 + 0.4 * np.sin(down + right * (1 + channel)) for channel in range(channels)]
    return np.stack(planes, axis=-1).astype(np.float32)


def levels(image):
    return np.round(image * 255).astype(np.uint8)


@pytest.fixture(name='photo')
def _photo(tmp_path):
    path = tmp_path / 'photo.png'
    Image.fromarray(levels(smooth(30, 20))).save(path)
    return path


def read_picture(path):
    with Image.open(path) as picture:
        return np.asarray(picture, np.float32) / 255


def resample(path, mode):
    """To the tiny model's 12 x 16 grid by another filter than the library's."""
    with Image.open(path) as picture:
        return np.asarray(picture.convert(mode).resize((16, 12), Image.Resampling.BOX), np.float32)


def test_an_image_is_resampled_to_the_models_grid(tmp_path, photo):
    model = tiny.make_model()
    [result] = own_files.generate_files(model, [photo], out=tmp_path / 'out')
    weights, metadata = files.read_weights(result.weights)
    assert {path.name for path in (tmp_path / 'out').iterdir()} == {'photo.npz', 'photo.png'}
    assert weights['layer_0']['w'].shape == (2, 8)
    assert metadata['kind'] == 'siren'
    assert metadata['omega_0'] == 6.0
    assert metadata['data_range'] == [0.0, 1.0]
    assert metadata['source'] == str(photo)
    assert metadata['model'] == {'run': 'tiny', 'step': 0}
    assert metadata['grid_shape'] == [12, 16]
    assert metadata['signal'] == {
        'kind': 'image',
        'shape': [30, 20, 3],
        'file_range': [0, 255],
        'dtype': 'uint8',
    }
    assert 'pixel centres' in metadata['coordinates']
    reconstruction = np.asarray(model.reconstruct(weights))
    np.testing.assert_allclose(read_picture(result.reconstruction), np.clip(reconstruction, 0, 1), atol=1 / 255)
    small = resample(photo, 'RGB') / 255
    expected = -10 * np.log10(np.mean(np.square(reconstruction - small)))
    np.testing.assert_allclose(result.psnr_db[-1], expected, atol=0.3)
    np.testing.assert_allclose(metadata['psnr_db'], result.psnr_db[-1])


def test_tiles_cover_the_whole_image(tmp_path):
    image = levels(smooth(30, 40))
    Image.fromarray(image).save(tmp_path / 'large.png')
    model = tiny.make_model()
    [result] = own_files.generate_files(model, [tmp_path / 'large.png'], out=tmp_path / 'out', tile=True)
    weights, metadata = files.read_weights(result.weights)
    assert result.num_inrs == 9
    assert metadata['tile_grid'] == [3, 3]
    assert weights['layer_0']['w'].shape == (9, 2, 8)
    picture = read_picture(result.reconstruction)
    assert picture.shape == (30, 40, 3)
    tiles = np.asarray(model.reconstruct(weights))
    np.testing.assert_allclose(picture[12:18, 16:24], np.clip(tiles[4, :6, :8], 0, 1), atol=1 / 255)
    np.testing.assert_allclose(picture[24:, 32:], np.clip(tiles[8, 6:, 8:], 0, 1), atol=1 / 255)
    places = [(top, left) for top in (0, 12, 18) for left in (0, 16, 24)]
    parts = np.stack([image[top : top + 12, left : left + 16] / 255 for top, left in places])
    expected = -10 * np.log10(np.mean(np.square(tiles - parts)))
    np.testing.assert_allclose(result.psnr_db[-1], expected, rtol=1e-3)


def test_chunks_of_tiles_do_not_change_the_result(tmp_path, monkeypatch):
    Image.fromarray(levels(smooth(30, 40))).save(tmp_path / 'large.png')
    run = lambda out: own_files.generate_files(
        tiny.make_model(), [tmp_path / 'large.png'], out=tmp_path / out, tile=True
    )[0]
    whole = run('whole')
    monkeypatch.setattr(generation, 'CHUNK', 4)
    chunked = run('chunked')
    for found, expected in zip(
        *(jax.tree.leaves(files.read_weights(each.weights)[0]) for each in (chunked, whole)), strict=True
    ):
        np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(chunked.psnr_db, whole.psnr_db, rtol=1e-4)


def test_finetuning_reports_the_curve_and_goes_on_from_generation(tmp_path, photo):
    model = tiny.make_model()
    [generated] = own_files.generate_files(model, [photo], out=tmp_path / 'generated')
    [result] = own_files.finetune_files(model, [photo], out=tmp_path / 'tuned', num_steps=5)
    assert result.steps == (0, 1, 2, 3, 4, 5)
    assert len(result.psnr_db) == 6
    np.testing.assert_allclose(result.psnr_db[2], generated.psnr_db[0], rtol=1e-3)
    weights, metadata = files.read_weights(result.weights)
    assert metadata['finetuning_steps'] == 5
    reconstruction = np.asarray(model.reconstruct(weights))
    np.testing.assert_allclose(read_picture(result.reconstruction), np.clip(reconstruction, 0, 1), atol=1 / 255)


def test_the_data_range_of_the_model_is_respected(tmp_path, photo):
    model = tiny.make_model(spec=tiny.make_spec(data_range=(-1.0, 1.0), channels=1))
    seen = []
    original = type(model).finetune
    spy = lambda self, datapoints, **options: seen.append(datapoints) or original(self, datapoints, **options)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(type(model), 'finetune', spy)
        [result] = own_files.generate_files(model, [photo], out=tmp_path / 'out')
    grey = resample(photo, 'L') / 127.5 - 1
    np.testing.assert_allclose(seen[0].values.reshape(12, 16), grey, atol=0.15)
    assert result.notes
    assert read_picture(result.reconstruction).shape == (12, 16)


@pytest.mark.parametrize('format', ['safetensors', 'pt'])
def test_other_formats_and_folded_frequencies(tmp_path, photo, format):
    if format == 'pt':
        pytest.importorskip('torch')
    [result] = own_files.generate_files(
        tiny.make_model(), [photo], out=tmp_path / 'out', format=format, fold_omega=True
    )
    if format == 'pt':
        metadata = json.loads(result.weights.with_suffix('.json').read_text())
    else:
        metadata = files.read_weights(result.weights)[1]
    assert metadata['omega_folded']
    assert metadata['omega_0'] == 1.0


@pytest.mark.parametrize('fold', [False, True])
def test_siren_pytorch_evaluates_generated_weights(tmp_path, photo, fold):
    torch = pytest.importorskip('torch')
    siren_pytorch = pytest.importorskip('siren_pytorch')
    model = tiny.make_model()
    [exact] = own_files.generate_files(model, [photo], out=tmp_path / 'npz')
    [result] = own_files.generate_files(model, [photo], out=tmp_path / 'pt', format='pt', fold_omega=fold)
    about = json.loads(result.weights.with_suffix('.json').read_text())
    net = siren_pytorch.SirenNet(
        dim_in=2,
        dim_hidden=about['width'],
        dim_out=about['channels'],
        num_layers=about['depth'],
        w0_initial=about['omega_0'],
        w0=about['hidden_omega_0'],
    )
    net.load_state_dict(torch.load(result.weights, weights_only=True), strict=True)
    with torch.no_grad():
        found = net(torch.from_numpy(coordinates.grid((9, 7)))).numpy()
    expected = model.reconstruct(files.read_weights(exact.weights)[0], (9, 7))
    np.testing.assert_allclose(found, np.reshape(expected, (-1, 3)), atol=1e-5)


def test_an_array_is_taken_and_comes_back_as_one(tmp_path):
    np.save(tmp_path / 'array.npy', smooth(12, 16))
    [result] = own_files.generate_files(tiny.make_model(), [tmp_path / 'array.npy'], out=tmp_path / 'out')
    assert result.weights.name == 'array.npz'
    assert np.load(result.reconstruction).shape == (12, 16, 3)
    assert files.read_weights(result.weights)[1]['signal']['file_range'] == [0, 1]


def test_a_given_range_maps_the_files_values_and_stands_in_the_metadata(tmp_path, monkeypatch):
    np.save(tmp_path / 'array.npy', np.round(smooth(12, 16) * 4095).astype(np.int32))
    model = tiny.make_model(spec=tiny.make_spec(data_range=(-1.0, 1.0)))
    seen = []
    original = type(model).finetune
    spy = lambda self, datapoints, **options: seen.append(datapoints) or original(self, datapoints, **options)
    monkeypatch.setattr(type(model), 'finetune', spy)
    [result] = own_files.generate_files(
        model, [tmp_path / 'array.npy'], out=tmp_path / 'out', kind='image', data_range=(0, 8190)
    )
    np.testing.assert_allclose(seen[0].values.reshape(12, 16, 3), smooth(12, 16) - 1, atol=1 / 4095)
    assert 'int32 values from' in result.notes[0]
    metadata = files.read_weights(result.weights)[1]
    assert (metadata['data_range'], metadata['signal']['file_range']) == ([-1, 1], [0, 8190])


def make_bad(folder, kind):
    path = folder / f'{kind}.png'
    if kind == 'cut':
        Image.fromarray(levels(smooth(30, 20))).save(path)
        path.write_bytes(path.read_bytes()[:60])
    elif kind == 'nan':
        path = path.with_suffix('.npy')
        np.save(path, smooth(4, 4) * np.nan)
    elif kind == 'range':
        path = path.with_suffix('.npy')
        np.save(path, smooth(4, 4) * 255)
    return path


@pytest.mark.parametrize('kind', ['missing', 'cut', 'nan', 'range'])
def test_one_bad_file_stops_before_anything_is_written(tmp_path, photo, kind):
    bad = make_bad(tmp_path, kind)
    with pytest.raises(InputError, match=bad.name) as caught:
        own_files.generate_files(tiny.make_model(), [photo, bad], out=tmp_path / 'out', kind='image')
    assert '\n' not in str(caught.value)
    assert not (tmp_path / 'out').exists()


@pytest.mark.parametrize(
    ('change', 'message'),
    [
        ({'format': 'h5'}, "unknown weight format 'h5'; choose one of npz"),
        ({'num_steps': -1}, '0 or more'),
        ({'files': []}, 'no files'),
        ({'files': ['a/x.png', 'b/x.jpg']}, 'would both be written'),
        ({'out': '.'}, 'would overwrite'),
    ],
)
def test_wrong_calls_write_nothing(tmp_path, photo, monkeypatch, change, message):
    monkeypatch.chdir(tmp_path)
    for name in ('a/x.png', 'b/x.jpg'):
        os.makedirs(os.path.dirname(name), exist_ok=True)
        Image.fromarray(levels(smooth(12, 16))).save(name)
    before = sorted(tmp_path.rglob('*'))
    options = {'files': [photo], 'out': 'out', 'num_steps': 1} | change
    with pytest.raises(InputError, match=message):
        own_files.finetune_files(tiny.make_model(), options.pop('files'), **options)
    assert sorted(tmp_path.rglob('*')) == before


def test_no_permission_is_one_line(tmp_path, photo):
    (tmp_path / 'out').write_text('a file in the way')
    with pytest.raises(InputError, match='choose another'):
        own_files.generate_files(tiny.make_model(), [photo], out=tmp_path / 'out')


def test_the_table_names_files_and_conversions(tmp_path, capsys, monkeypatch):
    monkeypatch.setenv('COLUMNS', '200')
    Image.fromarray(levels(smooth(12, 16, 1))[..., 0]).save(tmp_path / 'grey.png')
    results = own_files.finetune_files(tiny.make_model(), [tmp_path / 'grey.png'], out=tmp_path / 'out', num_steps=5)
    own_files.print_results(results)
    printed = capsys.readouterr().out
    assert str(results[0].weights) in printed
    assert str(results[0].reconstruction) in printed
    assert '5 steps' in printed
    assert f'{results[0].psnr_db[5]:.1f} dB' in printed
    assert results[0].notes[0] in printed


def sound_model():
    spec = tiny.make_spec(grid_shape=(64,), channels=1, data_range=(-1.0, 1.0))
    return tiny.make_model(spec=spec._replace(kind='sound', spacing=(1 / 8000,)), constant=True)


def test_a_sound_is_resampled_to_the_models_rate_cut_into_its_windows_and_written_again(tmp_path):
    import soundfile

    time = np.arange(3200) / 16000
    soundfile.write(tmp_path / 'a.wav', 0.5 * np.sin(2 * np.pi * 440 * time), 16000)
    [result] = own_files.generate_files(sound_model(), [tmp_path / 'a.wav'], out=tmp_path / 'out', overlap=4)
    weights, metadata = files.read_weights(result.weights)
    windows = -(-(1600 - 4) // 60)
    assert result.num_inrs == windows == len(weights['layer_0']['w'])
    assert metadata['signal']['kind'] == 'sound'
    assert metadata['tile_overlap'] == 4
    assert any('cut into parts of 64' in note for note in result.notes)
    rebuilt, rate = soundfile.read(result.reconstruction)
    assert (len(rebuilt), rate) == (1600, 8000) or (len(rebuilt), rate) == (3200, 16000)
    [decoded] = own_files.decode_files([result.weights], out=tmp_path / 'decoded')
    np.testing.assert_allclose(soundfile.read(decoded)[0], rebuilt, atol=1e-3)


def test_a_signal_of_other_coordinates_or_channels_is_refused(tmp_path, photo):
    with pytest.raises(InputError, match=r'2 coordinates with 1 channels; this model takes 1 and 1'):
        own_files.generate_files(sound_model(), [photo], out=tmp_path / 'out', kind='image')
    with pytest.raises(InputError, match='photo'):
        own_files.generate_files(sound_model(), [photo], out=tmp_path / 'out')
    assert not (tmp_path / 'out').exists()


def test_an_overlap_without_tiles_is_refused_and_resampling_is_said(tmp_path, photo):
    with pytest.raises(InputError, match='add --tile'):
        own_files.generate_files(tiny.make_model(), [photo], out=tmp_path / 'out', overlap=2)
    [result] = own_files.generate_files(tiny.make_model(), [photo], out=tmp_path / 'out')
    assert 'resampled from 30 x 20 to 12 x 16' in result.notes
    with pytest.raises(InputError, match='no option --frame'):
        own_files.generate_files(tiny.make_model(), [photo], out=tmp_path / 'out', frame=1)


def test_an_array_is_read_in_the_range_that_the_model_was_trained_in(tmp_path, monkeypatch):
    array = np.linspace(-0.7, 0.6, 12 * 16).reshape(12, 16).astype(np.float32)
    np.save(tmp_path / 'a.npy', array)
    model = tiny.make_model(spec=tiny.make_spec(channels=1, data_range=(-1.0, 1.0)), constant=True)
    seen = []
    original = type(model).finetune
    spy = lambda self, datapoints, **options: seen.append(datapoints) or original(self, datapoints, **options)
    monkeypatch.setattr(type(model), 'finetune', spy)
    own_files.generate_files(model, [tmp_path / 'a.npy'], out=tmp_path / 'out')
    np.testing.assert_allclose(seen[0].values.reshape(12, 16), array, atol=1e-6)
