import json
import os

import pytest

from hyperinr.errors import InputError
from hyperinr.training.run_directory import (
    RunFiles,
    changed_bindings,
    check_same_run,
    digest,
    hyperparameters,
    locked,
    read_spec,
    write_run_files,
)
from hyperinr.types import DatasetSpec

SPEC = DatasetSpec('tiny', (6, 5), 30, 2, 3, (0.0, 1.0))
FILES = RunFiles('siren.width = 64\nNUM_STEPS = 5\n', {'num_steps': 5, 'batch_size': 8, 'seed': 0}, SPEC)


def test_changed_bindings_ignores_comments_order_and_spacing():
    before = '# a\nimport x\na.b = 1\nlong.value = \\\n    (1,\n     2)\nc = @f()\n'
    after = 'c = @f()\nimport x\nlong.value = (1, 2)\n\n# other\na.b   = 1\n'
    assert changed_bindings(before, after) == []


def test_changed_bindings_names_what_changed_came_and_went():
    assert changed_bindings('a.b = 1\nc = 2\n', 'a.b = 3\nd.e = 4\n') == [
        'a.b was 1, is now 3',
        'c = 2 is gone',
        'd.e = 4 is new',
    ]


WATCHED = {
    'loop.train.log_every': '5',
    'loop.train.loggers': '[@loggers.tensorboard()]',
    'evaluators.held_out_psnr.every': "'30 seconds'",
    'seen/evaluators.held_out_psnr.split': "'train'",
    'stop_rules.after.limit': "'1 hour'",
    'best_checkpoint.best_checkpoint.mode': "'max'",
    'machine.machine.workers': '4',
}


IMPORTS = """from hyperinr.runtime import machine
from hyperinr.training import loop
from hyperinr.training.watching import best_checkpoint
from hyperinr.training.watching import evaluators
from hyperinr.training.watching import loggers
from hyperinr.training.watching import stop_rules
"""


@pytest.mark.parametrize('name', WATCHED)
def test_what_only_watches_a_run_may_change(tmp_path, name):
    write_run_files(tmp_path, FILES)
    text = f'{IMPORTS}{FILES.config_text}{name} = {WATCHED[name]}\n'
    assert changed_bindings(FILES.config_text, text) == changed_bindings(text, FILES.config_text) == []
    newer = FILES._replace(config_text=text)
    assert check_same_run(tmp_path, newer)
    write_run_files(tmp_path, newer)
    assert (tmp_path / 'config.gin').read_text() == text


def test_a_name_watches_a_run_only_if_its_module_does(tmp_path):
    write_run_files(tmp_path, FILES)
    before = digest(tmp_path)
    for text in ('from hyperinr import inrs as loggers\nloggers.siren.width = 3\n', 'loggers.siren.width = 3\n'):
        assert changed_bindings(FILES.config_text, FILES.config_text + text) == ['loggers.siren.width = 3 is new']
        (tmp_path / 'config.gin').write_text(FILES.config_text + text)
        assert digest(tmp_path) != before
    (tmp_path / 'config.gin').write_text(f'{IMPORTS}{FILES.config_text}loggers.tensorboard.flush = 3\n')
    assert digest(tmp_path) == before


def test_hyperparameters_are_numbers_where_they_can_be():
    text = "from a import b\n\nNUM_STEPS = 5\nb.c = (1,\n    2)\nb.d = @f()\nb.e = True\nb.g = 'text'\n"
    assert hyperparameters(text) == {'NUM_STEPS': 5, 'b.c': '(1, 2)', 'b.d': '@f()', 'b.e': True, 'b.g': 'text'}


def test_a_new_folder_becomes_the_run_and_reads_back(tmp_path):
    run_dir = tmp_path / 'a' / 'run'
    assert not check_same_run(run_dir, FILES)
    write_run_files(run_dir, FILES)
    assert check_same_run(run_dir, FILES)
    assert read_spec(run_dir) == SPEC
    assert sorted(path.name for path in run_dir.iterdir()) == ['config.gin', 'run.json', 'spec.json', 'versions.json']


def test_a_config_that_is_no_text_is_named(tmp_path):
    write_run_files(tmp_path, FILES)
    (tmp_path / 'config.gin').write_bytes(b'\xae = 3')
    for read in (digest, lambda folder: check_same_run(folder, FILES)):
        with pytest.raises(InputError, match=r'config\.gin cannot be read .*; restore a copy of the run directory'):
            read(tmp_path)


@pytest.mark.parametrize('text', ['null', '3', '[]', '{', '{"a": ' * 2000, '\x00'])
def test_files_that_hold_no_object_are_named(tmp_path, text):
    write_run_files(tmp_path, FILES)
    for name, read in (('spec.json', read_spec), ('run.json', lambda folder: check_same_run(folder, FILES))):
        (tmp_path / name).write_text(text)
        with pytest.raises(InputError, match=rf'{name} cannot be read .*; restore a copy of the run directory'):
            read(tmp_path)


@pytest.mark.parametrize(
    ('name', 'value'),
    [('num_points', 0), ('num_points', 2**62), ('channels', -1), ('coord_dims', 2.0), ('grid_shape', [0, 3]),
     ('data_range', [1.0, 0.0]), ('data_range', [0.0]), ('num_labels', '3'), ('name', None), ('surprise', 1)],
)  # fmt: skip
def test_a_specification_outside_its_ranges_is_named(tmp_path, name, value):
    write_run_files(tmp_path, FILES)
    content = json.loads((tmp_path / 'spec.json').read_text())
    (tmp_path / 'spec.json').write_text(json.dumps({**content, name: value}))
    with pytest.raises(InputError, match=r'spec\.json does not describe a dataset'):
        read_spec(tmp_path)


def test_a_kill_between_the_files_is_made_good(tmp_path):
    write_run_files(tmp_path, FILES)
    (tmp_path / 'spec.json').unlink()
    (tmp_path / 'config.gin').rename(tmp_path / '.config.1.partial.gin')
    assert check_same_run(tmp_path, FILES)
    write_run_files(tmp_path, FILES)
    assert read_spec(tmp_path) == SPEC
    assert (tmp_path / 'config.gin').read_text() == FILES.config_text


@pytest.mark.parametrize(
    ('changed', 'shown'),
    [
        (FILES._replace(config_text='siren.width = 32\nNUM_STEPS = 5\n'), 'siren.width was 64, is now 32'),
        (FILES._replace(run={**FILES.run, 'seed': 3}), 'seed was 0, is now 3'),
        (FILES._replace(spec=SPEC._replace(channels=1)), "the dataset's channels was 3, is now 1"),
    ],
)
def test_another_config_is_refused_and_shown_in_one_line(tmp_path, changed, shown):
    write_run_files(tmp_path, FILES)
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    with pytest.raises(InputError, match='another config') as error:
        check_same_run(tmp_path, changed)
    assert shown in str(error.value)
    assert '\n' not in str(error.value)
    assert before == {path.name: path.read_bytes() for path in tmp_path.iterdir()}


PLACED = 'experiment.experiment.dataset = @mine.photos\nmine.photos.path = {path}\nmine.photos.seed = 0\n'
MOVABLE = FILES._replace(config_text=PLACED.format(path="'a'"), fingerprint='abc')


@pytest.mark.parametrize('moved', ["mine.photos.path = '/b/a'", 'mine.photos.path = %WHERE\nWHERE = 3', ''])
def test_the_same_data_may_lie_elsewhere(tmp_path, moved):
    write_run_files(tmp_path, MOVABLE)
    elsewhere = MOVABLE._replace(config_text=MOVABLE.config_text.replace("mine.photos.path = 'a'", moved))
    assert check_same_run(tmp_path, elsewhere._replace(spec=None, fingerprint=''))
    assert check_same_run(tmp_path, elsewhere)


@pytest.mark.parametrize(
    ('change', 'shown'),
    [
        ({'fingerprint': 'abd'}, 'files of the dataset were added, removed, renamed or changed'),
        ({'fingerprint': ''}, 'files of the dataset were'),
        ({'config_text': PLACED.format(path="'b'"), 'fingerprint': 'abd'}, 'files of the dataset were'),
        ({'config_text': MOVABLE.config_text + "other.photos.path = 'b'\n"}, "other.photos.path = 'b' is new"),
        ({'config_text': PLACED.format(path="'b'").replace('seed = 0', 'seed = 1')}, 'photos.seed was 0, is now 1'),
    ],
)
def test_other_data_in_any_place_are_refused(tmp_path, change, shown):
    write_run_files(tmp_path, MOVABLE)
    with pytest.raises(InputError, match='another config') as error:
        check_same_run(tmp_path, MOVABLE._replace(**change))
    assert shown in str(error.value)


def test_data_without_a_fingerprint_are_known_by_their_path(tmp_path):
    write_run_files(tmp_path, MOVABLE._replace(fingerprint=''))
    assert check_same_run(tmp_path, MOVABLE)
    with pytest.raises(InputError, match="mine.photos.path was 'a', is now 'b'"):
        check_same_run(tmp_path, MOVABLE._replace(config_text=PLACED.format(path="'b'")))


def test_a_folder_of_something_else_is_refused(tmp_path):
    (tmp_path / 'thesis.tex').write_text('precious')
    with pytest.raises(InputError, match=r'holds no run \(thesis.tex'):
        check_same_run(tmp_path, FILES)


def test_a_file_or_a_path_below_one_is_refused(tmp_path):
    path = tmp_path / 'file'
    path.write_text('')
    for run_dir in (path, path / 'run'):
        with pytest.raises(InputError, match=str(run_dir)):
            check_same_run(run_dir, FILES)


def test_no_permission_is_said_before_anything_is_written(tmp_path, monkeypatch):
    monkeypatch.setattr(os, 'access', lambda path, mode: False)
    with pytest.raises(InputError, match='no permission to write'):
        check_same_run(tmp_path / 'run', FILES)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize('text', ['{"name": "ti', '{"colour": 1}'])
def test_a_damaged_spec_is_said(tmp_path, text):
    (tmp_path / 'spec.json').write_text(text)
    with pytest.raises(InputError, match='damaged'):
        read_spec(tmp_path)


def test_two_processes_cannot_train_in_one_folder(tmp_path):
    with locked(tmp_path), pytest.raises(InputError, match='another process'), locked(tmp_path):
        pass
    with locked(tmp_path):
        pass


def test_an_option_that_an_earlier_version_did_not_have_and_that_is_off_is_no_change():
    assert changed_bindings('siren.width = 64', 'siren.width = 64\nsiren.crop = None') == []
    assert changed_bindings('siren.width = 64', 'siren.width = 64\nsiren.crop = 3') == ['siren.crop = 3 is new']
    assert changed_bindings('siren.crop = 3', 'siren.crop = None') == ['siren.crop was 3, is now None']
