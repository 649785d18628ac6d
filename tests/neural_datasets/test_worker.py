"""Fitting: what is missing is made, once, and comes out the same whoever makes it."""

import dataclasses
import functools
import os
import threading

import jax
import numpy as np
import pytest
from rich.console import Console

from hyperinr import fitting, neural_datasets
from hyperinr import weights as weights_lib
from hyperinr.errors import InputError
from hyperinr.neural_datasets import starts, worker
from hyperinr.neural_datasets.description import read_description
from hyperinr.neural_datasets.fit_job import fit_rows
from hyperinr.neural_datasets.fit_progress import FitProgress, count_done
from hyperinr.neural_datasets.shard_locks import fitted_so_far, shard_lock
from hyperinr.neural_datasets.shards import list_shards, shard_path
from hyperinr.runtime import progress as progress_lib
from tests.neural_datasets.tiny_store import OPTIMIZER, default_job, fit_tiny, tiny_job
from tests.tiny import make_model, make_spec


def content(folder):
    return {path.name: path.read_bytes() for path in sorted(folder.glob('weights-*'))}


@pytest.fixture(scope='module')
def complete(tmp_path_factory):
    folder = tmp_path_factory.mktemp('stores') / 'complete'
    fit_tiny(folder)
    return folder


def test_ranges_are_widened_to_shards_and_add_up_to_the_same_bytes(complete, tmp_path):
    job, fitted = fit_tiny(tmp_path, start=5, end=9)
    assert list_shards(tmp_path) == [(4, 8), (8, 12)]
    assert fitted == 8
    _, fitted = fit_tiny(tmp_path, job)
    assert fitted == 22 - 8
    assert content(tmp_path) == content(complete)
    _, fitted = fit_tiny(tmp_path, job)
    assert fitted == 0


def test_workers_that_run_at_once_share_the_work(complete, tmp_path):
    job = default_job()
    worker.open_for_fitting(tmp_path, job.description)
    counts = []

    def run(number):
        counts.append(worker.fit_range(tmp_path, job, worker=number, num_workers=3))

    threads = [threading.Thread(target=run, args=(number,)) for number in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sum(counts) == 22
    assert content(tmp_path) == content(complete)


def test_a_shard_that_another_holds_is_waited_for_and_taken_over_when_released(tmp_path):
    job = default_job()
    worker.open_for_fitting(tmp_path, job.description)
    with shard_lock(tmp_path, 0, 4) as mine:
        assert mine.exclusive
        thread = threading.Thread(target=worker.fit_range, args=(tmp_path, job))
        thread.start()
        thread.join(timeout=1)
        assert thread.is_alive()
        assert (0, 4) not in list_shards(tmp_path)
    thread.join(timeout=60)
    assert not thread.is_alive()
    assert (0, 4) in list_shards(tmp_path)
    assert fitted_so_far(tmp_path, list_shards(tmp_path)) == 0


def test_without_locks_every_worker_may_go_on(tmp_path, monkeypatch):
    import errno
    import fcntl

    def no_locks(*arguments):
        raise OSError(errno.ENOLCK, 'No locks available')

    monkeypatch.setattr(fcntl, 'flock', no_locks)
    with shard_lock(tmp_path, 0, 4) as first, shard_lock(tmp_path, 0, 4) as second:
        assert (first.exclusive, second.exclusive) == (False, False)


def test_a_lock_that_links_to_another_file_overwrites_nothing(tmp_path):
    mine = tmp_path / 'mine'
    mine.write_text('mine')
    for store, link in (('a', '.claims/0-4'), ('b', '.claims'), ('c', '.claims/0-4')):
        path = tmp_path / store / link
        path.parent.mkdir(parents=True)
        if store == 'c':
            path.hardlink_to(mine)
        else:
            path.symlink_to(mine if store == 'a' else tmp_path)
        with pytest.raises(InputError, match='is a link to another file or folder'), shard_lock(tmp_path / store, 0, 4):
            pass
    assert sorted(path.name for path in tmp_path.iterdir()) == ['a', 'b', 'c', 'mine']
    assert mine.read_text() == 'mine'


@pytest.mark.parametrize('text', ['[]', '{}', '{"done": "4"}', '{"done": 9}', '{"done": 1e400}', '[' * 10**5, None])
def test_progress_of_a_strangers_lock_is_none(tmp_path, text):
    (tmp_path / '.claims').mkdir()
    if text is None:
        os.mkfifo(tmp_path / '.claims' / '0-4')
    else:
        (tmp_path / '.claims' / '0-4').write_text(text)
    assert fitted_so_far(tmp_path, [(0, 4)]) == 0


def test_leftovers_of_killed_writers_are_removed_and_never_read(complete, tmp_path):
    job = default_job()
    worker.open_for_fitting(tmp_path, job.description)
    leftover = tmp_path / '.weights-0-4.123.partial.safetensors'
    leftover.write_bytes(b'half')
    fit_tiny(tmp_path, job)
    assert not leftover.exists()
    assert content(tmp_path) == content(complete)


def test_progress_counts_shards_and_work_in_progress(tmp_path):
    job, _ = fit_tiny(tmp_path, end=4)
    with shard_lock(tmp_path, 4, 8) as lock:
        lock.report(3)
        assert fitted_so_far(tmp_path, [(4, 8), (8, 12)]) == 3
        assert count_done(tmp_path, job.description, None, None) == 7
        assert count_done(tmp_path, job.description, 5, 6) == 3
    assert count_done(tmp_path, job.description, None, None) == 4


def test_a_terminal_shows_what_all_workers_have_done(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(progress_lib, 'Console', functools.partial(Console, force_terminal=True, width=120))
    job, _ = fit_tiny(tmp_path, end=4)
    with FitProgress(tmp_path, job.description, None, None) as progress:
        assert '4 of 22 INRs are there already' in capsys.readouterr().out
        fit_tiny(tmp_path, job, end=8)
        progress.update()
    assert '8/22' in capsys.readouterr().out


def test_the_chunk_size_does_not_matter_on_a_cpu(complete, tmp_path):
    fit_tiny(tmp_path, tiny_job(num_parallel=3))
    ours, theirs = (neural_datasets.open_store(folder).weights() for folder in (tmp_path, complete))
    np.testing.assert_allclose(ours, theirs, rtol=1e-5, atol=1e-6)


def test_steps_change_the_weights_as_plain_adam_does(tmp_path):
    """Oracle: Adam written out in float64 NumPy, with JAX's gradient."""
    job, _ = fit_tiny(tmp_path, tiny_job(seeds=(3,), num_steps=3))
    store = neural_datasets.open_store(tmp_path)
    batch = job.signals.batch([2])
    spec = store.description.weights
    flat = np.asarray(weights_lib.flatten(job.starts(np.array([3]), batch), spec)[0], np.float64)

    def loss(vector):
        predicted = job.inr.apply(weights_lib.unflatten(vector, spec), batch.coords[0])
        return ((predicted - batch.values[0]) ** 2).mean()

    first, second = np.zeros_like(flat), np.zeros_like(flat)
    slope = jax.jit(jax.grad(loss))
    for step in range(1, 4):
        gradient = np.asarray(slope(flat.astype(np.float32)), np.float64)
        first, second = 0.9 * first + 0.1 * gradient, 0.999 * second + 0.001 * gradient**2
        flat -= 1e-2 * (first / (1 - 0.9**step)) / (np.sqrt(second / (1 - 0.999**step)) + 1e-8)
    np.testing.assert_allclose(store.weights([2])[0], flat, rtol=1e-3, atol=1e-5)


def test_some_points_in_each_step_are_drawn_by_the_signal_alone(complete, tmp_path):
    """The same bytes in other company; other weights than with all points."""
    options = {'subsampling': fitting.uniform(num_points=8)}
    fit_tiny(tmp_path / 'a', tiny_job(**options))
    fit_tiny(tmp_path / 'b', tiny_job(num_parallel=1, **options), start=4, end=8)
    stores = [neural_datasets.open_store(tmp_path / name) for name in 'ab']
    np.testing.assert_allclose(stores[0].weights(slice(4, 8)), stores[1].weights(), rtol=1e-5, atol=1e-6)
    difference = stores[0].weights() - neural_datasets.open_store(complete).weights()
    assert np.abs(difference).max(axis=1).min() > 1e-4


def test_a_target_stops_each_inr_at_its_own_first_step_that_reaches_it(tmp_path):
    job = tiny_job(seeds=(3,), num_steps=60)
    batch = job.signals.batch(np.arange(4))
    start = job.starts(np.full(4, 3), batch)
    fitted = fitting.fit(job.inr, start, batch, optimizer=OPTIMIZER, num_steps=12)
    curves = -10 * np.log10(np.asarray(fitted.mse).T)
    target = float(np.median(curves[-1]))
    found = fit_rows(tiny_job(seeds=(3,), num_steps=12, target_psnr_db=target), np.arange(4))
    for row in range(4):
        reached = np.flatnonzero(curves[:, row] >= target)
        assert found['steps'][row] == (reached[0] if len(reached) else 12)
        assert found['status'][row] == (0 if len(reached) else 2)
    assert set(found['status'].tolist()) == {0, 2}


def test_an_inr_that_diverges_is_marked_and_harms_no_other(tmp_path):
    import optax

    job = tiny_job(seeds=(3,), optimizer=optax.sgd(3e38))
    fit_tiny(tmp_path, job)
    store = neural_datasets.open_store(tmp_path)
    assert len(store.where(status='diverged')) == len(store)
    from hyperinr.neural_datasets import verify

    assert verify(tmp_path).problems == []


def test_a_fit_that_gets_worse_keeps_its_best_state_with_its_own_columns(tmp_path, capsys):
    import optax

    from hyperinr.neural_datasets.fit_progress import print_summary
    from hyperinr.neural_datasets.measurement import reevaluate
    from hyperinr.neural_datasets.verification import verify

    job, _ = fit_tiny(tmp_path, tiny_job(seeds=(3,), num_steps=12, optimizer=optax.adam(0.3)))
    store, batch = neural_datasets.open_store(tmp_path), job.signals.batch(np.arange(11))
    mse = fitting.fit(job.inr, job.starts(np.full(11, 3), batch), batch, optimizer=job.optimizer, num_steps=12).mse
    np.testing.assert_array_equal(store.column('steps'), np.argmin(mse, axis=1))
    np.testing.assert_allclose(store.column('mse'), np.min(mse, axis=1), rtol=1e-4)
    assert verify(tmp_path).problems == reevaluate(tmp_path, job.signals.batch) == []
    worse = int((np.argmin(mse, axis=1) < 12).sum())
    assert worse > 0
    print_summary(tmp_path, 1.0)
    line = next(line for line in capsys.readouterr().out.splitlines() if 'best state kept' in line)
    assert str(worse) in line


def test_starts_are_what_their_names_say():
    batch = default_job().signals.batch([0, 1])
    random, shared = tiny_job(start=starts.random()), tiny_job(start=starts.shared())
    first = lambda job, seeds: np.asarray(job.starts(np.asarray(seeds), batch)['layer_0']['w'])
    assert not np.array_equal(*first(random, [3, 3]))
    np.testing.assert_array_equal(*first(shared, [3, 3]))
    assert not np.array_equal(*first(shared, [3, 5]))
    alone = jax.tree.map(lambda leaf: leaf[1:], batch)
    np.testing.assert_array_equal(random.starts(np.array([3]), alone)['layer_0']['w'][0], first(random, [3, 3])[1])


def test_starts_of_a_model_are_the_models():
    model = make_model(constant=True, spec=make_spec(grid_shape=(5, 7)))
    from hyperinr.datasets import continuous_function

    dataset = continuous_function(resolution=(5, 7), num_train=6, num_validation=3, num_test=2)
    options = {'dataset': dataset, 'width': 8, 'load_model': lambda run: model}
    generated = tiny_job(seeds=(0,), start=starts.generated(run='runs/a'), **options)
    batch = generated.signals.batch([0, 1])
    jax.tree.map(np.testing.assert_array_equal, generated.starts(np.zeros(2), batch), model.generate(batch))
    learned = tiny_job(seeds=(0,), start=starts.meta_learned(run='runs/a'), **options)
    base = model.learner.hypernetwork.base(model.params)
    for row in range(2):
        tree = jax.tree.map(lambda leaf, row=row: leaf[row], learned.starts(np.zeros(2), batch))
        jax.tree.map(np.testing.assert_array_equal, tree, base)
    assert learned.description.start['parameters_sha256'] == generated.description.start['parameters_sha256']
    with pytest.raises(InputError, match='same for all 2 seeds'):
        tiny_job(seeds=(0, 1), start=starts.meta_learned(run='runs/a'), **options)
    for rule, of_signal in ((starts.meta_learned, False), (starts.generated, True)):
        noisy = tiny_job(seeds=(0, 1), start=rule(run='runs/a', noise=0.1), **options)
        unmoved = np.asarray(
            (model.generate(batch) if of_signal else learned.starts(np.zeros(2), batch))['layer_1']['w']
        )
        moved = np.asarray(noisy.starts(np.array([0, 1]), batch)['layer_1']['w']) - unmoved
        np.testing.assert_allclose(moved.std(axis=(1, 2)), 0.1 * unmoved.std(axis=(1, 2)), rtol=0.4)
        assert not np.allclose(moved[0], moved[1])
        one_seed = np.asarray(noisy.starts(np.array([1, 1]), batch)['layer_1']['w']) - unmoved
        assert np.allclose(one_seed[0], one_seed[1], atol=1e-6) == (not of_signal)
    with pytest.raises(InputError, match='width = 8, this fit has 6'):
        tiny_job(seeds=(0,), start=starts.generated(run='runs/a'), **{**options, 'width': 6})


def test_steps_from_a_models_start_are_shaped_by_its_learned_rates(tmp_path):
    """Oracle: gradient descent in JAX whose updates are multiplied by the metric."""
    import optax

    from hyperinr import meta_learning

    model = make_model(constant=True, spec=make_spec(grid_shape=(5, 7)))
    params = jax.tree.map(lambda leaf: leaf, model.params)
    rates = jax.tree.leaves(params['rates'])
    assert rates
    uneven = [leaf + 0.01 * np.random.default_rng(0).normal(size=leaf.shape).astype(np.float32) for leaf in rates]
    params = {**params, 'rates': jax.tree.unflatten(jax.tree.structure(params['rates']), uneven)}
    model = dataclasses.replace(model, params=params)
    job = tiny_job(
        seeds=(0,),
        num_steps=1,
        width=8,
        start=starts.meta_learned(run='runs/a'),
        optimizer=optax.sgd(0.1),
        load_model=lambda run: model,
    )
    batch = job.signals.batch(np.arange(3))
    fitted = fit_rows(job, np.arange(3))
    spec, metric = job.description.weights, meta_learning.learned_metric(model.learner, params, batch)
    start = weights_lib.flatten(model.learner.hypernetwork.base(params), spec)
    factors = np.asarray(weights_lib.flatten(metric, spec))
    assert factors.std() > 0.1

    def loss(flat, values):
        predicted = job.inr.apply(weights_lib.unflatten(flat, spec), batch.coords[0])
        return ((predicted - values) ** 2).mean()

    for row in range(3):
        expected = start - 0.1 * factors[row] * jax.grad(loss)(start, batch.values[row])
        np.testing.assert_allclose(fitted['weights'][row], expected, rtol=1e-4, atol=1e-6)


def test_other_data_and_another_seed_are_refused(complete):
    from hyperinr.datasets import continuous_function

    other = continuous_function(resolution=(5, 7), num_train=6, num_validation=3, num_test=2, seed=1)
    with pytest.raises(InputError, match='another config: signals of the dataset were added'):
        worker.open_for_fitting(complete, tiny_job(dataset=other).description)
    with pytest.raises(InputError, match='seeds was'):
        worker.open_for_fitting(complete, tiny_job(seeds=(3, 6)).description)
    assert len(list_shards(complete)) == 6


def test_a_store_goes_on_with_signals_that_lie_elsewhere(tmp_path):
    text = "experiment.experiment.dataset = @mine.photos\nmine.photos.path = '{}'\nmine.photos.seed = {}\n"
    known = default_job().description
    described = lambda where, seed=0, sha='abc': known._replace(
        config=text.format(where, seed), source={**known.source, 'dataset_sha256': sha}
    )
    worker.open_for_fitting(tmp_path, described('a'))
    worker.open_for_fitting(tmp_path, described('/b/a'))
    assert "'/b/a'" in read_description(tmp_path).config
    for other, message in ((described('a', seed=1), 'seed was 0'), (described('a', sha='abd'), 'signals of the')):
        with pytest.raises(InputError, match=message):
            worker.open_for_fitting(tmp_path, other)
    assert "'/b/a'" in read_description(tmp_path).config
    worker.open_for_fitting(tmp_path, described('c', sha=''))


def test_a_shard_appears_at_once(tmp_path, monkeypatch):
    """While a shard is being written its name does not exist."""
    from hyperinr.neural_datasets import shards

    seen = []
    plain = shards.checksum

    def watch(tensors):
        seen.append(shard_path(tmp_path, 0, 4).exists())
        return plain(tensors)

    monkeypatch.setattr(shards, 'checksum', watch)
    fit_tiny(tmp_path, end=4)
    assert seen == [False]
    assert shard_path(tmp_path, 0, 4).exists()
