"""The cache: where it is, that preparing is all or nothing, and that several processes prepare once."""

import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from hyperinr.datasets import cache_folder, photo_patches
from hyperinr.errors import InputError, RunError
from tests.datasets.sources import each_damaged

SMALL = {'resolution': (8, 8), 'num_train': 6, 'num_validation': 1, 'num_test': 1}

PREPARE = """
import sys, time
import numpy as np
from hyperinr.datasets import records
from hyperinr.datasets.image_source import Record

def slowly():
    for index in range(int(sys.argv[2])):
        time.sleep(float(sys.argv[3]))
        yield Record(np.full((4, 4, 3), index, np.uint8), (0, 0, 4, 4), str(index))

splits = lambda: {'train': slowly()}
images = records.open_records('slow', {}, (4, 4, 3), splits, sys.argv[1])[0]['train']
print('holds', images.num_images, [images.record(2).name])
"""


def prepare(folder, count=3, delay=0.0):
    command = [sys.executable, '-c', PREPARE, str(folder), str(count), str(delay)]
    root = str(Path(__file__).parents[2])
    return subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env={**os.environ, 'PYTHONPATH': root}
    )


def test_the_folder_is_the_argument_or_the_environment_or_the_home(monkeypatch):
    monkeypatch.setenv('DATA_PATH', '/data')
    assert cache_folder() == Path('/data')
    assert cache_folder('/other') == Path('/other')
    monkeypatch.delenv('DATA_PATH')
    assert cache_folder() == Path.home() / '.cache' / 'hyperinr'


def test_a_killed_preparation_leaves_nothing_that_is_read(tmp_path):
    killed = prepare(tmp_path, count=100_000, delay=0.01)
    while not list(tmp_path.glob('images/*/incomplete.*')):
        assert killed.poll() is None, killed.communicate()
        time.sleep(0.05)
    killed.send_signal(signal.SIGKILL)
    killed.communicate()
    assert list(tmp_path.glob('images/*/incomplete.*'))
    out, err = prepare(tmp_path).communicate(timeout=120)
    assert out == "holds 3 ['2']\n", err
    assert not list(tmp_path.glob('images/*/incomplete.*'))


def test_processes_that_want_the_same_dataset_prepare_it_once(tmp_path):
    outputs = [process.communicate(timeout=120) for process in [prepare(tmp_path, delay=0.3) for _ in range(2)]]
    assert [out for out, _ in outputs] == ["holds 3 ['2']\n"] * 2, outputs
    assert sum(err.count('preparing slow') for _, err in outputs) == 1


def test_the_second_opening_prepares_nothing(tmp_path, capsys):
    photo_patches(**SMALL, data_dir=str(tmp_path))
    said = capsys.readouterr()
    assert said.err.startswith('preparing photo_patches')
    assert said.out == ''
    photo_patches(**SMALL, data_dir=str(tmp_path))
    assert capsys.readouterr() == ('', '')


def test_a_cache_below_a_file_is_refused(tmp_path, monkeypatch):
    (tmp_path / 'file').touch()
    monkeypatch.setenv('DATA_PATH', str(tmp_path / 'file' / 'cache'))
    with pytest.raises(InputError, match=r'cannot write to the dataset cache .*set DATA_PATH'):
        photo_patches(**SMALL)


def test_a_cache_without_permission_is_refused(tmp_path, monkeypatch):
    def refuse(*args, **kwargs):
        raise PermissionError(13, 'Permission denied')

    monkeypatch.setattr(os, 'open', refuse)
    with pytest.raises(InputError, match=r'Permission denied.*set DATA_PATH'):
        photo_patches(**SMALL, data_dir=str(tmp_path))


def test_a_full_disk_is_one_line_and_leaves_nothing(tmp_path, monkeypatch):
    from hyperinr.datasets import records

    def full(pixels):
        raise OSError(28, 'No space left on device')

    monkeypatch.setattr(records, '_png', full)
    with pytest.raises(RunError, match='disk is full'):
        photo_patches(**SMALL, data_dir=str(tmp_path))
    assert not list(tmp_path.glob('images/*'))


def test_damaged_prepared_data_is_named_with_what_to_do(tmp_path):
    photo_patches(**SMALL, data_dir=str(tmp_path))
    [folder] = (tmp_path / 'images').iterdir()
    said = (
        rf'^the prepared data in {folder} is damaged or cannot be read \(.*\); delete that folder: it is made again\.$'
    )
    for damage in each_damaged(folder):
        with pytest.raises(InputError, match=said) as raised:
            for source in photo_patches(**SMALL, data_dir=str(tmp_path)).splits.values():
                source.batch(range(len(source)))
        assert '\n' not in str(raised.value), damage
    shutil.rmtree(folder)
    assert len(photo_patches(**SMALL, data_dir=str(tmp_path)).splits['train']) == 6


def test_a_cache_that_is_a_file_or_may_not_be_looked_into_is_named(tmp_path, monkeypatch):
    (tmp_path / 'file').touch()
    with pytest.raises(InputError, match=r'cannot write to the dataset cache .*file. \(.*set DATA_PATH'):
        photo_patches(**SMALL, data_dir=str(tmp_path / 'file'))
    stat = os.stat

    def refuse(path, *arguments, **options):
        if 'cache' in str(path):
            raise PermissionError(13, 'Permission denied', str(path))
        return stat(path, *arguments, **options)

    monkeypatch.setattr(os, 'stat', refuse)
    monkeypatch.setattr(os, 'mkdir', refuse)
    with pytest.raises(InputError, match=r'cannot write to the dataset cache .*Permission denied.*set DATA_PATH'):
        photo_patches(**SMALL, data_dir=str(tmp_path / 'cache'))
