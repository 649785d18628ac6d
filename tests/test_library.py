"""A run directory as a model, from any program."""

import shutil

import jax
import numpy as np
import pytest

import hyperinr
from hyperinr import config, library
from hyperinr.errors import InputError

TINY = (
    'NUM_STEPS = 2',
    'BATCH_SIZE = 2',
    'siren.width = 8',
    'siren.depth = 2',
    'weight_heads.trunk = (8,)',
    'set_encoder.embedding_dims = 8',
)


@pytest.fixture(name='run_dir', scope='module')
def _run_dir(tmp_path_factory):
    from hyperinr.training import loop

    run_dir = tmp_path_factory.mktemp('run') / 'tiny'
    resolved = config.load_config('experiment/continuous_function_siren.gin', TINY)
    with config.applied(resolved):
        config.configured(loop.train)(library.compose(), run_dir, config_text=resolved.text)
    return run_dir


def test_a_loaded_model_generates_weights_of_its_inr(run_dir):
    model = hyperinr.load(run_dir)
    assert model.metadata['step'] == 2
    assert model.inr.metadata['width'] == 8
    coords = np.random.default_rng(0).uniform(-1, 1, (2, model.spec.num_points, model.spec.coord_dims))
    middle = np.full((2, model.spec.num_points, model.spec.channels), np.mean(model.spec.data_range))
    datapoints = hyperinr.types.Datapoint(
        coords.astype(np.float32), middle.astype(np.float32), np.ones(coords.shape[:2], np.float32), np.arange(2)
    )
    weights = model.generate(datapoints)
    like = jax.eval_shape(lambda: model.inr.init(jax.random.key(0), model.spec.coord_dims))
    assert jax.tree.map(lambda leaf: leaf.shape[1:], weights) == jax.tree.map(lambda leaf: leaf.shape, like)


def test_loading_leaves_a_users_gin_alone(run_dir):
    import gin

    gin.clear_config()
    gin.parse_config("GREETING = 'hello'")
    before = gin.config_str()
    hyperinr.load(run_dir)
    assert gin.config_str() == before
    assert 'hello' in before
    gin.clear_config()


def test_the_best_checkpoint_is_loaded_on_request(run_dir, tmp_path):
    shutil.copytree(run_dir, tmp_path / 'run')
    with pytest.raises(InputError, match='keeps no best checkpoint'):
        hyperinr.load(tmp_path / 'run', best=True)
    (tmp_path / 'run' / 'checkpoints').rename(tmp_path / 'run' / 'best')
    assert hyperinr.load(tmp_path / 'run', best=True).metadata['step'] == 2


@pytest.mark.parametrize('missing', ['config.gin', 'spec.json'])
def test_a_folder_that_is_no_run_is_named(run_dir, tmp_path, missing):
    for name in {'config.gin', 'spec.json'} - {missing}:
        (tmp_path / name).write_bytes((run_dir / name).read_bytes())
    with pytest.raises(InputError, match=f'holds no run.*{missing}'):
        hyperinr.load(tmp_path)


def test_a_run_without_a_checkpoint_is_named(run_dir, tmp_path):
    for name in ('config.gin', 'spec.json'):
        (tmp_path / name).write_bytes((run_dir / name).read_bytes())
    with pytest.raises(InputError, match='no checkpoint yet'):
        hyperinr.load(tmp_path)
