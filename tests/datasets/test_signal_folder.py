"""Parts of files: where they come from, and that no two splits share a sample."""

import numpy as np
import pytest
from PIL import Image

from hyperinr import datasets
from hyperinr.errors import InputError


def write(folder, names, shape=(20, 17)):
    """Images whose values say where they lie: row and column in two channels, the number of the file in the third."""
    rows, columns = np.meshgrid(*map(np.arange, shape), indexing='ij')
    for number, name in enumerate(names):
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        image = np.stack([rows, columns, np.full(shape, number)], axis=-1).astype(np.uint8)
        Image.fromarray(image).save(path)
    return folder


def make(folder, **options):
    usual = {'path': folder / 'files', 'shape': (4, 5), 'num_train': 30, 'num_validation': 20, 'num_test': 20}
    return datasets.signal_folder(**{**usual, **options, 'data_dir': str(folder / 'cache')})


def places(source, epoch=None):
    """Number of the file, first row and first column of every part, by its values."""
    found = []
    for index in range(len(source)):
        values = np.round(np.asarray(source.sample(index, epoch).values) * 255).astype(int).reshape(4, 5, 3)
        found.append((values[0, 0, 2], *values[0, 0, :2]))
    return found


def test_a_part_is_what_the_file_holds_there(tmp_path):
    names = sorted(f'{number}.png' for number in range(12))
    write(tmp_path / 'files', names)
    dataset = make(tmp_path, num_train=200)
    seen = {}
    for split, source in dataset.splits.items():
        for index, (number, row, column) in enumerate(places(source)):
            values = np.round(source.image(index) * 255).astype(int)
            np.testing.assert_array_equal(values[..., 0], row + np.arange(4)[:, None] + np.zeros((4, 5), int))
            np.testing.assert_array_equal(values[..., 1], column + np.arange(5) + np.zeros((4, 5), int))
            assert source.names(index) == f'{names[number]} {row},{column}'
            assert source.origin(index) == names[number]
            seen.setdefault(split, set()).add(number)
    assert sum(map(len, seen.values())) == len(set.union(*seen.values())) == 12
    assert len(seen['validation']) == len(seen['test']) == 1
    assert len(set(places(dataset.splits['train']))) > 20
    assert dataset.spec.kind == 'image'
    assert dataset.spec.grid_shape == (4, 5)


def test_training_sees_new_parts_in_every_epoch_and_the_other_splits_the_same(tmp_path):
    write(tmp_path / 'files', [f'{number}.png' for number in range(5)])
    dataset = make(tmp_path)
    first, second = (places(dataset.splits['train'], epoch) for epoch in (0, 1))
    assert first != second
    assert first == places(make(tmp_path).splits['train'], 0)
    assert first != places(make(tmp_path, seed=1).splits['train'], 0)
    assert places(dataset.splits['test'], 0) == places(dataset.splits['test'], 1)


def test_groups_stay_together_and_labels_are_classes(tmp_path):
    names = [f'{digit}_{speaker}_{take}.png' for digit in range(3) for speaker in 'abcd' for take in range(2)]
    write(tmp_path / 'files', names)
    dataset = make(tmp_path, groups=r'_([a-z])_', labels=r'^(\d)_')
    speakers = {split: {source.origin(i) for i in range(len(source))} for split, source in dataset.splits.items()}
    assert sorted(map(len, speakers.values())) == [1, 1, 2]
    assert set.union(*speakers.values()) == set('abcd')
    source = dataset.splits['train']
    assert dataset.spec.num_labels == 3
    assert source.labels.tolist() == [int(names[number][0]) for number, *_ in places(source)]
    assert source[4].label == source.labels[4]


def test_few_files_are_divided_along_their_first_axis(tmp_path):
    write(tmp_path / 'files', ['0.png'], shape=(60, 17))
    dataset = make(tmp_path, path=tmp_path / 'files' / '0.png', validation_fraction=0.2, test_fraction=0.1)
    rows = {split: [row for _, row, _ in places(source)] for split, source in dataset.splits.items()}
    assert max(rows['train']) <= 42 - 4
    assert min(rows['validation']) >= 42
    assert max(rows['validation']) <= 54 - 4
    assert min(rows['test']) >= 54


def test_splits_may_have_folders_of_their_own(tmp_path):
    write(tmp_path / 'files', ['0.png', '1.png', '2.png'])
    write(tmp_path / 'other', ['9.png'], shape=(9, 9))
    dataset = make(tmp_path, test_path=tmp_path / 'other')
    assert {dataset.splits['test'].origin(i) for i in range(20)} == {'9.png'}
    kept = {split: {dataset.splits[split].origin(i) for i in range(20)} for split in ('train', 'validation')}
    assert not kept['train'] & kept['validation']
    for split in ('train', 'validation', 'test'):
        write(tmp_path / 'own' / split, [f'{split}.png'])
    own = make(tmp_path, path=tmp_path / 'own')
    assert {split: source.origin(0) for split, source in own.splits.items()} == {
        split: f'{split}.png' for split in own.splits
    }


def test_a_short_signal_is_padded_with_weight_0(tmp_path):
    write(tmp_path / 'files', ['0.png', '1.png', '2.png'], shape=(3, 17))
    datapoint = make(tmp_path).splits['train'][0]
    np.testing.assert_array_equal(datapoint.weight.reshape(4, 5), [[1] * 5] * 3 + [[0] * 5])
    assert not datapoint.values.reshape(4, 5, 3)[3].any()


def test_flat_parts_are_drawn_again(tmp_path):
    (tmp_path / 'files').mkdir()
    image = np.zeros((40, 40, 3), np.uint8)
    image[:8, :8] = np.random.default_rng(0).integers(0, 256, (8, 8, 3))
    for name in ('0.png', '1.png', '2.png'):
        Image.fromarray(image).save(tmp_path / 'files' / name)
    flat = lambda found: sum(found.splits['train'].image(index).std() < 0.1 for index in range(30))
    assert flat(make(tmp_path)) > 20
    assert flat(make(tmp_path, least_deviation=0.1)) < 5


def test_the_cache_is_used_until_a_file_changes(tmp_path, capsys):
    write(tmp_path / 'files', ['0.png', '1.png', '2.png'])
    known = make(tmp_path).fingerprint
    assert 'decoding 3 files' in capsys.readouterr().err
    assert make(tmp_path).fingerprint == known
    assert capsys.readouterr().err == ''
    Image.fromarray(np.zeros((9, 9, 3), np.uint8)).save(tmp_path / 'files' / '1.png')
    assert make(tmp_path).fingerprint != known
    assert 'decoding 3 files' in capsys.readouterr().err
    for path in (tmp_path / 'cache' / 'signals').glob('*/values.bin'):
        path.write_bytes(b'')
    with pytest.raises(InputError, match='delete that folder'):
        make(tmp_path)


@pytest.mark.parametrize(
    ('options', 'part'),
    [
        ({'path': None}, 'signal_folder.path'),
        ({'path': 'nowhere'}, 'nowhere'),
        ({'kind': 'smell'}, "'smell'"),
        ({'shape': ()}, 'signal_folder.shape'),
        ({'shape': (4, 5, 6)}, 'signal_folder.shape'),
        ({'shape': (4, 0)}, 'signal_folder.shape must be whole numbers'),
        ({'channels': 0}, 'channels must be at least 1'),
        ({'channels': -1}, 'channels must be at least 1'),
        ({'groups': '('}, 'regular expression'),
        ({'groups': 'a'}, 'one group in parentheses'),
        ({'labels': '(x)'}, 'does not match'),
        ({'num_test': 0}, 'num_test'),
        ({'validation_fraction': 0.6, 'test_fraction': 0.5}, 'below 1'),
        ({'least_deviation': 0.7}, 'least_deviation'),
    ],
)
def test_a_wrong_call_is_said(tmp_path, options, part):
    write(tmp_path / 'files', ['0.png', '1.png', '2.png'])
    with pytest.raises(InputError, match=part):
        make(tmp_path, **options)


def test_a_folder_without_such_files_or_with_a_bad_one_is_said_and_nothing_is_kept(tmp_path):
    (tmp_path / 'files').mkdir()
    with pytest.raises(InputError, match='no file of a known kind'):
        make(tmp_path)
    write(tmp_path / 'files', ['0.png', '1.png', '2.png'])
    (tmp_path / 'files' / '3.png').write_bytes(b'no image')
    with pytest.raises(InputError, match=r'3\.png'):
        make(tmp_path)
    assert not list((tmp_path / 'cache').glob('signals/*'))


def test_no_file_is_in_two_splits(tmp_path):
    write(tmp_path / 'files', ['0.png', '1.png', 'sub/2.png', 'sub/3.png'])
    sub = tmp_path / 'files' / 'sub'
    for options in ({'validation_path': sub}, {'test_path': sub}, {'validation_path': sub, 'test_path': sub}):
        with pytest.raises(InputError, match='would be in the splits'):
            make(tmp_path, **options)


def test_files_are_read_with_the_channels_and_the_range_that_are_asked_for(tmp_path):
    write(tmp_path / 'files', ['0.png', '1.png', '2.png'])
    usual, asked = make(tmp_path), make(tmp_path, channels=1, data_range=(0, 510))
    assert (usual.spec.channels, usual.spec.source_range) == (3, None)
    assert (asked.spec.channels, asked.spec.source_range) == (1, (0, 510))
    colour, grey = (dataset.splits['test'].image(0) for dataset in (usual, asked))
    np.testing.assert_allclose(grey, colour @ [[0.299], [0.587], [0.114]] / 2, atol=1e-6)


def test_sounds_are_resampled_to_the_spacing(tmp_path):
    import soundfile

    (tmp_path / 'files').mkdir()
    tone = 0.5 * np.sin(2 * np.pi * 1000 * np.arange(8000) / 16_000)
    for name in 'abc':
        soundfile.write(tmp_path / 'files' / f'{name}.wav', tone, 16_000)
    periods = {}
    for spacing in (None, (1 / 8000,)):
        dataset = make(tmp_path, shape=(800,), spacing=spacing)
        assert (dataset.spec.kind, dataset.spec.spacing) == ('sound', spacing)
        wave = np.abs(np.fft.rfft(dataset.splits['train'].image(0)[:, 0]))
        periods[spacing] = 800 / np.argmax(wave)
    assert periods == {None: 16, (1 / 8000,): 8}
