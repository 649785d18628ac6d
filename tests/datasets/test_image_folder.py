import logging
import shutil

import numpy as np
import pytest
from PIL import Image

from hyperinr.datasets import image_folder
from hyperinr.errors import InputError
from hyperinr.files import images
from tests.datasets.sources import write_images


@pytest.fixture
def folder(tmp_path):
    write_images(tmp_path / 'images')
    return tmp_path / 'images'


def open_folder(folder, **arguments):
    arguments = {'resolution': (8, 12), 'data_dir': str(folder.parent / 'cache'), **arguments}
    return image_folder(path=folder, **arguments)


def files(source):
    return [source.names(i).rsplit(' ', 1)[0] for i in range(len(source))]


def test_every_image_is_in_one_split_and_letterboxed_whole(folder):
    dataset = open_folder(folder)
    names = [name for source in dataset.splits.values() for name in files(source)]
    assert len(names) == len(set(names)) == 12
    assert 'more/3.png' in names
    for source in dataset.splits.values():
        for index, name in enumerate(files(source)):
            canvas, (top, left, height, width) = images.letterbox(images.read_image(folder / name).image, (8, 12))
            weight = np.zeros((8, 12))
            weight[top : top + height, left : left + width] = 1
            np.testing.assert_allclose(source.image(index), canvas, atol=0.6 / 255)
            np.testing.assert_array_equal(source[index].weight.reshape(8, 12), weight)
            assert weight.min() == 0


def test_sub_folders_are_the_splits_where_they_exist(tmp_path):
    for split in ('train', 'validation', 'test'):
        write_images(tmp_path / 'images' / split, count=4)
    dataset = open_folder(tmp_path / 'images')
    for split, source in dataset.splits.items():
        assert len(source) == 4
        assert all(name.startswith(f'{split}/') for name in files(source))
    for file in (tmp_path / 'images' / 'test').rglob('*.png'):
        file.unlink()
    with pytest.raises(InputError, match=r'test.* has no images'):
        open_folder(tmp_path / 'images')


def test_a_changed_folder_is_read_anew(folder):
    before = open_folder(folder)
    Image.new('RGB', (5, 5)).save(folder / 'new.png')
    after = open_folder(folder)
    assert sum(map(len, before.splits.values())) + 1 == sum(map(len, after.splits.values()))


def test_a_copy_elsewhere_is_the_same_dataset_and_is_not_prepared_again(folder, tmp_path, capsys):
    before = open_folder(folder)
    copy = tmp_path / 'elsewhere' / 'copy'
    shutil.copytree(folder, copy, copy_function=shutil.copyfile)
    capsys.readouterr()
    after = open_folder(copy, data_dir=str(tmp_path / 'cache'))
    assert 'preparing' not in capsys.readouterr().err
    assert after.fingerprint == before.fingerprint != ''
    Image.new('RGB', (10, 10)).save(copy / '00.png')
    assert open_folder(copy, data_dir=str(tmp_path / 'cache')).fingerprint != before.fingerprint


def test_what_is_passed_over_is_said_once(folder, caplog):
    (folder / 'broken.png').symlink_to('nowhere')
    with caplog.at_level(logging.WARNING):
        open_folder(folder)
        open_folder(folder)
    said = [record.getMessage() for record in caplog.records]
    assert said == [f'{folder}: 3 not read: hidden (1), .txt (1), broken links (1)']


def test_the_range_of_all_16_bit_files_is_said_together_and_can_be_given(folder, caplog):
    for index, (low, high) in enumerate([(7, 900), (3, 4000)]):
        Image.fromarray(np.array([[low, high]], np.uint16)).save(folder / f'deep{index}.png')
    with caplog.at_level(logging.WARNING):
        open_folder(folder, channels=1)
    advice = 'the image is dark; image_folder.data_range = (0, 4095) scales by 4095'
    assert f'16-bit values from 3 to 4000 scaled by 65535, so {advice}' in caplog.text
    assert caplog.text.count('16-bit values') == 1
    for path in [*folder.glob('[0-9]*'), *folder.glob('more/*')]:
        path.unlink()
    Image.fromarray(np.array([[0, 8000]], np.uint16)).save(folder / 'deep2.png')
    with caplog.at_level(logging.WARNING):
        dataset = open_folder(folder, channels=1, data_range=(0, 4000))
    assert '16-bit values from 0 to 8000, 0 to 4000 mapped to [0, 1]; 1 values clipped' in caplog.text
    values = {files(source)[0]: source[0].values.max() for source in dataset.splits.values()}
    np.testing.assert_allclose([values[f'deep{index}.png'] for index in range(3)], [900 / 4000, 1, 1], atol=0.02)


def test_augmented_padding_moves_with_the_image(folder):
    source = open_folder(folder, augment=True).splits['train']
    for epoch in range(8):
        datapoint = source.sample(0, epoch)
        assert not datapoint.values[datapoint.weight == 0].any()


def test_conversions_are_said(folder, caplog):
    Image.new('L', (5, 5)).save(folder / 'grey.png')
    with caplog.at_level(logging.WARNING):
        open_folder(folder)
    assert 'grey repeated to RGB (1 images)' in caplog.text


@pytest.mark.parametrize(
    ('name', 'content', 'said'),
    [
        ('corrupt.png', b'\x89PNG\r\n\x1a\n and no more', 'corrupt.png'),
        ('nan.npy', np.array([[0.5, np.nan]]), 'NaN'),
        ('range.npy', np.array([[0.5, 255.0]]), 'from 0.5 to 255'),
    ],
)
def test_one_bad_image_stops_everything_and_leaves_nothing(folder, name, content, said):
    if isinstance(content, bytes):
        (folder / name).write_bytes(content)
    else:
        np.save(folder / name, content)
    with pytest.raises(InputError, match=said) as raised:
        open_folder(folder)
    assert '\n' not in str(raised.value)
    assert not list((folder.parent / 'cache').glob('images/*'))


def test_missing_empty_and_too_small_folders(tmp_path):
    with pytest.raises(InputError, match='must name the folder'):
        image_folder()
    with pytest.raises(InputError, match='there is no folder'):
        open_folder(tmp_path / 'missing')
    (tmp_path / 'empty').mkdir()
    with pytest.raises(InputError, match=r'has 0 images .*\(.*; no other files\)'):
        open_folder(tmp_path / 'empty')
    write_images(tmp_path / 'few', count=4)
    with pytest.raises(
        InputError, match='has 4 images .*; 2 not read: .* too few for its validation and test fractions'
    ):
        open_folder(tmp_path / 'few', validation_fraction=0.4, test_fraction=0.5)


@pytest.mark.parametrize(
    ('arguments', 'said'),
    [
        ({'channels': 4}, 'channels'),
        ({'data_range': (3, 3)}, 'image_folder.data_range must be'),
        ({'test_fraction': 0.95}, 'below 1'),
        ({'seed': -1}, 'seed'),
    ],
)
def test_wrong_arguments(folder, arguments, said):
    with pytest.raises(InputError, match=said):
        open_folder(folder, **arguments)
