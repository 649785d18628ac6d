"""All or nothing on the disk."""

import json
import os

import numpy as np
import pytest

from hyperinr.errors import InputError
from hyperinr.runtime import files


def test_an_interrupted_write_leaves_nothing(tmp_path):
    def write_half():
        with files.replacing(tmp_path / 'a.txt') as temporary:
            temporary.write_text('half')
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_half()
    assert not list(tmp_path.iterdir())


def test_the_old_content_stands_until_the_new_is_whole(tmp_path):
    path = tmp_path / 'deep' / 'a.txt'
    with files.replacing(path) as temporary:
        temporary.write_text('old')
    with files.replacing(path) as temporary:
        temporary.write_text('new')
        assert path.read_text() == 'old'
        assert temporary.suffix == '.txt'
    assert path.read_text() == 'new'


def test_two_writers_of_one_file_do_not_share_a_temporary_name(tmp_path, monkeypatch):
    monkeypatch.setattr(os, 'getpid', lambda: 1)  # As on two machines.
    path = tmp_path / ('ä' * 100 + '.txt')
    with files.replacing(path) as first, files.replacing(path) as second:
        assert first != second
        first.write_text('first')
        second.write_text('second')
    assert path.read_text() == 'first'
    assert list(tmp_path.iterdir()) == [path]


def test_a_rename_is_flushed_and_many_can_share_one_flush(tmp_path, monkeypatch):
    flushed = []
    monkeypatch.setattr(files, 'sync_folder', lambda folder: flushed.append(sorted(os.listdir(folder))))
    files.write_json(tmp_path / 'a.json', 1)
    with files.replacing(tmp_path / 'b', flush_folder=False) as temporary:
        temporary.touch()
    assert flushed == [['a.json']]


@pytest.mark.parametrize('reader', [files.read_json, files.check_regular])
def test_what_is_no_regular_file_is_named_and_never_waited_for(tmp_path, reader):
    os.mkfifo(tmp_path / 'pipe')
    for path, said in ((tmp_path, 'folder'), (tmp_path / 'pipe', 'pipe'), ('/dev/zero', 'device'), ('none', 'none')):
        with pytest.raises(InputError, match=said):
            reader(path)


def test_a_file_too_long_or_too_deep_for_json_is_named(tmp_path, monkeypatch):
    (tmp_path / 'a.json').write_text('[' * 100_000)
    with pytest.raises(InputError, match=r'cannot be read \(.*recursion'):
        files.read_json(tmp_path / 'a.json')
    monkeypatch.setattr(files, 'MOST_TEXT_BYTES', 99_999)
    with pytest.raises(InputError, match='it has 100000 bytes, more than 99999'):
        files.read_json(tmp_path / 'a.json')


def test_json_refuses_what_is_not_json(tmp_path):
    with pytest.raises(ValueError, match='JSON'):
        files.write_json(tmp_path / 'a.json', {'psnr': float('nan')})
    files.write_json(tmp_path / 'a.json', {'psnr': None})
    assert json.loads((tmp_path / 'a.json').read_text()) == {'psnr': None}


def test_a_file_in_the_place_of_a_folder_is_named(tmp_path):
    (tmp_path / 'a').write_text('')
    with pytest.raises(InputError, match='choose another'):
        files.check_writable_folder(tmp_path / 'a' / 'b')


def test_a_folder_without_permission_is_named(tmp_path, monkeypatch):
    def refuse(*arguments, **options):
        raise PermissionError(13, 'Permission denied')

    monkeypatch.setattr(os, 'mkdir', refuse)
    with pytest.raises(InputError, match=r'no permission to write .*closed'):
        files.check_writable_folder(tmp_path / 'closed')


def test_json_that_cannot_be_read_is_named_with_the_remedy(tmp_path):
    files.write_json(tmp_path / 'a.json', {'a': [1]})
    assert files.read_json(tmp_path / 'a.json') == {'a': [1]}
    (tmp_path / 'b.json').write_text('{"a"')
    for name in ('b.json', 'c.json'):
        with pytest.raises(InputError, match=rf'{name} cannot be read \(.*\); fetch it again\.$'):
            files.read_json(tmp_path / name, remedy='fetch it again')


def test_lines_that_are_no_objects_are_left_out(tmp_path):
    path = tmp_path / 'a.jsonl'
    assert files.read_json_lines(path) == []
    path.write_text('{"a": 1}\n\n3\n{"b": "\u00e4"}\n{"c": ', encoding='utf-8')
    assert files.read_json_lines(path) == [{'a': 1}, {'b': '\u00e4'}]


def test_json_gets_no_infinity_and_no_array():
    given = {'a': np.array([1.5, np.nan, np.inf], np.float32), 1: (np.int32(2), float('nan'), True, None, 'b')}
    assert files.plain(given) == {'a': [1.5, None, None], '1': [2, None, True, None, 'b']}
    assert [type(item) for item in files.plain(given)['a'][:1]] == [float]
