"""A run directory as a model, from any program."""

import contextlib
import shutil

import jax
import numpy as np
import pytest

import hyperinr
from hyperinr import config, library
from hyperinr.config.reader import load_text
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


@pytest.fixture(name='copied')
def _copied(run_dir, tmp_path):
    return shutil.copytree(run_dir, tmp_path / 'copied')


DOCTORED = {
    'import': "import subprocess\nX = @subprocess.getoutput()\nsubprocess.getoutput.cmd = 'touch {touched}'\n{text}\n"
    'loop.train.machine = %X\n',
    'macro': '{text}\nfrom hyperinr.runtime import files\nX = @files.os.system()\nfiles.os.system.command = '
    "'touch {touched}'\nloop.train.machine = %X\n",
    'scope': "{text}\nfrom hyperinr.runtime import files\nevil/files.write_json.path = '{touched}'\n"
    'evil/files.write_json.content = 1\nexperiment.experiment.inr = @evil/files.write_json\n',
    'nested reference': '{text}\nfrom hyperinr import datasets\n'
    "datasets.prepare.name = 'mnist'\nloop.train.evaluators = [({{'a': [@datasets.prepare()]}},)]\n",
    'include': "{text}\ninclude '{other}'\n",
    'main': '{text}\nfrom hyperinr import __main__\n',
    'called dataset': "{text}\nfrom hyperinr import datasets\ndatasets.image_folder.data_dir = '{touched}'\n"
    'experiment.experiment.dataset = @datasets.image_folder()\n',
    'entry point': "{text}\nloop.train.run_dir = '{touched}'\nexperiment.experiment.dataset = @loop.train\n",
}


@pytest.mark.parametrize('kind', DOCTORED)
def test_a_config_of_a_stranger_names_parts_of_hyperinr_alone(copied, tmp_path, kind):
    touched, other = tmp_path / 'touched', tmp_path / 'other.gin'
    other.write_text(f"import subprocess\nsubprocess.getoutput.cmd = 'touch {touched}'\n")
    path = copied / 'config.gin'
    text = DOCTORED[kind].format(text=path.read_text(), touched=touched, other=other)
    path.write_text(text if kind == 'import' else 'from hyperinr.training import loop\n' + text)
    with pytest.raises(
        InputError, match=r'config\.gin:\d+: this config (imports|names|includes) .* pass --trust'
    ) as error:
        library.run_config(copied)
    assert '\n' not in str(error.value)
    with pytest.raises(InputError):
        hyperinr.load(copied)
    assert not touched.exists()


def test_a_trusted_config_names_what_it_likes(copied):
    path = copied / 'config.gin'
    path.write_text(path.read_text() + 'import textwrap\nloop.train.loggers = [@textwrap.dedent()]\n')
    with pytest.raises(InputError, match='textwrap'):
        library.run_config(copied)
    assert '@textwrap.dedent()' in library.run_config(copied, trust=True).text


def test_the_configs_of_hyperinr_name_parts_alone():
    texts = []
    for name in config.available():
        with contextlib.suppress(InputError):  # Some must be set first, or are halves of a config.
            texts.append(config.load_config(name).text)
    assert len(texts) > 50
    for text in texts:
        load_text(text, trusted=False)


CHANGES = {
    'config.gin': [
        ('\n\n', '\nfrom hyperinr import inrs as loggers\n\nloggers.siren.omega_0 = 12.0\n'),
        ('siren.omega_0 = 30.0', 'siren.omega_0 = 10.0'),
        ('NUM_STEPS = 2', 'NUM_STEPS = 3'),
    ],
    'spec.json': [('"data_range": [\n    0.0', '"data_range": [\n    -1.0')],
}


@pytest.mark.parametrize(('name', 'change'), [(name, each) for name, changes in CHANGES.items() for each in changes])
def test_the_files_of_a_run_are_those_of_its_checkpoint(copied, name, change):
    path = copied / name
    text = path.read_text()
    assert change[0] in text
    path.write_text(text.replace(*change))
    with pytest.raises(InputError, match=r'does not belong to the config\.gin and spec\.json of its run'):
        hyperinr.load(copied)


def test_a_config_cut_in_half_is_no_config_of_the_run(copied):
    path = copied / 'config.gin'
    lines = path.read_text().splitlines(keepends=True)
    for share in (0.1, 0.5, 0.9):
        path.write_text(''.join(lines[: round(share * len(lines))]))
        with pytest.raises(InputError):
            hyperinr.load(copied)


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
