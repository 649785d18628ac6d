import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
import tensorflow_datasets as tfds

from hyperinr.datasets import prepare, tfds_images
from hyperinr.datasets.prepare import OWN
from hyperinr.errors import InputError, RunError
from tests.datasets.sources import prepare_ragged


def test_without_tensorflow_one_line_says_what_to_install(tmp_path, monkeypatch):
    monkeypatch.setattr(sys.modules[prepare.__module__], '_has_tensorflow', lambda: False)
    with pytest.raises(InputError, match=r"TensorFlow .*pip install 'hyperinr\[prepare\]'") as raised:
        prepare('cifar10', data_dir=str(tmp_path))
    assert '\n' not in str(raised.value)
    assert not list(tmp_path.iterdir())


def test_own_datasets_are_prepared_without_tensorflow(tmp_path, monkeypatch):
    asked = []
    monkeypatch.setitem(OWN, 'mnist_5k', lambda *, data_dir: asked.append(data_dir))
    assert prepare('mnist_5k', data_dir=str(tmp_path)) == tmp_path
    assert asked == [str(tmp_path)]


@pytest.fixture
def with_tensorflow(monkeypatch):
    """As if TensorFlow were there: a catalogue of one dataset, which our own builder prepares."""
    monkeypatch.setattr(sys.modules[prepare.__module__], '_has_tensorflow', lambda: True)
    monkeypatch.setattr(tfds, 'list_builders', lambda: ['cifar10', 'mnist', 'ragged'])


def test_a_prepared_dataset_is_found_by_name(tmp_path, monkeypatch, with_tensorflow):
    def builder(name, *, data_dir, file_format):
        assert (name, file_format) == ('ragged', 'array_record')
        return SimpleNamespace(
            data_dir=f'{data_dir}/ragged/2.0.0', download_and_prepare=lambda: prepare_ragged(tmp_path)
        )

    monkeypatch.setattr(tfds, 'builder', builder)
    assert prepare('ragged', data_dir=str(tmp_path)) == tmp_path / 'ragged' / '2.0.0'
    assert len(tfds_images(name='ragged', resolution=(4, 4), data_dir=str(tmp_path)).splits['test']) == 20


def test_damaged_data_of_another_time_is_named_with_what_to_do(tmp_path, monkeypatch, with_tensorflow):
    def builder(*arguments, **options):
        raise KeyError('splits')

    monkeypatch.setattr(tfds, 'builder', builder)
    with pytest.raises(InputError, match=rf'splits.*; if {tmp_path}/ragged is there and damaged, delete it'):
        prepare('ragged', data_dir=str(tmp_path))


def test_an_unknown_name_names_the_nearest(tmp_path, with_tensorflow):
    with pytest.raises(InputError, match=r"no dataset 'cifar_10'; did you mean cifar10"):
        prepare('cifar_10', data_dir=str(tmp_path))


@pytest.mark.parametrize(
    ('error', 'kind', 'said'),
    [
        (ConnectionError('no route\nto host'), RunError, 'preparing mnist failed: no route; .*run it again'),
        (OSError(28, 'No space left on device'), RunError, 'disk is full'),
        (PermissionError(13, 'Permission denied'), InputError, 'no permission'),
    ],
)
def test_a_failed_download_is_one_line(tmp_path, monkeypatch, with_tensorflow, error, kind, said):
    def fail():
        raise error

    monkeypatch.setattr(tfds, 'builder', lambda name, **_: SimpleNamespace(download_and_prepare=fail))
    with pytest.raises(kind, match=said):
        prepare('mnist', data_dir=str(tmp_path))


def test_a_wrong_config_is_said(tmp_path, monkeypatch, with_tensorflow):
    def fail(name, **_):
        raise ValueError('Failed to construct dataset\nlong list')

    monkeypatch.setattr(tfds, 'builder', fail)
    with pytest.raises(InputError, match='mnist/odd: Failed to construct dataset'):
        prepare('mnist/odd', data_dir=str(tmp_path))


def test_importing_the_datasets_imports_nothing_heavy():
    import subprocess

    code = (
        'import sys, hyperinr.datasets; '
        "heavy = {'tensorflow_datasets', 'tensorflow', 'skimage', 'mlxtend', 'grain', 'matplotlib'}; "
        'print(sorted(heavy & set(sys.modules)))'
    )
    done = subprocess.run(
        [sys.executable, '-c', code], capture_output=True, text=True, check=True, cwd=Path(__file__).parents[2]
    )
    assert done.stdout.strip() == '[]'
