"""The parts that fresh weights are drawn by: their distributions, and what they promise of activations."""

import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from hyperinr import coordinates, inrs
from hyperinr.inrs import initialisation as schemes
from hyperinr.inrs.siren_variants import SIREN_VARIANTS, siren_variant
from hyperinr.inrs.spectral_noise import spectral_centroid, spectral_noise_weights
from hyperinr.inrs.variance_informed import activation_moments, balanced_deviation, variance_informed
from hyperinr.training.experiment import experiment
from hyperinr.types import DatasetSpec
from tests.exhaustive import thin

KEY = jax.random.key(0)
FIRST, HIDDEN, LAST = (schemes.Layer(index, 2, 2 if index == 0 else 400, 400, 30.0) for index in range(3))


def spread(rule, layer):
    return float(np.std(np.asarray(rule(KEY, layer), np.float64)))


@pytest.mark.parametrize('distribution', ['uniform', 'normal'])
def test_sine_weights_have_the_deviations_asked_for(distribution):
    rule = schemes.sine_weights(distribution=distribution, first_bound=1.5, hidden_gain=2.0, scale=3.0)
    np.testing.assert_allclose(spread(rule, FIRST), 3 * 1.5 / 2 / 3**0.5, rtol=0.1)
    np.testing.assert_allclose(spread(rule, HIDDEN), 3 * 2 * (2 / 400) ** 0.5 / 30, rtol=0.02)
    np.testing.assert_allclose(spread(rule, LAST), 2 * (2 / 400) ** 0.5 / 30, rtol=0.02)
    drawn = np.asarray(rule(KEY, HIDDEN))
    beyond = np.abs(drawn).max() / drawn.std()
    assert beyond < 3**0.5 * 1.01 if distribution == 'uniform' else beyond > 3


def test_biases_stay_within_their_bounds():
    largest = lambda rule, layer: float(np.abs(rule(KEY, layer)).max())
    np.testing.assert_allclose(largest(schemes.fan_in_biases(divisor=15.0), HIDDEN), 1 / 20 / 15, rtol=0.02)
    np.testing.assert_allclose(largest(schemes.omega_biases(bound=2.0), HIDDEN), 2 / 30, rtol=0.02)
    np.testing.assert_allclose(largest(schemes.omega_biases(bound=2.0, first_bound=5.0), FIRST), 5, rtol=0.02)
    np.testing.assert_allclose(largest(schemes.omega_biases(bound=2.0, first_bound=5.0), HIDDEN), 2 / 30, rtol=0.02)
    assert largest(schemes.zero_biases(), HIDDEN) == 0


@pytest.mark.parametrize('distribution', ['uniform', 'normal'])
def test_fan_in_weights(distribution):
    rule = schemes.fan_in_weights(distribution=distribution, gain=2.0, output_gain=0.5)
    np.testing.assert_allclose(spread(rule, HIDDEN), (2 / 400) ** 0.5, rtol=0.02)
    np.testing.assert_allclose(spread(rule, LAST), (0.5 / 400) ** 0.5, rtol=0.02)


def test_a_scheme_reaches_every_tensor_of_an_inr():
    count = schemes.compose(
        weights=lambda key, layer: jnp.full((layer.fan_in, layer.fan_out), 10.0 * layer.position + layer.omega),
        biases=lambda key, layer: jnp.full(layer.fan_out, float(layer.depth)),
        input_deviation=0.5,
    )
    inr = inrs.siren(channels=1, width=4, depth=2, omega_0=3, hidden_omega_0=5, initialisation=count, output_bias=7.0)
    weights = inr.init(KEY, 2)
    assert [float(weights[f'layer_{index}']['w'][0, 0]) for index in range(3)] == [3, 15, 25]
    assert [float(weights[f'layer_{index}']['b'][0]) for index in range(3)] == [2, 2, 9]
    plain = inrs.siren(channels=1, width=4, depth=2, omega_0=3, hidden_omega_0=5)
    coords = coordinates.grid((3, 4))
    np.testing.assert_allclose(inr.apply(weights, coords), plain.apply(weights, 2 * coords), atol=1e-5)
    assert inr.metadata['input_deviation'] == 0.5


def test_moments_of_a_gaussian_activation_have_a_closed_form():
    """E[exp(-z^2)] = (1 + 2 s^2)^(-1/2) for z of deviation s, and E[z^2 exp(-z^2)] = s^2 (1 + 2 s^2)^(-3/2)."""
    activation = lambda x: jnp.exp(-0.5 * x**2)
    for deviation in (0.3, 1.0, 4.0):
        square, slope = activation_moments(activation, deviation)
        spread = 1 + 2 * deviation**2
        np.testing.assert_allclose([square, slope], [spread**-0.5, deviation**2 * spread**-1.5], rtol=0.02)
    # s^2 E[a'^2] = E[a^2] where s^4 = 1 + 2 s^2.
    np.testing.assert_allclose(balanced_deviation(activation), math.sqrt(1 + 2**0.5), rtol=0.02)


def test_a_sine_has_no_balanced_deviation():
    with pytest.raises(ValueError, match='give preactivation_deviation'):
        balanced_deviation(lambda x: jnp.sin(30 * x))


FITTED = {
    'gaussian': ({'deviation': 0.2}, None),
    'sinc': ({'omega': 20.0}, 0.1),
    'siren': ({}, 1 / 30),
    'finer': ({}, 1 / 30),
    'quadratic': ({}, 0.2),
    'gelu_mlp': ({'num_frequencies': 0}, 1.0),
}


@pytest.mark.parametrize('kind', thin(FITTED, lambda kind: kind in ('siren', 'gelu_mlp')))
def test_variance_informed_weights_keep_the_deviation_of_pre_activations_at_every_depth(kind):
    """Probed by an output layer that reads pre-activations off: the identity of layers cut short."""
    options, wanted = FITTED[kind]
    width, deepest = 256, 4
    scheme = variance_informed(preactivation_deviation=wanted)
    make = lambda depth: inrs.FAMILIES[kind](
        channels=width, width=width, depth=depth, initialisation=scheme, output_bias=0.0, **options
    )
    coords = np.random.default_rng(0).uniform(-1, 1, (256, 2)).astype(np.float32)
    found = []
    for key in jax.random.split(KEY, 3):
        weights = make(deepest).init(key, 2)
        squares = []
        for depth in range(1, deepest):
            cut = {name: tensors for name, tensors in weights.items() if int(name.split('_')[1]) <= depth}
            squares.append(np.mean(np.square(make(depth).apply(cut, coords))))
        found.append(squares)
    expected = wanted or 0.2 * math.sqrt(1 + 2**0.5)
    np.testing.assert_allclose(np.sqrt(np.mean(found, axis=0)), expected, rtol=0.12)


def test_variance_informed_weights_reproduce_he_for_a_relu():
    """Half of the square of a ReLU's input passes."""
    inr = inrs.relu_mlp(
        channels=64, width=400, depth=2, num_frequencies=0,
        initialisation=variance_informed(preactivation_deviation=3.0, output_deviation=1.0, distribution='normal'),
    )  # fmt: skip
    weights = inr.init(KEY, 2)
    np.testing.assert_allclose(np.std(weights['layer_0']['w']), 3 * math.sqrt(3 / 2), rtol=0.06)
    np.testing.assert_allclose(np.std(weights['layer_1']['w']), math.sqrt(2 / 400), rtol=0.02)
    np.testing.assert_allclose(np.std(weights['layer_2']['w']), math.sqrt(2 / 400) / 3, rtol=0.02)


def test_variance_informed_weights_need_a_real_activation():
    inr = inrs.wire(channels=1, initialisation=variance_informed(preactivation_deviation=0.1))
    with pytest.raises(ValueError, match='real activation'):
        inr.init(KEY, 2)


def test_the_spectral_centroid_of_a_wave_is_its_frequency():
    rows = np.arange(32)[:, None] / 32
    for cycles in (2, 8, 16):
        wave = 0.5 + np.cos(2 * np.pi * cycles * np.broadcast_to(rows, (32, 32))).reshape(-1, 1)
        np.testing.assert_allclose(spectral_centroid(wave, (32, 32)), cycles / 16, atol=1e-6)
    assert spectral_centroid(np.full((64, 3), 0.3), (8, 8)) == 0


def test_spectral_noise_grows_with_the_centroid_and_spares_deep_layers():
    noisy = spectral_noise_weights(centroid=0.4, first_noise=20.0, second_noise=3.0, saturation=2.0)
    first = 20 * (1 - math.exp(-0.8)) / 30
    np.testing.assert_allclose(spread(noisy, FIRST), math.hypot(1 / 2 / 3**0.5, first), rtol=0.1)
    np.testing.assert_allclose(spread(noisy, HIDDEN), math.hypot((2 / 400) ** 0.5 / 30, 1.2 / 30), rtol=0.02)
    np.testing.assert_allclose(spread(noisy, LAST), (2 / 400) ** 0.5 / 30, rtol=0.02)
    silent = spectral_noise_weights(centroid=0.0)
    np.testing.assert_allclose(spread(silent, HIDDEN), (2 / 400) ** 0.5 / 30, rtol=0.02)


def test_there_are_38_variants_and_no_two_are_the_same():
    assert len(SIREN_VARIANTS) == 38
    seen = {}
    for name, variant in SIREN_VARIANTS.items():
        inr = inrs.siren(channels=1, width=16, depth=2, initialisation=variant.initialisation)
        weights = inr.init(KEY, 2)
        numbers = (variant.omega, variant.frozen, inr.metadata['input_deviation'])
        numbers += tuple(float(leaf.std()) for leaf in jax.tree.leaves(weights))
        assert numbers not in seen, (name, seen.get(numbers))
        seen[numbers] = name


def test_the_study_s_fastest_start_is_what_it_says():
    """Deviation 1/D on normalised coordinates, biases within 2/(omega sqrt(fan_in)) = 1/(15 sqrt(fan_in))."""
    inr = inrs.siren(channels=3, width=256, depth=2, initialisation=siren_variant(name='normalised_first_1.73_bias_15'))
    weights = inr.init(KEY, 2)
    assert inr.metadata['input_deviation'] == 0.5779
    np.testing.assert_allclose(np.std(weights['layer_0']['w']), 1 / 2, rtol=0.06)
    np.testing.assert_allclose(np.abs(weights['layer_1']['w']).max(), (6 / 256) ** 0.5 / 30, rtol=0.01)
    np.testing.assert_allclose(np.abs(weights['layer_1']['b']).max(), 2 / 30 / 16, rtol=0.03)


def test_a_few_gin_lines_express_a_variant(tmp_path):
    from hyperinr import config
    from hyperinr.training import experiment

    text = """
from __gin__ import dynamic_registration
from hyperinr import inrs
from hyperinr.inrs import initialisation
from hyperinr.training import experiment

experiment.experiment.inr = @inrs.siren
inrs.siren.width = 256
inrs.siren.initialisation = @initialisation.compose()
initialisation.compose.weights = @initialisation.sine_weights()
initialisation.sine_weights.first_bound = 1.7320508075688772
initialisation.compose.biases = @initialisation.fan_in_biases()
initialisation.fan_in_biases.divisor = 15
initialisation.compose.input_deviation = 0.5779
"""
    (tmp_path / 'mine.gin').write_text(text)
    resolved = config.load_config(str(tmp_path / 'mine.gin'))
    with config.applied(resolved):
        composed = config.configured(inrs.siren)(channels=3)
        assert config.configured(experiment.experiment)
    named = inrs.siren(channels=3, width=256, initialisation=siren_variant(name='normalised_first_1.73_bias_15'))
    jax.tree.map(np.testing.assert_array_equal, composed.init(KEY, 2), named.init(KEY, 2))
    assert composed.metadata == named.metadata


@pytest.mark.parametrize(
    ('call', 'part'),
    [
        (lambda: schemes.sine_weights(distribution='unifrom'), "'unifrom'"),
        (lambda: schemes.sine_weights(first_bound=0.0), 'first_bound'),
        (lambda: schemes.sine_weights(scale=-1.0), 'scale'),
        (lambda: schemes.fan_in_weights(gain=0.0), 'gain'),
        (lambda: schemes.fan_in_biases(divisor=0.0), 'divisor'),
        (lambda: schemes.omega_biases(bound=0.0), 'bound'),
        (lambda: schemes.compose(weights=None, biases=None, input_deviation=0.0), 'input_deviation'),
        (lambda: spectral_noise_weights(centroid=1.5), 'centroid'),
        (lambda: variance_informed(preactivation_deviation=0.0), 'preactivation_deviation'),
        (lambda: variance_informed(input_square=0.0), 'input_square'),
        (lambda: siren_variant(name='papre'), "'papre'"),
    ],
)
def test_wrong_values_are_named(call, part):
    with pytest.raises(ValueError, match=part):
        call()


@pytest.mark.parametrize('data_range', [(-1.0, 1.0), (0.0, 255.0)])
def test_a_fresh_inr_starts_in_the_middle_of_its_data_range(data_range):
    built = []
    learner = lambda inr, **parts: built.append(inr)
    nothing = lambda **parts: None
    made = experiment(
        dataset=nothing, inr=inrs.siren, encoder=nothing, hypernetwork=nothing, learner=learner, optimizer=nothing,
        num_steps=1, batch_size=1, seed=0,
    )  # fmt: skip
    low, high = data_range
    for each in (data_range, (0.0, 1.0)):
        made.build(DatasetSpec('any', None, 64, 2, 3, each))
    fresh, usual = (inr.init(KEY, 2) for inr in built)
    np.testing.assert_allclose(fresh['layer_3']['b'], low + (high - low) * usual['layer_3']['b'], rtol=1e-6)
    np.testing.assert_allclose(np.mean(fresh['layer_3']['b']), (low + high) / 2, atol=0.1 * (high - low))
    np.testing.assert_array_equal(fresh['layer_1']['w'], usual['layer_1']['w'])
