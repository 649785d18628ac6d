import re
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from hyperinr.datasets import photo_patches
from hyperinr.errors import InputError
from hyperinr.files import images

SMALL = {'num_train': 40, 'num_validation': 4, 'num_test': 4}


def photograph(name):
    import skimage

    (path,) = (Path(skimage.__file__).parent / 'data').glob(f'{name}.*g')
    return np.asarray(Image.open(path).convert('RGB'), np.float32) / 255


def photographs_of(source):
    return {source.names(i).split()[0] for i in range(len(source))}


@pytest.fixture(scope='module')
def dataset(tmp_path_factory):
    return photo_patches(resolution=(16, 24), **SMALL, data_dir=str(tmp_path_factory.mktemp('cache')))


def test_no_photograph_is_in_two_splits(dataset):
    train, validation, test = (photographs_of(dataset.splits[s]) for s in ('train', 'validation', 'test'))
    assert test == {'chelsea'}
    assert validation == {'coffee'}
    assert len(train) > 8
    assert not train & (test | validation)


def test_a_patch_is_the_resized_crop_that_its_name_says(dataset):
    source = dataset.splits['train']
    for index in range(len(source)):
        name, top, left, height, width = re.fullmatch(r'(\w+) (\d+),(\d+) (\d+)x(\d+)', source.names(index)).groups()
        top, left, height, width = map(int, (top, left, height, width))
        crop = photograph(name)[top : top + height, left : left + width]
        assert crop.shape == (height, width, 3)
        difference = source.image(index) - images.resize(crop, (16, 24))
        assert np.sqrt(np.mean(difference**2)) < 0.02, source.names(index)


def test_scales_reach_from_one_pixel_to_the_whole_photograph(tmp_path):
    source = photo_patches(
        resolution=(8, 8), num_train=300, num_validation=1, num_test=1, data_dir=str(tmp_path)
    ).splits['train']
    sides = np.array([int(source.names(i).split('x')[-1]) for i in range(300)])
    assert sides.min() < 12
    assert sides.max() > 400


def test_deterministic_in_the_seed_and_independent_of_the_count(dataset, tmp_path):
    again = photo_patches(resolution=(16, 24), num_train=10, num_validation=4, num_test=4, data_dir=str(tmp_path))
    ten = range(10)
    np.testing.assert_array_equal(again.splits['train'].batch(ten).values, dataset.splits['train'].batch(ten).values)
    other = photo_patches(
        resolution=(16, 24), num_train=10, num_validation=4, num_test=4, seed=1, data_dir=str(tmp_path)
    )
    assert not np.array_equal(other.splits['train'].batch(ten).values, again.splits['train'].batch(ten).values)


def test_augmentation_flips_the_training_patches_only(dataset):
    train, test = dataset.splits['train'], dataset.splits['test']
    stored = train.image(0)
    variants = {train.sample(0, epoch).values.tobytes() for epoch in range(40)}
    expected = {stored[::v, ::h].tobytes() for v in (1, -1) for h in (1, -1)}
    assert variants == expected
    assert {test.sample(0, epoch).values.tobytes() for epoch in range(8)} == {test[0].values.tobytes()}


def test_read_from_disk_equals_read_from_memory(dataset, tmp_path):
    lazy = photo_patches(resolution=(16, 24), **SMALL, in_memory=False, data_dir=str(tmp_path))
    for got, expected in zip(
        lazy.splits['train'].batch([3, 9], 2), dataset.splits['train'].batch([3, 9], 2), strict=True
    ):
        np.testing.assert_array_equal(got, expected)
    assert lazy.splits['train'].names(5) == dataset.splits['train'].names(5)


@pytest.mark.parametrize(
    ('arguments', 'said'),
    [
        ({'resolution': (32,)}, '2 values in brackets'),
        ({'resolution': 32}, '2 values in brackets'),
        ({'resolution': (0, 8)}, 'whole numbers >= 1'),
        ({'num_train': 0}, 'num_train'),
        ({'num_test': 1.5}, 'num_test'),
        ({'seed': -1}, 'seed'),
        ({'resolution': (500, 500)}, 'larger than the photographs of validation'),
    ],
)
def test_wrong_arguments_write_nothing(tmp_path, arguments, said):
    with pytest.raises(InputError, match=said):
        photo_patches(**arguments, data_dir=str(tmp_path))
    assert not list(tmp_path.glob('images/*'))


def test_without_scikit_image_one_line_says_what_to_install(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, 'skimage', None)
    with pytest.raises(InputError, match=r'hyperinr\[data\]'):
        photo_patches(data_dir=str(tmp_path))


def test_further_test_photographs_are_tested_on_alone(tmp_path):
    folder = tmp_path / 'mine'
    folder.mkdir()
    for number in range(3):
        pixels = np.random.default_rng(number).integers(0, 256, (40, 50, 3), np.uint8)
        Image.fromarray(pixels).save(folder / f'my view {number}.png')
    make = lambda **options: photo_patches(
        resolution=(8, 8), num_train=20, num_validation=4, num_test=40, data_dir=str(tmp_path / 'cache'), **options
    )
    dataset = make(test_folder=folder)
    origins = {split: {source.origin(i) for i in range(len(source))} for split, source in dataset.splits.items()}
    assert origins['test'] == {'chelsea', 'my view 0', 'my view 1', 'my view 2'}
    assert origins['validation'] == {'coffee'}
    np.testing.assert_array_equal(dataset.splits['train'][7].values, make().splits['train'][7].values)
    with pytest.raises(InputError, match='no photographs'):
        make(test_folder=tmp_path / 'cache')
    with pytest.raises(InputError, match='test_folder must be a string or a path'):
        make(test_folder=3)
    Image.new('RGB', (40, 7)).save(folder / 'thin.png')
    with pytest.raises(InputError, match=r'thin\.png.* is smaller than a patch'):
        make(test_folder=folder)
