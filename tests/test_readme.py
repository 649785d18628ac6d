"""The README's examples run as they stand."""

import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from hyperinr import cli
from tests.tiny_runs import write_images

ROOT = Path(__file__).resolve().parent.parent
README = (ROOT / 'README.md').read_text(encoding='utf-8')
BLOCKS = re.findall(r'```python\n(.*?)```', README, re.DOTALL)


@pytest.fixture(scope='module')
def folder(tmp_path_factory, trained_run):
    """A working folder with a tiny ``runs/demo`` and ``weights/photo.npz``."""
    folder = tmp_path_factory.mktemp('readme')
    (folder / 'runs').mkdir()
    (folder / 'runs' / 'demo').symlink_to(trained_run)
    (image,) = write_images(folder, number=1)
    photo = image.rename(folder / 'photo.png')
    assert (
        cli.main(['generate', '--run', str(trained_run), str(photo), '--out', str(folder / 'weights'), '--debug']) == 0
    )
    return folder


def test_there_are_three_examples():
    assert len(BLOCKS) == 3


def test_a_run_is_used_from_python(folder, monkeypatch):
    monkeypatch.chdir(folder)
    names = {}
    exec(BLOCKS[0], names)
    assert names['weights']['layer_0']['w'].shape == (8, 2, 8)
    assert names['larger'].shape == (8, 64, 64, 3)


def test_a_learner_is_built_without_gin():
    names = {}
    exec(BLOCKS[1], names)
    import jax

    from hyperinr import coordinates
    from hyperinr.types import Datapoint

    coords = coordinates.grid((32, 32))
    datapoint = Datapoint(coords, np.zeros((1024, 3), np.float32), np.ones(1024, np.float32), np.int32(0))
    state = jax.eval_shape(names['learner'].init, jax.random.key(0), datapoint)
    weights = jax.eval_shape(names['learner'].generate, state.average, datapoint)
    assert weights['layer_3']['w'].shape == (32, 3)


def test_the_document_of_own_data_shows_the_example_as_it_is():
    (shown,) = re.findall(
        r'```python\n(.*?)```', (ROOT / 'docs' / 'your_own_data.md').read_text(encoding='utf-8'), re.DOTALL
    )
    assert shown == (ROOT / 'examples' / 'own_arrays.py').read_text(encoding='utf-8')


def test_the_config_in_the_document_of_own_data_reads_sounds(tmp_path, monkeypatch):
    import soundfile

    from hyperinr.config import applied, load_config
    from hyperinr.library import compose

    (text,) = re.findall(
        r'```gin\n(.*?)```', (ROOT / 'docs' / 'your_own_data.md').read_text(encoding='utf-8'), re.DOTALL
    )
    (tmp_path / 'sounds.gin').write_text(text, encoding='utf-8')
    noise = np.random.default_rng(0).uniform(-0.5, 0.5, 20_000)
    for speaker in ('ann', 'bob', 'eve'):
        soundfile.write(tmp_path / f'3_{speaker}_7.wav', noise, 16_000)
    monkeypatch.setenv('DATA_PATH', str(tmp_path / 'cache'))
    config = load_config(str(tmp_path / 'sounds.gin'), [f"signal_folder.path='{tmp_path}'"])
    with applied(config):
        experiment = compose()
        dataset = experiment.dataset()
        experiment.build(dataset.spec)
    assert dataset.splits['train'][0].values.shape == (4000, 1)
    assert {source.origin(0) for source in dataset.splits.values()} == {'ann', 'bob', 'eve'}


def test_numpy_alone_evaluates_a_file(folder):
    check = 'import sys; assert not {"jax", "hyperinr"} & sys.modules.keys()'
    code = f'{BLOCKS[2]}\n{check}\nnp.save("image.npy", image)'
    subprocess.run([sys.executable, '-c', code], cwd=folder, check=True, capture_output=True, timeout=60)
    from hyperinr import coordinates, inrs
    from hyperinr.files import read_weights

    weights, about = read_weights(folder / 'weights' / 'photo.npz')
    inr = inrs.siren(channels=3, **{name: about[name] for name in ('width', 'depth', 'omega_0', 'hidden_omega_0')})
    expected = inr.apply(weights, coordinates.grid((256, 256))).reshape(256, 256, 3)
    np.testing.assert_allclose(np.load(folder / 'image.npy'), expected, atol=1e-4)


@pytest.mark.parametrize('path', sorted(set(re.findall(r'\]\(([\w./]+\.md)\)', README))))
def test_every_document_that_is_linked_exists(path):
    assert (ROOT / path).is_file()


@pytest.mark.parametrize('name', sorted(set(re.findall(r'experiment/\w+\.gin', README))))
def test_every_config_that_is_named_exists(name):
    assert (ROOT / 'gin_configs' / name).is_file()
