"""Training from Python: the run is one of `hyperinr train`, and its model is loaded and saved as any other."""

import dataclasses
from functools import partial

import jax
import numpy as np
import optax
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
    np.save(run.parent / 'elsewhere.npy', SIGNALS)
    moved = partial(datasets.from_arrays, train=run.parent / 'elsewhere.npy', data_range=(-1, 1))
    assert same(hyperinr.train(moved, run, **SMALL).params, model.params)


def test_a_run_of_parts_with_names_is_any_other_run(described):
    run, model, _ = described
    assert same(hyperinr.load(run).params, model.params)
    with pytest.raises(InputError, match=r"inrs.siren has no parameter 'wdth'; did you mean 'width'"):
        hyperinr.train(datasets.from_arrays(train=SIGNALS), run.parent / 'no', inr=partial(inrs.siren, wdth=9))
    assert not (run.parent / 'no').exists()


@pytest.mark.parametrize('dtype', ['float32', 'float16'])
def test_a_saved_model_is_the_model(described, tmp_path, dtype):
    _, model, _ = described
    model.save(tmp_path / 'saved', dtype=dtype)
    loaded = hyperinr.load(tmp_path / 'saved')
    rounded = jax.tree.map(lambda leaf: np.asarray(leaf).astype(dtype).astype('float32'), model.params)
    assert same(loaded.params, rounded)
    assert (loaded.spec, loaded.metadata, loaded.config_text) == (model.spec, model.metadata, model.config_text)
    assert {leaf.dtype.name for leaf in jax.tree.leaves(loaded.params)} == {'float32'}


def test_a_model_is_not_saved_without_its_parts(described, tmp_path):
    _, model, _ = described
    with pytest.raises(InputError, match='put together by hand'):
        dataclasses.replace(model, config_text=None).save(tmp_path / 'saved')
    assert not (tmp_path / 'saved').exists()


def test_a_part_without_a_name_is_given_again(described, tmp_path):
    _, model, _ = described
    text = model.config_text.replace('@inrs.siren', '@in_python.inr')
    text = f"from hyperinr.training import in_python\nin_python.inr.origin = 'mine.<lambda>'\n{text}"
    dataclasses.replace(model, config_text=text).save(tmp_path / 'saved')
    assert same(hyperinr.load(tmp_path / 'saved', inr=own_siren).params, model.params)
    with pytest.raises(InputError, match=r'the inr of this model, mine.<lambda>, was made in Python.*folder, inr='):
        hyperinr.load(tmp_path / 'saved')
    with pytest.raises(InputError, match='holds parameters of another model'):
        hyperinr.load(tmp_path / 'saved', inr=partial(inrs.siren, width=9, depth=1))


@pytest.mark.exhaustive
def test_a_run_of_a_part_without_a_name_and_of_data_in_memory(tmp_path, run):
    folder, dataset = tmp_path / 'run', datasets.from_arrays(train=SIGNALS, data_range=(-1, 1))
    options = SMALL | {'inr': lambda channels: own_siren(channels=channels)}
    model = hyperinr.train(dataset, folder, **options)
    assert same(hyperinr.train(dataset, folder, **options).params, model.params)
    assert same(hyperinr.load(folder, inr=own_siren).params, model.params)
    status, _, error = run('evaluate', '--run', folder)
    assert (status, error.count('\n')) == (2, 1)
    assert 'was made in Python' in error
    with library.config.applied(library.run_config(folder)):
        experiment = library.compose()
    with pytest.raises(InputError, match=r'given in Python.*evaluate\(model, dataset\)'):
        experiment.dataset()


@pytest.mark.parametrize(
    ('parts', 'said'),
    [
        ({'optimizer': partial(optax.adam, 1e-3)}, r'calls optimizer\(num_steps=...\): .*unexpected .*num_steps'),
        ({'inr': inrs.siren(channels=1)}, 'train: inr must be a function'),
        ({'encoder': lambda spec, more: more}, r'calls encoder\(spec=...\): missing a required argument: .more'),
        ({'num_steps': 0}, 'num_steps is 0'),
        ({'log_every': 0}, 'log_every is 0'),
    ],
)
def test_wrong_parts_are_named_before_anything_is_written(parts, said, tmp_path):
    with pytest.raises(InputError, match=said) as error:
        hyperinr.train(datasets.from_arrays(train=SIGNALS), tmp_path / 'run', **(SMALL | parts))
    assert '\n' not in str(error.value)
    assert not (tmp_path / 'run').exists()


def test_the_encoder_suits_the_grid():
    from hyperinr.without_gin import _suitable_encoder

    on_grid = datasets.from_arrays(train=np.random.default_rng(0).uniform(size=(3, 4, 4, 1))).spec
    assert _suitable_encoder(on_grid) is encoders.convolutional
    assert _suitable_encoder(on_grid._replace(grid_shape=None)) is encoders.set_encoder
