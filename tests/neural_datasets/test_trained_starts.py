"""Starts of a neural dataset that a trained run gives, most of them by the command line."""

import json
from types import SimpleNamespace

import numpy as np
import pytest

import hyperinr
from hyperinr import cli, neural_datasets
from hyperinr.neural_datasets import starts
from tests.exhaustive import thin
from tests.neural_datasets.tiny_store import CONFIG, SIZES, tiny_inr, write_config
from tests.tiny import make_spec

TRAIN = """
NUM_STEPS = 3
BATCH_SIZE = 2
SEED = 0
include 'dataset/continuous_function.gin'
include 'inr/siren.gin'
include 'encoder/convolutional.gin'
include 'hypernetwork/multiplicative.gin'
include 'learner/two_steps.gin'
include 'run/default.gin'
"""
ENCODER = (
    'convolutional.embedding_dims=8',
    'convolutional.base_channels=4',
    'convolutional.num_stages=1',
    'weight_heads.trunk=(8,)',
    'held_out_psnr.num_datapoints=2',
    'meta_learner.num_steps=1',
    'meta_learner.first_order=True',
)
STORE = [word for binding in (*SIZES, 'NUM_STEPS=2') for word in ('-p', binding)]


@pytest.fixture(scope='module')
def run_dir(tmp_path_factory):
    folder = tmp_path_factory.mktemp('runs')
    config = write_config(folder, TRAIN)
    sizes = [binding for binding in SIZES if not binding.startswith('neural_dataset')]
    params = [word for binding in (*sizes, *ENCODER) for word in ('-p', binding)]
    assert cli.main(['train', str(config), '--run', str(folder / 'run'), *params, '--debug']) == 0
    return folder / 'run'


@pytest.mark.exhaustive
@pytest.mark.parametrize('kind', thin(['generated', 'meta_learned'], lambda kind: kind == 'generated'))
def test_a_store_begins_where_a_run_ended(run_dir, tmp_path, kind):
    """Without a step's worth of rate the INRs are the starts themselves; with one they are better fitted."""
    text = CONFIG.replace('fit_start/random', f'fit_start/{kind}')
    text = text.replace('fit_optimizer/adam', 'fit_optimizer/amsgrad')
    config = write_config(tmp_path, f'RUN = {str(run_dir)!r}\nSTART_NOISE = 0.0\n{text}')
    command = ['fit', str(config), *STORE, '-p', 'SEEDS=(4,)']
    still = ['--store', str(tmp_path / 'still'), '-p', 'amsgrad.learning_rate=1e-12']
    assert cli.main([*command, *still, '--debug']) == 0
    store, model = neural_datasets.open_store(tmp_path / 'still'), hyperinr.load(run_dir)
    from hyperinr.cli.stores import store_config
    from hyperinr.library import compose_signals

    batch = compose_signals(store_config(store.folder))[2].batch(np.arange(11))
    expected = model.generate(batch) if kind == 'generated' else model.learner.hypernetwork.base(model.params)
    for layer, tensors in store.pytrees().items():
        for name, leaf in tensors.items():
            wanted = np.broadcast_to(expected[layer][name], leaf.shape)
            np.testing.assert_allclose(leaf, wanted, atol=1e-5)
    content = json.loads((tmp_path / 'still' / 'dataset.json').read_text())['start']
    assert (content['kind'], content['step'], content['metric_power']) == (kind, 3, 0.5)
    assert store.where(start=kind).size == 11
    assert cli.main([*command, '--store', str(tmp_path / 'moved')]) == 0
    moved = neural_datasets.open_store(tmp_path / 'moved')
    assert moved.column('mse').mean() < store.column('mse').mean()
    assert cli.main(['verify', '--store', str(tmp_path / 'moved')]) == 0


@pytest.mark.exhaustive
def test_two_seeds_need_a_perturbation(run_dir, tmp_path, capfd):
    text = CONFIG.replace('fit_start/random', 'fit_start/meta_learned')
    config = write_config(tmp_path, f'RUN = {str(run_dir)!r}\nSTART_NOISE = 0.0\n{text}')
    assert cli.main(['fit', str(config), '--store', str(tmp_path / 'store'), *STORE]) == 2
    assert 'set starts.meta_learned.noise > 0' in capfd.readouterr().err
    assert not (tmp_path / 'store').exists()


@pytest.mark.parametrize(('of_run', 'of_data'), [(None, 'image'), ('image', 'image'), (None, None)])
@pytest.mark.parametrize('same', [True, False])
def test_the_row_of_a_signal_counts_for_a_model_of_the_same_data(of_run, of_data, same):
    """A run of an older version states no kind."""
    spec, inr, rows = make_spec()._replace(kind=of_data), tiny_inr(3, 6, 3.0), []
    found = SimpleNamespace(
        inr=inr,
        params={},
        metadata={},
        spec=spec._replace(kind=of_run, name=spec.name if same else 'others'),
        generate=lambda batch: rows.append(batch.row),
    )
    begin = starts.make_starts(starts.generated(run='run'), inr, spec, num_seeds=1, load_model=lambda run: found)
    begin.weights(np.zeros(2, int), spec.zeros(2)._replace(row=np.arange(2)))
    assert (rows[0] is not None) == same
