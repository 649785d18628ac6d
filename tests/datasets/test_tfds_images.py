import sys

import numpy as np
import pytest

from hyperinr.datasets import tfds_images
from hyperinr.errors import InputError
from tests.datasets.sources import each_damaged, prepare_ragged


def test_ragged_images_are_letterboxed_and_the_end_of_train_is_validation(tmp_path):
    prepare_ragged(tmp_path)
    dataset = tfds_images(name='ragged', resolution=(12, 12), data_dir=str(tmp_path))
    assert {split: len(source) for split, source in dataset.splits.items()} == {
        'train': 19,
        'validation': 1,
        'test': 20,
    }
    assert dataset.splits['validation'][0].values.max() == np.float32(19 / 255)
    for index in range(3):
        datapoint = dataset.splits['test'][index]
        rows = round((6 + index) * 12 / 9)
        assert datapoint.weight.sum() == rows * 12
        np.testing.assert_allclose(datapoint.values[datapoint.weight == 1], index / 255, atol=1e-6)
    assert dataset.splits['test'].names(2) == 'ragged test 2'
    assert 'tensorflow' not in sys.modules


def test_images_of_one_size_need_no_resolution_and_keep_their_channels(tmp_path):
    prepare_ragged(tmp_path, name='even', shape=(5, 7, 1), splits=('train', 'validation', 'test'))
    dataset = tfds_images(name='even', in_memory=False, data_dir=str(tmp_path))
    assert dataset.spec.grid_shape == (5, 7)
    assert dataset.spec.channels == 1
    assert [len(source) for source in dataset.splits.values()] == [20, 20, 20]
    np.testing.assert_allclose(
        dataset.splits['train'].batch([4, 11]).values[:, 0, 0], np.array([4, 11]) / 255, atol=1e-7
    )


def test_train_alone_is_split_in_three(tmp_path):
    prepare_ragged(tmp_path, splits=('train',))
    dataset = tfds_images(name='ragged', resolution=(4, 4), data_dir=str(tmp_path))
    values = [source[i].values.max() for source in dataset.splits.values() for i in range(len(source))]
    assert [len(source) for source in dataset.splits.values()] == [18, 1, 1]
    assert len(set(values)) == 20


def test_the_environment_says_where_to_look(tmp_path, monkeypatch):
    monkeypatch.setenv('DATA_PATH', str(tmp_path / 'cache'))
    monkeypatch.setenv('TFDS_DATA_DIR', str(tmp_path / 'tfds'))
    prepare_ragged(tmp_path / 'tfds')
    assert len(tfds_images(name='ragged', resolution=(4, 4)).splits['test']) == 20


def test_unprepared_wrong_and_ragged_datasets_are_one_line(tmp_path):
    with pytest.raises(InputError, match=r'cifar10 is not prepared in .*: hyperinr prepare cifar10'):
        tfds_images(name='cifar10', data_dir=str(tmp_path))
    prepare_ragged(tmp_path)
    with pytest.raises(InputError, match=r'several sizes; set tfds_images.resolution'):
        tfds_images(name='ragged', data_dir=str(tmp_path))
    with pytest.raises(InputError, match='image_key to one of image, label'):
        tfds_images(name='ragged', image_key='picture', data_dir=str(tmp_path))
    prepare_ragged(tmp_path, name='testless', splits=('test',))
    with pytest.raises(InputError, match='no train split, only test'):
        tfds_images(name='testless', resolution=(4, 4), data_dir=str(tmp_path))


def test_another_file_format_is_refused(tmp_path):
    folder = prepare_ragged(tmp_path).data_dir
    path = f'{folder}/dataset_info.json'
    with open(path) as file:
        text = file.read()
    with open(path, 'w') as file:
        file.write(text.replace('array_record', 'tfrecord'))
    with pytest.raises(InputError, match='not prepared as array_record'):
        tfds_images(name='ragged', resolution=(4, 4), data_dir=str(tmp_path))


@pytest.mark.parametrize(
    'features',
    [
        '{"pythonClassName": "antigravity.X"}',
        '{"type": "antigravity.X", "content": {}}',
        '{"pythonClassN\\u0061me": "antigravity.X", "jsonFeature": {"json": "{}"}}',
        '{"pythonClassName": "tensorflow_datasets.X", "content": [{"a": {"type": "antigravity.X"}}]}',
    ],
)
def test_features_of_other_packages_are_not_imported(tmp_path, features):
    prepare_ragged(tmp_path)
    (path,) = tmp_path.glob('ragged/**/features.json')
    path.write_text(features)
    with pytest.raises(InputError, match=r"features\.json names 'antigravity\.X', no class of tensorflow-datasets"):
        tfds_images(name='ragged', resolution=(4, 4), data_dir=str(tmp_path))
    assert 'antigravity' not in sys.modules


def test_damaged_data_is_named_with_what_to_do(tmp_path):
    prepare_ragged(tmp_path)
    said = rf'in {tmp_path}/ragged/2.0.0 is damaged .*; delete that folder: `hyperinr prepare ragged` makes it again\.$'
    for damage in each_damaged(tmp_path / 'ragged'):
        with pytest.raises(InputError, match='ragged is not prepared' if damage == 'dataset_info.json gone' else said):
            for source in tfds_images(name='ragged', resolution=(4, 4), data_dir=str(tmp_path)).splits.values():
                source.batch(range(len(source)))
