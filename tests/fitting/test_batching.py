"""However a fit is cut into calls, it is the fit that double precision makes, one INR at a time."""

import types

import jax
import numpy as np
import optax
import pytest

from hyperinr import fitting, inrs
from hyperinr import weights as weights_lib
from hyperinr.fitting import batching as batching_lib
from hyperinr.fitting import programs
from hyperinr.fitting.batching import Batching, FitShape, bytes_kept_per_point, bytes_per_inr, choose_batching
from tests.exhaustive import thin
from tests.fitting.problems import SIREN, adam_in_double_precision, batch, starts, take

ADAM = optax.adam(2e-3)
WAYS = {
    'automatic': None,
    'one device, padded tail': Batching('mapped', 2, 1),
    'two devices': Batching('mapped', 1, 2),
    'all at once': Batching('vmapped', 5, 1),
    'all at once, in chunks': Batching('vmapped', 2, 2),
    'rows that are refilled': Batching('vmapped', 2, 1, steps_per_round=7),
    'fused kernel': Batching('vmapped', 5, 1, kernel='pallas'),
}


@pytest.fixture(scope='module')
def reference():
    weights, datapoints = starts(SIREN, 5), batch(5)
    rows = [
        adam_in_double_precision(take(weights, row), take(datapoints, row), num_steps=20, learning_rate=2e-3)
        for row in range(5)
    ]
    return weights, datapoints, jax.tree.map(lambda *leaves: np.stack(leaves), *rows)


@pytest.mark.parametrize('way', thin(WAYS, lambda way: way in list(WAYS)[:1]))
def test_every_way_agrees_with_double_precision(way, reference):
    weights, datapoints, (expected, errors) = reference
    result = fitting.fit(SIREN, weights, datapoints, optimizer=ADAM, num_steps=20, batching=WAYS[way])
    np.testing.assert_allclose(result.mse, errors, rtol=2e-4)
    # Twenty steps of 2e-3 move a weight by up to 0.04.
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, atol=2e-5), dict(result.weights), expected)
    assert result.status.tolist() == [fitting.Status.OK] * 5
    assert result.num_steps.tolist() == [20] * 5


def test_a_padded_tail_and_another_number_of_inrs_compile_nothing():
    traces = []

    def apply(weights, coords):
        traces.append(1)
        return SIREN.apply(weights, coords)

    inr, way = SIREN._replace(apply=apply), Batching('mapped', 2, 2)
    weights, datapoints = starts(SIREN, 9), batch(9)

    def run(number, **options):
        few = take((weights, datapoints), slice(number))
        fitting.fit(inr, *few, optimizer=ADAM, num_steps=3, batching=way, **options)

    run(4)
    first = len(traces)
    for number in (1, 3, 9):
        run(number)
    run(2, target_psnr=9.0, data_range=(0.0, 1.0))
    assert len(traces) == first > 0


def test_the_starts_given_stay_valid():
    weights = jax.tree.map(jax.numpy.asarray, starts(SIREN, 2))
    before = jax.tree.map(np.array, weights)
    fitting.fit(SIREN, weights, batch(2), optimizer=ADAM, num_steps=2)
    jax.tree.map(np.testing.assert_array_equal, jax.tree.map(np.asarray, weights), before)


@pytest.mark.exhaustive
def test_memory_is_that_of_the_group_whatever_the_number_of_inrs(monkeypatch):
    """The compiled calls of 3 and of 30 INRs are the same one, and none sees more rows than its group."""
    seen = []
    run = programs.run_whole

    def spy(program, batch, numbers):
        seen.append(batch.flat.shape[0])
        return run(program, batch, numbers)

    monkeypatch.setattr('hyperinr.fitting.schedule.run_whole', spy)
    for number in (3, 30):
        fitting.fit(
            SIREN, starts(SIREN, number), batch(number), optimizer=ADAM, num_steps=1, batching=Batching('mapped', 4, 2)
        )
    assert seen == [8] + [8] * 4


@pytest.mark.parametrize(
    ('platform', 'devices', 'num_inrs', 'expected'),
    [
        ('cpu', 2, 1, ('mapped', 1, 1)),
        ('cpu', 2, 3, ('mapped', 2, 2)),
        ('cpu', 2, 10_000, ('mapped', 64, 2)),
        ('gpu', 1, 2_000, ('vmapped', 2_000, 1)),
        ('gpu', 4, 10, ('vmapped', 3, 4)),
    ],
)
def test_the_automatic_choice(platform, devices, num_inrs, expected):
    chosen = choose_batching(platform, devices, FitShape(num_inrs, 8707, 1024, 6, 500, 1536), memory=2**36)
    assert chosen[:3] == expected
    assert str(devices if devices <= num_inrs else num_inrs) in chosen.reason
    assert (chosen.kernel, chosen.steps_per_round) == ('xla', None)
    batching_lib.check_batching(chosen, devices)


def test_an_accelerators_group_fits_its_memory_and_a_target_needs_rounds():
    shape = FitShape(20_000, 8707, 1024, 6, 500, 1536, has_target=True)
    chosen = choose_batching('gpu', 1, shape, memory=2**30, fused=True)
    assert 0.9 * 2**29 < chosen.group_size * bytes_per_inr(shape) <= 2**29
    assert chosen.steps_per_round == 50
    assert chosen.kernel == 'pallas'
    assert bytes_per_inr(shape._replace(num_recorded=3)) - bytes_per_inr(shape) == 3 * 4 * 8707


WIDE = {'width': 64, 'depth': 3}


@pytest.mark.parametrize(
    ('inr', 'numbers'),
    [
        # Coordinates; of each hidden unit the sine and its derivative.
        (inrs.siren(channels=3, **WIDE), 2 + 2 * 64 * 3),
        # A position for each corner of the cell, an index and a factor.
        (inrs.feature_grid(channels=3), 4 + 4),
    ],
)
def test_what_a_step_keeps_of_a_point_is_read_from_the_function(inr, numbers):
    assert bytes_kept_per_point(inr.apply, weights_lib.spec_of_inr(inr, 2), 2) == 4 * numbers


def test_a_complex_inr_takes_smaller_groups_than_a_siren_of_its_size(monkeypatch):
    gpu = types.SimpleNamespace(platform='gpu', memory_stats=lambda: {'bytes_limit': 2**30, 'bytes_in_use': 0})
    monkeypatch.setattr(jax, 'local_devices', lambda: [gpu])
    group = {}
    for make in (inrs.siren, inrs.wire):
        inr, data = make(channels=3, **WIDE), batch(2, side=32)
        data = jax.tree.map(lambda leaf: np.broadcast_to(leaf[:1], (9999, *leaf.shape[1:])), data)
        weights = jax.tree.map(lambda leaf: np.broadcast_to(leaf, (9999, *leaf.shape)), inr.init(jax.random.key(0), 2))
        group[make] = fitting.automatic_batching(inr, weights, data, rules=fitting.FitRules(10)).group_size
    assert 3 < group[inrs.siren] / group[inrs.wire] < 5


@pytest.mark.parametrize(
    'wrong',
    [
        Batching('sorted', 1, 1),
        Batching('mapped', 0, 1),
        Batching('mapped', 1, 99),
        Batching('mapped', 1, 1, steps_per_round=3),
        Batching('vmapped', 1, 1, kernel='magic'),
    ],
)
def test_what_cannot_run_is_refused(wrong):
    with pytest.raises(ValueError, match='must be|is mapped or'):
        fitting.fit(SIREN, starts(SIREN, 1), batch(1), optimizer=ADAM, num_steps=1, batching=wrong)
