"""Training from Python: the run is one of `hyperinr train`, and its model is loaded and saved as any other."""

from functools import partial

import jax
import numpy as np
import pytest

import hyperinr
from hyperinr import datasets, encoders, hypernetworks, inrs, library, meta_learning
from hyperinr.config import load_text
from hyperinr.errors import InputError

SIGNALS = np.sin(np.linspace(0, 9, 6 * 16)).reshape(6, 16, 1)
SMALL = {
    'inr': partial(inrs.siren, width=8, depth=1),
    'encoder': partial(encoders.set_encoder, embedding_dims=8, width=8, depth=1),
    'hypernetwork': partial(hypernetworks.weight_heads, trunk=(8,), rates=hypernetworks.learned_rates),
    'learner': partial(meta_learning.meta_learner, num_steps=1),
    'num_steps': 2,
    'batch_size': 2,
    'evaluators': (),
    'loggers': (),
}


def own_siren(*, channels):
    return inrs.siren(channels=channels, width=8, depth=1)


def same(one, other):
    jax.tree.map(np.testing.assert_array_equal, one, other)
    return True


@pytest.fixture(name='described', scope='module')
def _described(tmp_path_factory):
    """A run whose parts and data the config names, and its model."""
    folder = tmp_path_factory.mktemp('described')
    np.save(folder / 'train.npy', SIGNALS)
    dataset = partial(datasets.from_arrays, train=folder / 'train.npy', data_range=(-1, 1))
    return folder / 'run', hyperinr.train(dataset, folder / 'run', **SMALL), dataset


@pytest.fixture(name='unnamed', scope='module')
def _unnamed(tmp_path_factory):
    """A run of data in memory, with an INR that no config can name, and its model."""
    run, dataset = tmp_path_factory.mktemp('unnamed') / 'run', datasets.from_arrays(train=SIGNALS, data_range=(-1, 1))
    return run, hyperinr.train(dataset, run, **(SMALL | {'inr': lambda channels: own_siren(channels=channels)}))


def test_the_config_of_the_run_says_what_was_given(described):
    run, model, _ = described
    text = (run / 'config.gin').read_text()
    resolved = load_text(text, trusted=False)
    assert resolved.text == text == model.config_text
    assert resolved.value('datasets.from_arrays.train') == str(run.parent / 'train.npy')
    assert (resolved.value('inrs.siren.width'), resolved.value('inrs.siren.omega_0')) == (8, 30.0)
    assert resolved.value('meta_learning.meta_learner.num_steps') == model.learner.num_steps == 1
    assert model.spec == datasets.from_arrays(train=SIGNALS, data_range=(-1, 1)).spec


def test_the_same_call_resumes_and_other_data_or_parts_are_refused(described):
    run, model, dataset = described
    assert same(hyperinr.train(dataset, run, **SMALL).params, model.params)
    with pytest.raises(InputError, match='siren.width was 8, is now 9'):
        hyperinr.train(dataset, run, **(SMALL | {'inr': partial(inrs.siren, width=9, depth=1)}))
    np.save(run.parent / 'train.npy', SIGNALS[::-1])
    with pytest.raises(InputError, match='files of the dataset were .* changed'):
        hyperinr.train(dataset, run, **SMALL)
    np.save(run.parent / 'train.npy', SIGNALS)


def test_a_run_of_parts_with_names_is_any_other_run(described):
    run, model, _ = described
    assert same(hyperinr.load(run).params, model.params)
    with pytest.raises(InputError, match=r"inrs.siren has no parameter 'wdth'; did you mean 'width'"):
        hyperinr.train(datasets.from_arrays(train=SIGNALS), run.parent / 'no', inr=partial(inrs.siren, wdth=9))
    assert not (run.parent / 'no').exists()


def test_a_part_without_a_name_is_given_again(unnamed, run):
    folder, model = unnamed
    assert same(hyperinr.load(folder, inr=own_siren).params, model.params)
    with pytest.raises(InputError, match=r'the inr of this model, .*lambda.*, was made in Python.*load\(folder, inr='):
        hyperinr.load(folder)
    with pytest.raises(InputError, match='was written for another model'):
        hyperinr.load(folder, inr=partial(inrs.siren, width=9, depth=1))
    status, _, error = run('evaluate', '--run', folder)
    assert (status, error.count('\n')) == (2, 1)
    assert 'was made in Python' in error


def test_data_in_memory_are_measured_in_python(unnamed):
    folder, _ = unnamed
    with library.config.applied(library.run_config(folder)):
        experiment = library.compose()
    with pytest.raises(InputError, match=r'given in Python.*evaluate\(model, dataset\)'):
        experiment.dataset()


@pytest.mark.parametrize('dtype', ['float32', 'float16'])
def test_a_saved_model_is_the_model(unnamed, tmp_path, dtype):
    _, model = unnamed
    model.save(tmp_path / 'saved', dtype=dtype)
    loaded = hyperinr.load(tmp_path / 'saved', inr=own_siren)
    assert same(
        loaded.params, jax.tree.map(lambda leaf: np.asarray(leaf).astype(dtype).astype('float32'), model.params)
    )
    assert (loaded.spec, loaded.metadata, loaded.config_text) == (model.spec, model.metadata, model.config_text)
    assert {leaf.dtype.name for leaf in jax.tree.leaves(loaded.params)} == {'float32'}


def test_the_encoder_suits_the_grid():
    from hyperinr.without_gin import _suitable_encoder

    on_grid = datasets.from_arrays(train=np.random.default_rng(0).uniform(size=(3, 4, 4, 1))).spec
    assert _suitable_encoder(on_grid) is encoders.convolutional
    assert _suitable_encoder(on_grid._replace(grid_shape=None)) is encoders.set_encoder
