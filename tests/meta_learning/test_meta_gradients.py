"""Every adaptation with every meta-gradient, against finite differences of what that meta-gradient differentiates.

A first-order gradient is the exact one of a computation in which the inner gradients are constants, a truncated one of
a computation in which the early ones are, and Reptile's that of ``(start - adapted, taken as constant) . start``. The
oracle runs the adaptation as a plain loop, keeps those constants from a first run, and is differentiated numerically in
float64.
"""

import functools
import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from hyperinr import hypernetworks, inrs, meta_learning
from tests import parts
from tests.exhaustive import thin

KEY = jax.random.key(0)
NUM_STEPS = 2
SIREN = inrs.siren(channels=3, width=5, depth=1, omega_0=4.0)

learned = functools.partial(hypernetworks.learned_rates, initial=0.5, gain=1.0)
predicted = functools.partial(hypernetworks.predicted_rates, initial=0.5, gain=1.0)
WEIGHTS = {'family': 'chunked', 'encoder': 'constant'}
"""With a constant encoder nothing is generated: the code is a learned base, all weights."""
ADAPTATIONS = {
    'MAML: one rate': {**WEIGHTS, 'rates': learned(shared_by='code')},
    'Meta-SGD: a rate for each weight and step': {**WEIGHTS, 'rates': learned(num_steps=2)},
    'ANIL: one layer': {**WEIGHTS, 'rates': hypernetworks.only_leaves(rates=learned(), pattern='layer_1/.*')},
    'functa: latents from zero': {'family': 'modulations', 'encoder': 'constant', 'rates': learned()},
    'latents from a table': {'family': 'modulations', 'kind': 'film', 'rates': learned(shared_by='leaf')},
    'predicted start and rates': {'family': 'low_rank', 'trunk': (), 'rates': predicted(num_steps=2)},
    'heads: all weights, a rate for each layer': {'trunk': (), 'rates': learned(shared_by='leaf')},
    'shared first layers': {'family': 'private_layers', 'rates': learned()},
}

META_GRADIENTS = {
    'second order': {},
    'truncated, rematerialized': {'second_order_steps': 1, 'rematerialize': True},
    'first order': {'first_order': True},
    'Reptile': {'meta_gradient': meta_learning.reptile()},
    'second order, points by error': {'context_points': meta_learning.largest_error_points(num_points=12)},
    'second order, the other half of the points in every step': {'context_points': meta_learning.every_kth(stride=2)},
    'second order, logarithm of all errors': {
        'loss': meta_learning.log_mse(),
        'loss_steps': meta_learning.every_step(),
    },
    'plain': {'num_steps': 0},
}
EXACT_STEPS = {'truncated, rematerialized': 1, 'first order': 0, 'Reptile': 0}


def take(tree, row):
    return jax.tree.map(lambda leaf: leaf[row], tree)


def double(tree):
    convert = lambda leaf: np.asarray(leaf, np.float64) if np.issubdtype(leaf.dtype, np.floating) else np.asarray(leaf)
    return jax.tree.map(convert, tree)


def data():
    """Two datapoints: what the adaptation sees, and what it is judged on."""
    batch = double(jax.tree.map(lambda leaf: leaf[:2], parts.datapoints()))
    seen = batch._replace(weight=np.where(np.arange(48) % 3 == 0, 0, batch.weight))
    return seen, batch


def make(adaptation, meta_gradient):
    options = {'encoder': 'table'} | ADAPTATIONS[adaptation]
    return parts.make_learner(
        inr=SIREN,
        encoder=options.pop('encoder'),
        hypernetwork=options,
        **{'num_steps': NUM_STEPS, 'loss': meta_learning.mse(), 'average_decay': None} | META_GRADIENTS[meta_gradient],
    )


@functools.cache
def compiled(adaptation):
    """``init``, ``encode``, ``decode`` and the gradient of the error by the code, whatever the meta-gradient."""
    hypernetwork = make(adaptation, 'second order').hypernetwork
    slope = lambda params, code, points: jax.grad(lambda c: error(hypernetwork.decode(params, c), points))(code)
    return tuple(jax.jit(part) for part in (hypernetwork.init, hypernetwork.encode, hypernetwork.decode, slope))


def error(weights, points):
    squares = jnp.mean((SIREN.apply(weights, points.coords) - points.values) ** 2, axis=-1)
    return jnp.sum(squares * points.weight) / jnp.sum(points.weight)


judge = jax.jit(error)


def worst(weights, points, number):
    squares = np.sum((np.asarray(SIREN.apply(weights, points.coords)) - points.values) ** 2, axis=-1) * points.weight
    rows = np.argsort(-squares)[:number]
    return points._replace(coords=points.coords[rows], values=points.values[rows], weight=points.weight[rows])


def part(points, step, parts):
    rows = np.arange(48) % parts == step % parts
    return points._replace(coords=points.coords[rows], values=points.values[rows], weight=points.weight[rows])


def oracle(adaptation, meta_gradient, reference):
    """The loss as a function of the parameters, with the constants that the meta-gradient takes from ``reference``."""
    options = META_GRADIENTS[meta_gradient]
    num_steps, number = options.get('num_steps', NUM_STEPS), 12 if 'error' in meta_gradient.split() else None
    stride = 2 if 'half' in meta_gradient else 1
    _, encode, decode, slope = compiled(adaptation)

    def run(params, seen, constants):
        start = encode(params, seen)
        codes, slopes, points = [start.code], [], []
        for step in range(num_steps):
            if constants is not None and number:
                looked_at = constants[2][step]
            else:
                looked_at = part(seen, step, stride)
                looked_at = worst(decode(params, codes[-1]), seen, number) if number else looked_at
            frozen = step < num_steps - EXACT_STEPS.get(meta_gradient, num_steps)
            found = constants[1][step] if constants is not None and frozen else slope(params, codes[-1], looked_at)
            rates = jax.tree.map(lambda leaf, step=step: leaf[min(step, leaf.shape[0] - 1)], start.rates)
            codes.append(jax.tree.map(lambda c, r, g: c - r * g, codes[-1], rates, found))
            slopes.append(found)
            points.append(looked_at)
        return codes, slopes, points

    seen, judged = data()
    constants = [run(reference, take(seen, row), None) for row in range(2)]

    def loss(params):
        total = 0.0
        for row in range(2):
            if meta_gradient == 'Reptile':
                codes = constants[row][0]
                start = encode(params, take(seen, row)).code
                pulls = jax.tree.map(lambda first, last, now: np.sum((first - last) * now), codes[0], codes[-1], start)
                total += float(sum(jax.tree.leaves(pulls)))
            else:
                codes, _, _ = run(params, take(seen, row), constants[row])
            judged_codes = codes if 'loss_steps' in options else codes[-1:]
            errors = [float(judge(decode(params, code), take(judged, row))) for code in judged_codes]
            total += np.mean([np.log(value + 1e-8) if 'loss' in options else value for value in errors])
        return total / 2

    return loss


def moved(params, part, direction, size):
    return {**params, part: jax.tree.map(lambda leaf, way: leaf + size * way, params[part], direction)}


PAIRS = [
    pair for pair in itertools.product(ADAPTATIONS, META_GRADIENTS) if pair != ('functa: latents from zero', 'plain')
]
"""Latents that stay at zero modulate nothing, so that there is nothing to differentiate."""


DIAGONAL = {*zip(ADAPTATIONS, itertools.cycle(META_GRADIENTS)), *zip(itertools.cycle(ADAPTATIONS), META_GRADIENTS)}
"""Every adaptation and every meta-gradient at least once."""


@pytest.mark.parametrize(('adaptation', 'meta_gradient'), thin(PAIRS, DIAGONAL.__contains__))
def test_the_meta_gradient_is_that_of_finite_differences(adaptation, meta_gradient):
    with jax.enable_x64(True):
        learner = make(adaptation, meta_gradient)
        seen, judged = data()
        params = compiled(adaptation)[0](KEY, take(seen, 0))
        params = jax.tree.map(lambda leaf: np.asarray(leaf, np.float64) + 0.02, params)
        found, _ = jax.jit(lambda params: parts.gradient(learner, params, seen, judged, KEY))(params)
        loss, rng = oracle(adaptation, meta_gradient, params), np.random.default_rng(0)
        for part in params:
            if jax.tree.leaves(params[part]):
                direction = jax.tree.map(lambda leaf: rng.normal(size=leaf.shape), params[part])
                derivative = sum(jax.tree.leaves(jax.tree.map(lambda a, b: np.sum(a * b), found[part], direction)))
                above, below = (loss(moved(params, part, direction, size)) for size in (1e-5, -1e-5))
                quotient = (above - below) / 2e-5
                np.testing.assert_allclose(derivative, quotient, rtol=1e-5, atol=1e-9)
                still = part == 'rates' and meta_gradient in ('Reptile', 'plain')
                assert abs(quotient) > 1e-7 or still
