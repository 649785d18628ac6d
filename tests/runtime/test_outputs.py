"""What hyperinr wrote, and nothing else, is replaced: of every kind of output, by every command that makes some."""

import os
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from hyperinr.cli import main
from hyperinr.errors import InputError
from hyperinr.files.images import write_picture
from hyperinr.files.surfaces import Surface, write_surface
from hyperinr.files.weights import read_weights, write_weights
from hyperinr.inspection.page import render
from hyperinr.inspection.pictures import new_figure, save_figure
from hyperinr.runtime.outputs import check_outputs, replacing_output, write_json_output
from tests.tiny_runs import DEFAULT

LAYER = {'w': np.zeros((2, 2), np.float32), 'b': np.zeros(2, np.float32)}
WEIGHTS = {'layer_0': LAYER, 'layer_1': LAYER}
TETRAHEDRON = Surface(np.eye(4, 3, dtype=np.float32), np.array([[0, 1, 2], [0, 3, 1], [1, 3, 2], [2, 3, 0]]))
WRITERS = {
    'a.json': lambda path: write_json_output(path, {'psnr': 1.0}),
    'a.png': lambda path: write_picture(path, np.zeros((300, 300, 3), np.uint8)),
    'figure.png': lambda path: save_figure(new_figure(1, 1), path),
    'a.html': lambda path: render(path, 'sweep.html', title='a', rows=(), bindings=(), pictures={}, objective='psnr'),
    'a.npz': lambda path: write_weights(path, WEIGHTS, {'kind': 'siren'}),
    'a.safetensors': lambda path: write_weights(path, WEIGHTS, {'kind': 'siren'}),
    'a.pt': lambda path: write_weights(path, WEIGHTS, {'kind': 'siren'}),
    'a.obj': lambda path: write_surface(path, TETRAHEDRON),
    'a.ply': lambda path: write_surface(path, TETRAHEDRON),
}
NEEDS = {'figure.png': 'matplotlib', 'a.pt': 'torch', 'a.obj': 'trimesh', 'a.ply': 'trimesh'}


@pytest.mark.parametrize('name', WRITERS)
def test_an_output_is_written_again_and_no_other_file_is(tmp_path, name):
    if name in NEEDS:
        pytest.importorskip(NEEDS[name])
    path = tmp_path / name
    WRITERS[name](path)
    before = path.read_bytes()
    WRITERS[name](path)
    assert len(path.read_bytes()) == len(before)
    path.write_bytes(b"the user's")
    with pytest.raises(InputError, match=rf'{name} exists and was not written by hyperinr: give .* or move it away'):
        WRITERS[name](path)
    assert path.read_bytes() == b"the user's"
    assert not list(tmp_path.glob('.*'))


def test_a_file_that_only_mentions_the_mark_is_the_users(tmp_path):
    for text in ('{"cells": ["\\"written_by\\": \\"hyperinr\\""]}', '{"cells": 1,\n  "written_by": "hyperinr"}'):
        (tmp_path / 'a.json').write_text(text)
        with pytest.raises(InputError, match=r'a\.json exists and was not written by hyperinr'):
            WRITERS['a.json'](tmp_path / 'a.json')


def test_marks_change_nothing_that_is_read(tmp_path):
    trimesh, torch = pytest.importorskip('trimesh'), pytest.importorskip('torch')
    for name in ('a.npz', 'a.safetensors', 'a.pt', 'a.ply', 'a.obj'):
        WRITERS[name](tmp_path / name)
    assert read_weights(tmp_path / 'a.npz')[1] == read_weights(tmp_path / 'a.safetensors')[1]
    assert set(read_weights(tmp_path / 'a.npz')[1]) == {'kind', 'schema_version'}
    for name in ('a.ply', 'a.obj'):
        assert trimesh.load_mesh(tmp_path / name).faces.shape == (4, 3)
    module = torch.nn.Module()
    module.layers, module.last_layer = torch.nn.ModuleList([torch.nn.Linear(2, 2)]), torch.nn.Linear(2, 2)
    module.load_state_dict(torch.load(tmp_path / 'a.pt', weights_only=True), strict=True)


def test_what_is_no_file_is_never_replaced(tmp_path):
    (tmp_path / 'folder').mkdir()
    os.mkfifo(tmp_path / 'pipe')
    (tmp_path / 'link').symlink_to('nowhere')
    check_outputs([tmp_path / 'new', tmp_path / 'deep' / 'new'])
    for name in ('folder', 'pipe', 'link'):
        with pytest.raises(InputError, match=rf'{name} exists and (is a folder|was not written by hyperinr)'):
            check_outputs([tmp_path / 'new', tmp_path / name])


def test_a_writer_without_a_mark_is_noticed(tmp_path):
    with pytest.raises(AssertionError, match='without a mark'), replacing_output(tmp_path / 'a') as temporary:
        temporary.write_text('a')
    assert not list(tmp_path.iterdir())


OWN = ('own/photo.jpg', '--out', 'own')
COMMANDS = [
    (('generate', '--run', 'RUN', *OWN), 'own/photo.png'),
    (('finetune', '--run', 'RUN', *OWN), 'own/photo.npz'),
    (('finetune', '--run', 'RUN', *OWN, '--format', 'pt'), 'own/photo.json'),
    (('fit-one', *OWN), 'own/photo.png'),
    (('fit-one', *OWN), 'own/photo.curve.json'),
    (('fit-one', *OWN), 'own/photo.curve.png'),
    (('fit-one', *OWN, '--rate', 'range'), 'own/photo.rates.json'),
    (('check', DEFAULT, '--run', 'own'), 'own/data.png'),
    (('check', DEFAULT, '--json', 'RUN/run.json'), 'RUN/run.json'),
    (('evaluate', '--run', 'RUN', '--json', 'own/a.json'), 'own/a.json'),
    (('evaluate', '--run', 'RUN', '--json', 'own/a.json'), 'own/pictures/curves.png'),
    (('evaluate', '--run', 'RUN', '--json', 'RUN/config.gin'), 'RUN/config.gin'),
    (('evaluate', '--run', 'RUN', '--json', 'RUN/run.json'), 'RUN/run.json'),
    (('evaluate', '--run', 'RUN', '--json', 'RUN/spec.json'), 'RUN/spec.json'),
]


WORK = (
    'fitting.fit',
    'fitting.rate_range.rate_range',
    'model.Model.finetune',
    'checking.check',
    'evaluation.curves.evaluate',
)


@pytest.mark.parametrize(('arguments', 'path'), COMMANDS)
def test_a_command_refuses_before_its_work_and_writes_nothing(
    arguments, path, tmp_path, trained_run, monkeypatch, capsys
):
    (tmp_path / 'own' / 'pictures').mkdir(parents=True)
    Image.new('RGB', (20, 20)).save(tmp_path / 'own' / 'photo.jpg')
    shutil.copytree(trained_run, tmp_path / 'RUN')
    monkeypatch.chdir(tmp_path)
    for work in WORK:
        monkeypatch.setattr(f'hyperinr.{work}', lambda *arguments, **options: pytest.fail('the work began'))
    if not Path(path).exists():
        Path(path).write_text("the user's")
    before = {each: each.read_bytes() for each in tmp_path.rglob('*') if each.is_file()}
    assert main(arguments) == 2
    assert f'{path} exists and was not written by hyperinr: give another output path' in capsys.readouterr().err
    assert {each: each.read_bytes() for each in tmp_path.rglob('*') if each.is_file()} == before


def test_the_start_of_a_fit_is_not_overwritten_by_its_result(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    Image.new('RGB', (20, 20)).save('a.jpg')
    WRITERS['a.npz'](tmp_path / 'a.npz')
    before = (tmp_path / 'a.npz').read_bytes()
    assert main(('fit-one', 'a.jpg', '--initialisation', 'a.npz', '--out', '.')) == 2
    assert 'the result would overwrite a.npz, its own start; give another --out' in capsys.readouterr().err
    assert (tmp_path / 'a.npz').read_bytes() == before
