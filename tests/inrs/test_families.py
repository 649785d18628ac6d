"""Every family against its formula, written once more in double-precision NumPy."""

import inspect
import itertools
import json
import math
import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.test_util import check_grads

from hyperinr import config, inrs
from hyperinr.errors import InputError
from hyperinr.inrs import siren_variants
from hyperinr.inrs.coordinate_mlp import Mlp, coordinate_mlp
from hyperinr.inrs.feature_mlps import fourier_matrix
from hyperinr.inrs.grids import hash_rows, level_resolutions, surrounding_vertices
from hyperinr.inrs.initialisation import plain
from hyperinr.inrs.sine import cardinal_sine
from tests import parts
from tests.exhaustive import thin

COORDS = np.random.default_rng(0).uniform(-1, 1, (20, 2)).astype(np.float32)
OMEGAS = {'omega_0': 7.0, 'hidden_omega_0': 4.0}


def gelu(x):
    return 0.5 * x * (1 + np.vectorize(math.erf)(x / 2**0.5))


ACTIVATIONS = {
    'finer': (OMEGAS, lambda x, omega: np.sin(omega * (np.abs(x) + 1) * x)),
    'hosc': ({'sharpness': 3.0, **OMEGAS}, lambda x, omega: np.tanh(3 * np.sin(omega * x))),
    'adaptive_hosc': ({'sharpness': 3.0, **OMEGAS}, lambda x, omega: np.tanh(3 * np.sin(omega * x))),
    'real_wire': ({'omega': 5.0, 'scale': 2.0}, lambda x, _: np.cos(5 * x) * np.exp(-((2 * x) ** 2))),
    'gaussian': ({'deviation': 0.3}, lambda x, _: np.exp(-(x**2) / (2 * 0.3**2))),
    'super_gaussian': (
        {'deviation': 0.3, 'exponent': 1.7},
        lambda x, _: np.exp(-(x**2) / (2 * 0.3**2)) ** 1.7,
    ),
    'laplacian': ({'scale': 0.4}, lambda x, _: np.exp(-np.abs(x) / 0.4)),
    'quadratic': ({'sharpness': 3.0}, lambda x, _: 1 / (1 + (3 * x) ** 2)),
    'multi_quadratic': ({'sharpness': 3.0}, lambda x, _: 1 / np.sqrt(1 + (3 * x) ** 2)),
    'exp_sin': ({'omega': 3.0}, lambda x, _: np.exp(-np.sin(3 * x))),
    'sinc': ({'omega': 6.0}, lambda x, _: np.sin(6 * x) / (6 * x)),
    'gelu_mlp': ({'num_frequencies': 0}, lambda x, _: gelu(x)),
}


def double(weights):
    return jax.tree.map(lambda leaf: np.asarray(leaf, np.float64), weights)


@pytest.mark.parametrize('kind', ACTIVATIONS)
def test_evaluates_its_formula(kind):
    options, activation = ACTIVATIONS[kind]
    inr = inrs.FAMILIES[kind](channels=2, width=8, depth=3, **options)
    weights = inr.init(jax.random.key(0), 3)
    coords = np.random.default_rng(1).uniform(-1, 1, (20, 3)).astype(np.float32)
    hidden, layers = coords.astype(np.float64), double(weights)
    for index in range(3):
        layer = layers[f'layer_{index}']
        omega = options.get('omega_0' if index == 0 else 'hidden_omega_0', 1.0)
        hidden = activation(hidden @ layer['w'] + layer['b'], omega)
    expected = hidden @ layers['layer_3']['w'] + layers['layer_3']['b']
    np.testing.assert_allclose(inr.apply(weights, coords), expected, atol=1e-4)


def test_the_sharpness_of_adaptive_hosc_is_a_weight_of_each_layer():
    inr = inrs.adaptive_hosc(channels=1, width=8, depth=2, sharpness=3.0)
    weights = inr.init(jax.random.key(0), 2)
    assert [set(weights[f'layer_{index}']) for index in range(3)] == [{'w', 'b', 'sharpness'}] * 2 + [{'w', 'b'}]
    sharper = {**weights, 'layer_1': {**weights['layer_1'], 'sharpness': jnp.full(1, 6.0)}}
    others = inrs.adaptive_hosc(channels=1, width=8, depth=2, sharpness=9.0)
    np.testing.assert_array_equal(inr.apply(weights, COORDS), others.apply(weights, COORDS))
    assert np.abs(inr.apply(weights, COORDS) - inr.apply(sharper, COORDS)).max() > 1e-3


@pytest.mark.parametrize('depth', [1, 3])
def test_wire_computes_with_complex_numbers(depth):
    inr = inrs.wire(channels=2, width=6, depth=depth, omega=4.0, scale=2.0)
    weights = inr.init(jax.random.key(0), 2)
    assert all(leaf.dtype == jnp.float32 for leaf in jax.tree.leaves(weights))
    hidden = COORDS.astype(np.complex128)
    for index, layer in enumerate(double(weights).values()):
        w = layer['w'] + 1j * layer.get('w_imaginary', 0)
        z = hidden @ w + layer['b'] + 1j * layer.get('b_imaginary', 0)
        hidden = np.exp(4j * z - np.abs(2 * z) ** 2) if index < depth else z.real
    np.testing.assert_allclose(inr.apply(weights, COORDS), hidden, atol=1e-5)


def test_a_cardinal_sine_is_smooth_at_zero_and_exact_beside_its_seam():
    x = np.float64([-40, -3, -0.3001, -0.2999, -1e-3, 0, 1e-8, 0.2999, 0.3001, 2, 31.4])
    np.testing.assert_allclose(cardinal_sine(np.float32(x)), np.sinc(x / np.pi), atol=3e-7)
    derivatives = [jax.grad(cardinal_sine)]
    for _ in range(3):
        derivatives.append(jax.grad(derivatives[-1]))
    # sin(x)/x = 1 - x^2/6 + x^4/120 - ...
    np.testing.assert_allclose([float(each(0.0)) for each in derivatives], [0, -1 / 3, 0, 1 / 5], atol=1e-6)


@pytest.mark.parametrize('num_features', [1, 5])
def test_fourier_features_are_those_of_their_seed(num_features):
    options = {'num_features': num_features, 'feature_deviation': 0.7, 'feature_seed': 3}
    inr = inrs.fourier_mlp(channels=2, width=8, depth=1, **options)
    weights = inr.init(jax.random.key(0), 2)
    assert weights['layer_0']['w'].shape == (2 * num_features, 8)
    matrix = 0.7 * np.random.RandomState(3).standard_normal((num_features, 2))
    np.testing.assert_allclose(fourier_matrix(num_features, 2, deviation=0.7, seed=3), matrix, rtol=1e-6)
    angles = np.pi * (COORDS + 1) @ matrix.T
    features, layers = np.concatenate([np.sin(angles), np.cos(angles)], axis=1), double(weights)
    hidden = np.maximum(features @ layers['layer_0']['w'] + layers['layer_0']['b'], 0)
    expected = hidden @ layers['layer_1']['w'] + layers['layer_1']['b']
    np.testing.assert_allclose(inr.apply(weights, COORDS), expected, atol=1e-5)
    other = inrs.fourier_mlp(channels=2, width=8, depth=1, **(options | {'feature_seed': 4}))
    assert np.abs(other.apply(weights, COORDS) - expected).max() > 1e-3


@pytest.mark.parametrize('kind', ['fourier_net', 'gabor_net'])
@pytest.mark.parametrize('depth', [1, 3])
def test_filters_multiply(kind, depth):
    inr = inrs.FAMILIES[kind](channels=2, width=6, depth=depth, input_scale=8.0)
    weights = inr.init(jax.random.key(0), 2)
    layers, coords = double(weights), COORDS.astype(np.float64)

    def filtered(index):
        tensors = layers[f'filter_{index}']
        wave = np.sin(coords @ tensors['w'] + tensors['b'])
        if kind == 'fourier_net':
            return wave
        squares = ((coords[:, :, None] - tensors['center'][None]) ** 2).sum(axis=1)
        return wave * np.exp(-tensors['sharpness'] / 2 * squares)

    hidden = filtered(0)
    for index in range(depth):
        layer = layers[f'layer_{index}']
        hidden = (hidden @ layer['w'] + layer['b']) * filtered(index + 1)
    expected = hidden @ layers[f'layer_{depth}']['w'] + layers[f'layer_{depth}']['b']
    np.testing.assert_allclose(inr.apply(weights, COORDS), expected, atol=1e-5)


def test_fresh_filters_follow_the_authors_code():
    """Variance of a uniform in +-a is a^2/3; Gamma(6/(depth+1), 1) has mean and variance 6/(depth+1) = 2."""
    inr = inrs.gabor_net(channels=1, width=4000, depth=2, input_scale=30.0)
    tensors = double(inr.init(jax.random.key(0), 2)['filter_1'])
    np.testing.assert_allclose([tensors['sharpness'].mean(), tensors['sharpness'].var()], [2, 2], rtol=0.15)
    assert 0.99 < np.abs(tensors['center']).max() <= 1
    assert 3.1 < np.abs(tensors['b']).max() <= np.pi
    raw = tensors['w'] / np.sqrt(tensors['sharpness'])
    assert 0.99 < np.abs(raw).max() / (30 / 3**0.5 / 2**0.5) < 1.0001


@pytest.mark.parametrize('coord_dims', thin([1, 2, 3], lambda dims: dims == 3))
def test_interpolation_reproduces_multilinear_functions(coord_dims):
    """And the values at the vertices, the border included."""
    resolution = 4
    inr = inrs.feature_grid(channels=1, resolution=resolution)
    axes = np.linspace(-1, 1, resolution)
    vertices = np.array(list(itertools.product(axes, repeat=coord_dims)))
    function = lambda x: (np.prod(x + 2, axis=1) - 3 * x[:, 0])[:, None]
    weights = {'layer_0': {'w': np.float32(function(vertices)), 'b': np.float32([0.25])}}
    points = np.concatenate([np.random.default_rng(0).uniform(-1, 1, (50, coord_dims)), vertices]).astype(np.float32)
    np.testing.assert_allclose(inr.apply(weights, points), 0.25 + function(points.astype(np.float64)), atol=1e-5)
    outside = inr.apply(weights, np.full((1, coord_dims), 1.5, np.float32))
    np.testing.assert_allclose(outside, inr.apply(weights, np.ones((1, coord_dims), np.float32)))


def test_vertices_surround_their_point():
    vertices, shares = surrounding_vertices(COORDS, 5)
    np.testing.assert_allclose(np.einsum('nv,nvd->nd', shares, vertices), (COORDS + 1) * 2.5, atol=1e-5)
    assert (np.ptp(vertices, axis=1) == 1).all()


def test_the_hash_is_the_papers():
    vertices = np.random.default_rng(0).integers(0, 2000, (50, 3))
    expected = [(int(x) ^ int(y) * 2654435761 ^ int(z) * 805459861) % 2**32 % 512 for x, y, z in vertices]
    np.testing.assert_array_equal(hash_rows(vertices, 512), expected)


def test_levels_grow_geometrically():
    assert level_resolutions(4, 16, 128) == (16, 32, 64, 128)
    assert level_resolutions(1, 4, 64) == (4,)
    assert level_resolutions(3, 2, 9) == (2, 4, 9)


def test_a_hash_grid_interpolates_each_level():
    inr = inrs.hash_grid(channels=2, width=5, depth=1, num_levels=2, log2_table_size=4, coarsest=3, finest=7)
    weights = inr.init(jax.random.key(0), 2)
    tables = {name: {'table': 1e4 * tensors['table']} for name, tensors in weights.items() if 'grid' in name}
    weights = {**weights, **tables}
    assert {name: tensors['table'].shape for name, tensors in tables.items()} == {'grid_0': (16, 2), 'grid_1': (16, 2)}
    features = []
    for level, cells in enumerate((3, 7)):
        table = np.asarray(weights[f'grid_{level}']['table'], np.float64)
        for point in COORDS.astype(np.float64):
            position = (point + 1) * cells / 2
            corner, total = np.floor(position).astype(int), np.zeros(2)
            for offset in itertools.product((0, 1), repeat=2):
                x, y = corner + offset
                share = np.prod(1 - np.abs(position - corner - offset))
                row = 4 * x + y if cells == 3 else (int(x) ^ int(y) * 2654435761) % 2**32 % 16
                total += share * table[row]
            features.append(total)
    features = np.concatenate(np.split(np.array(features), 2), axis=1)
    layers = double(weights)
    hidden = np.maximum(features @ layers['layer_0']['w'] + layers['layer_0']['b'], 0)
    expected = hidden @ layers['layer_1']['w'] + layers['layer_1']['b']
    np.testing.assert_allclose(inr.apply(weights, COORDS), expected, atol=1e-5)


@pytest.mark.parametrize('kind', thin(['wire', 'adaptive_hosc', 'gabor_net'], lambda kind: kind == 'wire'))
def test_gradients_agree_with_finite_differences(kind):
    """By coordinates and by all weights; tolerances are those of differences in float32."""
    inr = parts.INRS[kind]()
    weights = inr.init(jax.random.key(0), 2)
    function = jax.jit(lambda weights, coords: jnp.mean(inr.apply(weights, coords)))
    check_grads(function, (weights, COORDS[:2]), order=1, modes=['rev'], eps=1e-3, atol=2e-2, rtol=2e-2)


@pytest.mark.parametrize('kind', inrs.FAMILIES)
def test_metadata_bring_an_inr_back(kind):
    """Whatever else a file's metadata hold; a parameter that is not stored would show."""
    inr = next(row() for name, row in parts.INRS.items() if name == kind)
    back = inrs.from_metadata(json.loads(json.dumps({**inr.metadata, 'source': 'photo.png'})))
    assert back.metadata == inr.metadata
    weights = jax.eval_shape(lambda: inr.init(jax.random.key(0), 2))
    one, other = (jax.make_jaxpr(each.apply)(weights, COORDS) for each in (inr, back))
    assert str(one) == str(other)
    jax.tree.map(np.testing.assert_array_equal, one.consts, other.consts)


def test_metadata_bring_an_input_deviation_back():
    scheme = siren_variants.SIREN_VARIANTS['normalised'].initialisation
    inr = inrs.siren(channels=1, width=8, initialisation=scheme)
    weights = inr.init(jax.random.key(0), 2)
    back = inrs.from_metadata(inr.metadata)
    np.testing.assert_allclose(back.apply(weights, COORDS), inr.apply(weights, COORDS), atol=1e-5)
    assert back.metadata == inr.metadata
    assert np.abs(inrs.siren(channels=1, width=8).apply(weights, COORDS) - inr.apply(weights, COORDS)).max() > 1e-3


@pytest.mark.parametrize(
    ('metadata', 'part'),
    [
        ({'kind': 'sirne'}, "'sirne'"),
        ({}, 'siren'),
        ({'kind': 'siren', 'channels': 3}, 'width'),
        ({'kind': 'siren', 'width': 4}, 'channels'),
        ({'kind': 'sinc', 'channels': 3, 'width': 4, 'depth': 1, 'omega': -1.0}, 'omega=-1'),
    ],
)
def test_metadata_of_no_inr_are_named(metadata, part):
    with pytest.raises(InputError, match=part):
        inrs.from_metadata(metadata)


@pytest.mark.parametrize(
    ('kind', 'change'),
    [
        *[(kind, {name: 0}) for kind in inrs.FAMILIES if 'grid' not in kind for name in ('channels', 'width', 'depth')],
        *[(kind, {name: 0.0}) for kind, (options, _) in ACTIVATIONS.items() for name in options if 'num' not in name],
        ('gelu_mlp', {'num_frequencies': -1}),
        ('finer', {'first_bias_bound': -1.0}),
        ('wire', {'omega': 0.0}),
        ('wire', {'scale': 0.0}),
        ('fourier_mlp', {'num_features': 0}),
        ('fourier_mlp', {'feature_deviation': 0.0}),
        ('fourier_mlp', {'feature_seed': -1}),
        ('fourier_net', {'input_scale': 0.0}),
        ('gabor_net', {'concentration': 0.0}),
        ('feature_grid', {'resolution': 1}),
        ('hash_grid', {'num_levels': 0}),
        ('hash_grid', {'finest': 2}),
        ('hash_grid', {'log2_table_size': 31}),
    ],
)
def test_wrong_values_are_named(kind, change):
    with pytest.raises(ValueError, match=next(iter(change))):
        inrs.FAMILIES[kind](**({'channels': 3} | change))


def test_a_hash_grid_of_too_many_dimensions_is_refused():
    with pytest.raises(ValueError, match='up to 7 coordinates'):
        inrs.hash_grid(channels=1).init(jax.random.key(0), 8)


@pytest.mark.parametrize('kind', inrs.FAMILIES)
def test_every_family_documents_each_of_its_parameters_once(kind):
    factory = inrs.FAMILIES[kind]
    arguments = inspect.getdoc(factory).partition('Args:\n')[2].partition('\n\n')[0]
    documented = re.findall(r'^  (\w+): ', arguments, flags=re.MULTILINE)
    assert documented == list(inspect.signature(factory).parameters)
    assert all(each.kind == each.KEYWORD_ONLY for each in inspect.signature(factory).parameters.values())


@coordinate_mlp
def cubic(*, scale: float = 2.0, shift: int = 0, start: float = 0.5) -> Mlp:
    """Make an MLP of cubes with a learned offset.

    Args:
      scale: > 0.
      shift: any integer.
      start: of the offset, > 0.
    """
    activation = lambda x, omega, layer: (scale * x + shift + layer['offset'][:, None]) ** 3
    return Mlp(activation, plain(), learnable={'offset': start}, start_only=('start',))


def test_a_family_of_one_s_own_is_its_activation():
    assert (cubic.__name__, cubic.__module__) == ('cubic', __name__)
    assert list(inspect.signature(cubic).parameters) == [
        'channels', 'width', 'depth', 'scale', 'shift', 'start', 'output_bias', 'initialisation',
    ]  # fmt: skip
    inr = cubic(channels=2, width=5, depth=1, shift=-1, start=3.0)
    sizes = {'kind': 'cubic', 'channels': 2, 'width': 5, 'depth': 1}
    assert inr.metadata == {**sizes, 'scale': 2.0, 'shift': -1, 'input_deviation': 1.0}
    weights = inr.init(jax.random.key(0), 2)
    np.testing.assert_array_equal(weights['layer_0']['offset'], np.float32([3]))
    layers = double(weights)
    hidden = (2 * (COORDS @ layers['layer_0']['w'] + layers['layer_0']['b']) - 1 + 3) ** 3
    expected = hidden @ layers['layer_1']['w'] + layers['layer_1']['b']
    np.testing.assert_allclose(inr.apply(weights, COORDS), expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(
    ('arguments', 'error', 'part'),
    [
        ({}, TypeError, r"cubic\(\) missing 1 required keyword-only argument: 'channels'"),
        ({'channels': 1, 'scael': 2.0}, TypeError, r"cubic\(\) got an unexpected keyword argument 'scael'"),
        ({'channels': 1, 'scale': -1.0}, ValueError, 'a cubic needs positive values .* not scale=-1.0'),
    ],
)
def test_wrong_arguments_of_a_family_of_one_s_own_are_named(arguments, error, part):
    with pytest.raises(error, match=part):
        cubic(**arguments)


@pytest.mark.parametrize('kind', inrs.FAMILIES)
def test_every_family_has_a_row_a_config_and_its_own_name(kind):
    assert kind in parts.INRS
    assert parts.INRS[kind]().metadata['kind'] == kind
    settings = {setting.name for setting in config.load_config(f'inr/{kind}.gin').settings}
    assert any(name.startswith(f'inrs.{kind}.') for name in settings)
