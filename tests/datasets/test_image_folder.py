import logging

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
    arguments = {'resolution': (8, 12), **arguments}
    return image_folder(path=folder, data_dir=str(folder.parent / 'cache'), **arguments)


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
    with pytest.raises(InputError, match='has 0 images'):
        open_folder(tmp_path / 'empty')
    write_images(tmp_path / 'few', count=4)
    with pytest.raises(InputError, match='has 4 images .* too few for its validation and test fractions'):
        open_folder(tmp_path / 'few', validation_fraction=0.4, test_fraction=0.5)


@pytest.mark.parametrize(
    ('arguments', 'said'), [({'channels': 4}, 'channels'), ({'test_fraction': 0.95}, 'below 1'), ({'seed': -1}, 'seed')]
)
def test_wrong_arguments(folder, arguments, said):
    with pytest.raises(InputError, match=said):
        open_folder(folder, **arguments)
