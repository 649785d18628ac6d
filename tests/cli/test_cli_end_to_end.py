"""Every experiment config trains as recorded; one run goes all the way from training to the user's own files."""

import json

import numpy as np
import pytest

import hyperinr
from hyperinr import cli
from hyperinr.config import load_config
from tests import golden_curves
from tests.exhaustive import thin
from tests.tiny_runs import DEFAULT, overrides, write_images


def run(*arguments):
    assert cli.main([*map(str, arguments), '--debug']) == 0


def params(bindings):
    return [word for binding in bindings for word in ('-p', binding)]


@pytest.mark.parametrize('name', thin(golden_curves.experiments(), lambda name: name == DEFAULT))
def test_every_experiment_trains_along_its_recorded_curve(name, tmp_path):
    """Rounding differs between machines, and Adam turns the sign of a rounded zero into a step: hence 1 %."""
    curves = golden_curves.train_tiny(name, tmp_path)
    assert name in golden_curves.recorded(), f'record it: python -m tests.golden_curves {name}'
    for key, values in golden_curves.recorded()[name].items():
        np.testing.assert_allclose(curves[key], values, rtol=1e-2, err_msg=key)
    assert hyperinr.load(tmp_path / 'run').metadata['step'] == golden_curves.NUM_STEPS


@pytest.mark.exhaustive
def test_the_stored_config_is_the_one_that_was_given(trained_run):
    given = load_config(DEFAULT, overrides(DEFAULT))
    assert (trained_run / 'config.gin').read_text() == given.text
    assert load_config(str(trained_run / 'config.gin')).text == given.text


def test_the_same_command_again_has_nothing_left_to_do(trained_run, capsys):
    before = (trained_run / 'metrics.jsonl').read_text()
    run('train', DEFAULT, '--run', trained_run, *params(overrides(DEFAULT)))
    assert 'finished' in capsys.readouterr().out
    assert (trained_run / 'metrics.jsonl').read_text() == before


PLANTED = ('jax_plugins/planted', 'flax', 'cv2', 'hyperinr', 'numpy', 'sitecustomize', 'planted')
STRANGE = 'from __gin__ import dynamic_registration\nimport planted\nplanted.x.y = 1\n'


def test_nothing_in_the_working_folder_runs(trained_run, tmp_path, run_python):
    """Also not as a config of hyperinr's own name, which the command looks for by itself."""
    for name in PLANTED:
        (tmp_path / name).mkdir(parents=True)
        (tmp_path / name / '__init__.py').write_text(f"open({str(tmp_path / 'ran')!r}, 'a').write({name!r})\n")
    for name in ('inr/siren.gin', 'device/default.gin', 'config.gin'):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(STRANGE)
    write_images(tmp_path / 'photos', number=1)
    code = (
        'import sys; from hyperinr import cli\n'
        "status = cli.main(['generate', '--run', sys.argv[1], 'photos/0.png', '--device', 'default'])\n"
        "from hyperinr import library; library.single_inr('siren', channels=3); sys.exit(status)\n"
    )
    start = 'import sys; sys.path[:] = [path for path in sys.path if path]\n'
    done = run_python(start + code, str(trained_run), cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert not (tmp_path / 'ran').exists()


def test_another_config_in_the_same_folder_is_refused_with_the_difference(trained_run, capsys):
    bindings = [*overrides(DEFAULT), 'siren.omega_0=20.0']
    assert cli.main(['train', DEFAULT, '--run', str(trained_run), *params(bindings)]) == 2
    error = capsys.readouterr().err
    assert len(error.strip().splitlines()) == 1
    assert 'inrs.siren.omega_0 was 30.0, is now 20.0' in error


def test_evaluate_writes_the_report_and_pictures(trained_run, tmp_path, capsys):
    pytest.importorskip('matplotlib')
    run('evaluate', '--run', trained_run, '--json', tmp_path / 'evaluation.json')
    report = json.loads((tmp_path / 'evaluation.json').read_text())
    assert report['num_datapoints'] == 2
    assert {'generated', 'random', 'constant'} <= report['curves'].keys()
    for curve in report['curves'].values():
        assert curve['steps'] == [0, 1, 3]
        assert {'psnr_db', 'ssim', 'seconds'} <= curve.keys()
    out = capsys.readouterr().out
    pictures = list(tmp_path.rglob('*.png'))
    assert pictures
    assert all(str(picture) in out for picture in pictures)


@pytest.mark.exhaustive
def test_evaluate_takes_overrides(trained_run, tmp_path):
    run('evaluate', '--run', trained_run, '--json', tmp_path / 'one.json', '-p', 'evaluate.num_datapoints=1')
    assert json.loads((tmp_path / 'one.json').read_text())['num_datapoints'] == 1


def test_generate_and_finetune_write_weights_for_own_files(trained_run, tmp_path, capsys):
    (image,) = write_images(tmp_path, number=1)
    run('generate', '--run', trained_run, image, '--out', tmp_path / 'generated', '--tile')
    tiles = np.load(tmp_path / 'generated' / '0.npz')
    assert tiles['layer_0.w'].shape == (4, 2, 8)
    run(
        'finetune',
        '--run',
        trained_run,
        image,
        '--out',
        tmp_path / 'tuned',
        '--num-steps',
        4,
        '--format',
        'safetensors',
    )
    assert (tmp_path / 'tuned' / '0.safetensors').is_file()
    assert 'dB' in capsys.readouterr().out


def test_a_loaded_model_composes_with_jit(trained_run):
    import jax

    from hyperinr import coordinates
    from hyperinr.types import Datapoint

    model = hyperinr.load(trained_run)
    coords = np.stack([coordinates.grid((16, 16))] * 2)
    values = np.random.default_rng(0).uniform(size=(2, 256, 3)).astype(np.float32)
    datapoints = Datapoint(coords, values, np.ones((2, 256), np.float32), np.arange(2, dtype=np.int32))
    weights = model.generate(datapoints)
    assert weights['layer_0']['w'].shape == (2, 2, 8)
    again = jax.jit(model.generate)(datapoints)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5), weights, again)
