"""What every interchangeable part promises, for each row of `tests/parts.py`."""

import functools
import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from hyperinr import weights as weights_lib
from hyperinr.files import read_weights, write_weights
from hyperinr.training import devices as devices_lib
from hyperinr.training.checkpoints import Checkpoints, restore_newest
from hyperinr.types import Datapoint
from tests import parts

KEY = jax.random.key(0)


def rows(table):
    """``(name, part)``, the part built when the test runs and shared by the tests of its row."""
    return pytest.mark.parametrize('name', list(table))


@functools.cache
def inr_of(name):
    inr = parts.INRS[name]()
    return inr, jax.jit(inr.init, static_argnums=1)(KEY, 2)


@functools.cache
def encoder_of(name):
    encoder = parts.ENCODERS[name](parts.SPEC)
    return encoder, jax.jit(encoder.init)(KEY, take(parts.datapoints(), 0))


@functools.cache
def hypernetwork_of(name):
    hypernetwork = parts.make_hypernetwork(**parts.HYPERNETWORKS[name])
    return hypernetwork, jax.jit(hypernetwork.init)(KEY, take(parts.datapoints(), 0))


@functools.cache
def learner_of(name):
    """A learner after one update, so that nothing is at a special value of its initialisation."""
    learner = parts.make_learner(**parts.LEARNERS[name])
    state = jax.jit(learner.init)(KEY, take(parts.datapoints(), 0))
    state, metrics = jax.jit(learner.update)(state, parts.datapoints(), parts.datapoints())
    return learner, state, metrics


@functools.cache
def generate_of(name):
    """``batch -> weights [B, ...]``, compiled."""
    learner, state, _ = learner_of(name)
    generate = jax.jit(jax.vmap(learner.generate, (None, 0)))
    return lambda batch: jax.device_get(generate(state.average, batch))


def take(tree, row):
    return jax.tree.map(lambda leaf: leaf[row], tree)


def shapes(tree):
    return jax.tree.map(lambda leaf: (jnp.shape(leaf), jnp.asarray(leaf).dtype), tree)


def shapes_of_init(inr, coord_dims=2):
    return jax.tree.map(lambda leaf: (leaf.shape, leaf.dtype), jax.eval_shape(lambda: inr.init(KEY, coord_dims)))


def assert_close(found, expected, *, rtol=1e-4, atol=1e-5):
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=rtol, atol=atol), found, expected)


def assert_equal(found, expected):
    jax.tree.map(np.testing.assert_array_equal, found, expected)


def all_finite(tree):
    return all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(tree))


def size(tree):
    return sum(float(np.abs(leaf).sum()) for leaf in jax.tree.leaves(tree))


def moved(params):
    """Away from the zeros of an initialisation, which hide what is multiplied by them."""
    return jax.tree.map(lambda leaf: leaf + 0.01, params)


def unreached(gradient):
    """Parameters that a gradient does not reach."""
    return [
        jax.tree_util.keystr(path)
        for path, leaf in jax.tree.leaves_with_path(gradient)
        if leaf.size and size(leaf) == 0
    ]


def partly_hidden(datapoint: Datapoint) -> Datapoint:
    """With a point of weight 0, so that what an encoder knows of hidden points matters."""
    weight = datapoint.weight.copy()
    weight[5] = 0
    return datapoint._replace(weight=weight)


def with_other_row(batch: Datapoint, row: int) -> Datapoint:
    """The batch with another datapoint in one of its rows: other values, another index and label."""
    values, index, label = batch.values.copy(), batch.index.copy(), batch.label.copy()
    values[row], index[row], label[row] = 1 - values[row], 3 - index[row], 2 - batch.label[3 - row]
    return batch._replace(values=values, index=index, label=label)


def assert_rows_independent(function):
    """Another datapoint 1 changes result 1 and not a bit of the others."""
    before, after = (
        jax.device_get(function(each)) for each in (parts.datapoints(), with_other_row(parts.datapoints(), 1))
    )
    others = np.array([0, 2, 3])
    assert_equal(take(after, others), take(before, others))
    assert size(jax.tree.map(lambda a, b: a - b, take(after, 1), take(before, 1))) > 0


# INRs


@pytest.mark.exhaustive
@rows(parts.INRS)
@pytest.mark.parametrize('coord_dims', [1, 2, 3])
def test_an_inr_takes_coordinates_of_any_dimension(name, coord_dims):
    inr = parts.INRS[name]()
    weights = jax.jit(inr.init, static_argnums=1)(KEY, coord_dims)
    coords = np.random.default_rng(0).uniform(-1, 1, (7, coord_dims)).astype(np.float32)
    values = inr.apply(weights, coords)
    assert values.shape == (7, 3)
    assert values.dtype == jnp.float32
    assert np.isfinite(values).all()
    assert np.std(values, axis=0).min() > 0


@pytest.mark.exhaustive
@rows(parts.INRS)
def test_an_inr_is_a_function_of_its_key(name):
    inr, weights = inr_of(name)
    assert_close(inr.init(KEY, 2), weights, rtol=1e-6, atol=1e-7)
    assert size(jax.tree.map(lambda a, b: a - b, inr.init(jax.random.key(1), 2), weights)) > 0


@rows(parts.INRS)
def test_an_inr_under_jit_vmap_and_grad(name):
    inr, weights = inr_of(name)
    coords = parts.datapoints().coords[0]
    expected = inr.apply(weights, coords)
    assert_close(jax.jit(inr.apply)(weights, coords), expected)
    many = jax.vmap(lambda key: inr.init(key, 2))(jax.random.split(KEY, 3))
    batched = jax.vmap(inr.apply, (0, None))(many, coords)
    assert_close(batched, jnp.stack([inr.apply(take(many, row), coords) for row in range(3)]))
    gradients = jax.grad(lambda w, x: jnp.sum(inr.apply(w, x) ** 2), argnums=(0, 1))(weights, coords)
    assert all_finite(gradients)
    assert all(size(leaf) > 0 for leaf in jax.tree.leaves(gradients))


@pytest.mark.exhaustive
@rows(parts.INRS)
def test_an_inr_has_finite_derivatives_where_coordinates_are_zero(name):
    inr, weights = inr_of(name)
    hessian = jax.jit(jax.hessian(lambda x: jnp.sum(inr.apply(weights, x[None]))))(jnp.zeros(2))
    assert all_finite(hessian)


@pytest.mark.exhaustive
@rows(parts.INRS)
def test_an_inr_treats_each_point_alone(name):
    inr, weights = inr_of(name)
    coords = parts.datapoints().coords[0]
    moved = coords.copy()
    moved[5] = 0.123
    before, after = np.asarray(inr.apply(weights, coords)), np.asarray(inr.apply(weights, moved))
    others = np.arange(len(coords)) != 5
    np.testing.assert_array_equal(after[others], before[others])
    assert np.abs(after[5] - before[5]).max() > 0
    order = np.random.default_rng(0).permutation(len(coords))
    np.testing.assert_allclose(inr.apply(weights, coords[order]), before[order], atol=1e-5)


@rows(parts.INRS)
@pytest.mark.parametrize('suffix', ['.npz', '.safetensors'])
def test_an_inr_is_stored_exactly_with_what_its_reader_must_know(name, suffix, tmp_path):
    inr, weights = inr_of(name)
    assert json.loads(json.dumps(dict(inr.metadata))) == dict(inr.metadata)
    assert inr.metadata['kind'] in name
    write_weights(tmp_path / f'file{suffix}', weights, inr.metadata)
    back, metadata = read_weights(tmp_path / f'file{suffix}')
    assert_equal(back, weights)
    assert {key: metadata[key] for key in inr.metadata} == dict(inr.metadata)


@rows(parts.INRS)
def test_the_last_layer_of_an_inr_is_its_output_layer(name):
    """What hypernetworks and Muon rely on, see `hyperinr.types.Inr`."""
    inr, weights = inr_of(name)
    layers = weights_lib.spec_of(weights).layers
    linear = [layer for layer in layers if layer.startswith('layer_')]
    assert linear == [f'layer_{index}' for index in range(len(linear))]
    assert layers[-len(linear) :] == tuple(linear)
    for layer in linear:
        assert weights[layer]['b'].shape == weights[layer]['w'].shape[1:]
    last = {**weights[layers[-1]], 'b': weights[layers[-1]]['b'] + jnp.arange(3.0)}
    coords = np.random.default_rng(0).uniform(-1, 1, (7, 2)).astype(np.float32)
    shifted = inr.apply({**weights, layers[-1]: last}, coords)
    assert_close(shifted, inr.apply(weights, coords) + jnp.arange(3.0)[None, :])


@rows(parts.INRS)
def test_an_inr_flattens_and_comes_back_exactly(name):
    _, weights = inr_of(name)
    spec = weights_lib.spec_of(weights)
    assert_equal(weights_lib.unflatten(weights_lib.flatten(weights, spec), spec), weights)


# Encoders


@rows(parts.ENCODERS)
def test_an_encoder_under_jit_vmap_and_grad(name):
    encoder, params = encoder_of(name)
    batch = parts.datapoints()
    apply = jax.jit(encoder.apply)
    expected = jnp.stack([apply(params, take(batch, row)) for row in range(4)])
    assert expected.ndim == 2
    assert expected.dtype == jnp.float32
    assert_close(jax.jit(jax.vmap(encoder.apply, (None, 0)))(params, batch), expected)
    assert_close(encoder.apply(params, take(batch, 2)), expected[2])
    seen = partly_hidden(take(batch, 0))
    gradient = jax.jit(jax.grad(lambda p: jnp.sum(encoder.apply(p, seen) ** 2)))(moved(params))
    assert all_finite(gradient)
    assert shapes(gradient) == shapes(params)
    assert not unreached(gradient)


@rows(parts.ENCODERS)
def test_an_encoder_ignores_what_points_without_weight_hold(name):
    encoder, params = encoder_of(name)
    datapoint = take(parts.datapoints(), 0)
    weight, values = datapoint.weight.copy(), datapoint.values.copy()
    weight[10:20], values[10:20] = 0, np.nan
    apply = jax.jit(encoder.apply)
    found = apply(params, datapoint._replace(weight=weight, values=values))
    np.testing.assert_array_equal(found, apply(params, datapoint._replace(weight=weight)))


@pytest.mark.exhaustive
@rows({name: row for name, row in parts.ENCODERS.items() if name != 'constant'})
def test_an_encoder_sees_each_datapoint_alone(name):
    encoder, params = encoder_of(name)
    assert_rows_independent(jax.jit(lambda batch: jax.vmap(encoder.apply, (None, 0))(params, batch)))


# Hypernetworks


@rows(parts.HYPERNETWORKS)
def test_a_hypernetwork_emits_what_its_inr_takes(name):
    hypernetwork, params = hypernetwork_of(name)
    inr = parts.INRS['relu_mlp' if 'relu_mlp' in name else 'siren']()
    start = jax.jit(hypernetwork.encode)(params, take(parts.datapoints(), 0))
    weights = jax.jit(hypernetwork.decode)(params, start.code)
    assert shapes(weights) == shapes_of_init(inr)
    assert all_finite(weights)
    if hypernetwork.base is not None:
        assert shapes(hypernetwork.base(params)) == shapes_of_init(inr)


@rows(parts.HYPERNETWORKS)
def test_the_rates_of_a_hypernetwork_fit_its_code(name):
    hypernetwork, params = hypernetwork_of(name)
    start = jax.jit(hypernetwork.encode)(params, take(parts.datapoints(), 0))
    assert jax.tree.structure(start.rates) == jax.tree.structure(start.code)
    for rate, leaf in zip(jax.tree.leaves(start.rates), jax.tree.leaves(start.code), strict=True):
        assert np.broadcast_shapes(rate.shape[1:], leaf.shape) == leaf.shape
        assert (rate > 0).all()


@pytest.mark.exhaustive
@rows(parts.HYPERNETWORKS)
def test_a_hypernetwork_under_jit_vmap_and_grad(name):
    hypernetwork, params = hypernetwork_of(name)
    batch = parts.datapoints()
    encode = jax.jit(hypernetwork.encode)
    expected = [encode(params, take(batch, row)) for row in range(4)]
    assert_close(hypernetwork.encode(params, take(batch, 3)), expected[3])
    batched = jax.jit(jax.vmap(hypernetwork.encode, (None, 0)))(params, batch)
    assert_close(batched, jax.tree.map(lambda *leaves: jnp.stack(leaves), *expected))

    def emitted(params):
        start = hypernetwork.encode(params, partly_hidden(take(batch, 0)))
        # Beside the start, where a latent of zeros would hide the map from it to the weights.
        code = jax.tree.map(lambda leaf: leaf + 0.1, start.code)
        leaves = jax.tree.leaves((hypernetwork.decode(params, code), start.rates))
        return sum(jnp.sum(leaf**2) for leaf in leaves)

    gradient = jax.jit(jax.grad(emitted))(moved(params))
    assert all_finite(gradient)
    assert not unreached(gradient)


@pytest.mark.exhaustive
@rows({name: row for name, row in parts.HYPERNETWORKS.items() if 'constant' not in name})
def test_a_hypernetwork_sees_each_datapoint_alone(name):
    hypernetwork, params = hypernetwork_of(name)
    assert_rows_independent(jax.jit(lambda batch: jax.vmap(hypernetwork.encode, (None, 0))(params, batch).code))


# Learners


@pytest.mark.exhaustive
@rows(parts.LEARNERS)
def test_a_learner_generates_what_its_inr_takes(name):
    learner, state, _ = learner_of(name)
    weights = generate_of(name)(parts.datapoints())
    assert shapes(take(weights, 0)) == shapes_of_init(learner.inr)
    assert all_finite(weights)
    assert size(jax.tree.map(lambda leaf: leaf[0] - leaf[1], weights)) > 0
    weights = jax.eval_shape(lambda d: learner.adapt(state.params, d, 3), take(parts.datapoints(), 0))
    for leaf, (shape, dtype) in zip(
        jax.tree.leaves(weights), jax.tree.leaves(shapes_of_init(learner.inr), is_leaf=lambda x: isinstance(x, tuple)),
        strict=True,
    ):  # fmt: skip
        assert (leaf.shape, leaf.dtype) == ((4, *shape), dtype)


@pytest.mark.exhaustive
@rows(parts.LEARNERS)
def test_generating_is_adapting_by_the_steps_of_training(name):
    learner, state, _ = learner_of(name)
    datapoint = take(parts.datapoints(), 2)
    adapted = jax.jit(learner.adapt, static_argnums=2)(state.average, datapoint, learner.num_steps + 1)
    assert_close(take(adapted, learner.num_steps), take(generate_of(name)(parts.datapoints()), 2))
    start = jax.jit(learner.hypernetwork.encode)(state.average, datapoint)
    assert_close(take(adapted, 0), learner.hypernetwork.decode(state.average, start.code))


@pytest.mark.exhaustive
@rows(parts.LEARNERS)
def test_a_learner_under_jit_and_vmap(name):
    learner, state, _ = learner_of(name)
    assert_close(
        learner.generate(state.average, take(parts.datapoints(), 1)), take(generate_of(name)(parts.datapoints()), 1)
    )


@pytest.mark.exhaustive
@rows(parts.LEARNERS)
def test_a_learner_treats_each_datapoint_alone(name):
    assert_rows_independent(generate_of(name))


@pytest.mark.exhaustive
@rows(parts.LEARNERS)
def test_the_gradient_of_a_learner_is_finite_and_reaches_every_part(name):
    learner, state, _ = learner_of(name)
    gradient, metrics = jax.device_get(jax.jit(learner.gradient)(state, parts.datapoints(), parts.datapoints()))
    assert shapes(gradient) == shapes(state.params)
    assert all_finite((gradient, metrics))
    reached = {part for part, leaves in gradient.items() if size(leaves) > 0}
    expected = {part for part, leaves in gradient.items() if jax.tree.leaves(leaves)}
    assert reached == expected - (set() if learner.num_steps and name != 'Reptile' else {'rates'})


@rows(parts.LEARNERS)
def test_an_update_of_a_learner_keeps_the_form_of_its_state(name):
    learner, state, metrics = learner_of(name)
    first = jax.eval_shape(learner.init, KEY, take(parts.datapoints(), 0))
    describe = lambda tree: jax.tree.map(lambda leaf: (leaf.shape, leaf.dtype), tree)
    assert describe(state) == describe(first)
    assert int(state.step) == 1
    assert all(jnp.shape(value) == () and np.isfinite(value) for value in metrics.values())
    assert {'loss', 'psnr_db'} <= set(metrics)
    start = jax.jit(learner.init)(KEY, take(parts.datapoints(), 0))
    assert size(jax.tree.map(lambda a, b: a - b, start.params, state.params)) > 0


@rows(parts.LEARNERS)
def test_a_state_of_a_learner_is_stored_exactly(name, tmp_path):
    learner, state, _ = learner_of(name)
    packed = jax.tree.map(np.array, devices_lib.pack(state))
    checkpoints = Checkpoints(tmp_path / 'checkpoints')
    checkpoints.save(packed, seconds=1.0)
    checkpoints.wait()
    checkpoints.close()
    found = restore_newest(tmp_path / 'checkpoints', jax.eval_shape(learner.init, KEY, take(parts.datapoints(), 0)))
    assert found.state.key == state.key
    assert_equal(devices_lib.pack(found.state), packed)
