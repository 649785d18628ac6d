"""What a listing reads and passes over, and fingerprints that stay with the content."""

import os
import shutil

import pytest

from hyperinr.datasets import folders
from hyperinr.errors import InputError


def make(folder, names):
    for name in names:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(name)


def listed(folder):
    found = folders.list_files(folder, ('.png', '.tif'))
    return [file.relative_to(folder).as_posix() for file in found.files], dict(found.passed_over)


def test_suffixes_and_hidden_files_are_counted(tmp_path):
    make(tmp_path, ['b.png', 'sub/a.TIF', 'c.txt', 'd.txt', 'sub/e.PDF', 'f', '.g.png', '.h/i.png'])
    files, passed_over = listed(tmp_path)
    assert files == ['b.png', 'sub/a.TIF']
    assert passed_over == {'.txt': 2, '.pdf': 1, 'without a suffix': 1, 'hidden': 2}
    note = folders.list_files(tmp_path, ('.png', '.tif')).note()
    assert note == '6 not read: hidden (2), .txt (2), without a suffix (1), .pdf (1)'


def test_links_to_files_and_folders_are_followed_and_each_file_is_read_once(tmp_path):
    make(tmp_path / 'else', ['1.png', 'sub/2.png'])
    make(tmp_path / 'mine', ['3.png'])
    (tmp_path / 'mine' / 'folder').symlink_to(tmp_path / 'else' / 'sub')
    (tmp_path / 'mine' / 'again').symlink_to(tmp_path / 'else' / 'sub')
    (tmp_path / 'mine' / '0.png').symlink_to(tmp_path / 'mine' / '3.png')
    (tmp_path / 'mine' / 'file.png').symlink_to(tmp_path / 'else' / '1.png')
    assert listed(tmp_path / 'mine') == (['3.png', 'again/2.png', 'file.png'], {'read under another name': 2})


@pytest.mark.parametrize('target', ['loop.png', '.', '..', 'sub'])
def test_a_circle_of_links_ends(tmp_path, target):
    make(tmp_path / 'mine', ['sub/a.png'])
    (tmp_path / 'mine' / 'sub' / 'loop.png').symlink_to(target)
    files, passed_over = listed(tmp_path / 'mine')
    assert files == ['sub/a.png']
    assert sum(passed_over.values()) == 1


def test_broken_links_and_what_cannot_be_opened_are_counted(tmp_path, monkeypatch):
    make(tmp_path, ['a.png', 'b.png'])
    (tmp_path / 'c.png').symlink_to('nowhere')
    os.mkfifo(tmp_path / 'd.png')
    monkeypatch.setattr(os, 'access', lambda path, mode: path.name != 'b.png')
    assert listed(tmp_path) == (['a.png'], {'broken links': 1, 'unreadable': 2})


def described(folder, cache):
    return folders.described({'train': folders.list_files(folder, ('.png',)).files}, folder, cache)


def test_a_description_is_that_of_the_content_wherever_it_lies(tmp_path):
    make(tmp_path / 'a', ['1.png', 'sub/2.png'])
    before = described(tmp_path / 'a', tmp_path / 'cache')
    assert [entry[:2] for entry in before] == [('train', '1.png'), ('train', 'sub/2.png')]
    shutil.copytree(tmp_path / 'a', tmp_path / 'b', copy_function=shutil.copyfile)
    os.utime(tmp_path / 'b' / '1.png', (0, 0))
    assert described(tmp_path / 'b', tmp_path / 'cache') == before
    (tmp_path / 'b' / '1.png').write_text('other')
    assert described(tmp_path / 'b', tmp_path / 'cache') != before
    (tmp_path / 'a' / '1.png').rename(tmp_path / 'a' / '3.png')
    assert described(tmp_path / 'a', tmp_path / 'cache') != before


def test_a_file_is_hashed_once_until_it_changes(tmp_path, monkeypatch):
    make(tmp_path / 'a', ['1.png', '2.png'])
    before = described(tmp_path / 'a', tmp_path / 'cache')
    hashed, digest = [], folders.hashlib.file_digest
    monkeypatch.setattr(
        folders.hashlib, 'file_digest', lambda file, name: hashed.append(file.name) or digest(file, name)
    )
    assert described(tmp_path / 'a', tmp_path / 'cache') == before
    (tmp_path / 'a' / '2.png').write_text('longer than before')
    described(tmp_path / 'a', tmp_path / 'cache')
    assert hashed == [str(tmp_path / 'a' / '2.png')]
    for kept in (tmp_path / 'cache' / 'hashes').glob('*.json'):
        kept.write_text('{"broken')
    assert described(tmp_path / 'a', tmp_path / 'cache')[0] == before[0]


def test_a_cache_that_cannot_be_written_is_left_out(tmp_path):
    make(tmp_path / 'a', ['1.png'])
    (tmp_path / 'file').touch()
    assert len(described(tmp_path / 'a', tmp_path / 'file')) == 1


@pytest.mark.parametrize('path', ['', None])
def test_a_folder_must_be_named_and_exist(tmp_path, path):
    with pytest.raises(InputError, match='mine.path must name the folder of your photos'):
        folders.existing_folder('mine.path', path, 'photos')
    with pytest.raises(InputError, match=r'mine.path: there is no folder .*nowhere'):
        folders.existing_folder('mine.path', tmp_path / 'nowhere', 'photos')
