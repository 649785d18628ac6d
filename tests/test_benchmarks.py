"""The systems that the fitting benchmark compares solve one and the same problem."""

import jax
import numpy as np
import pytest

from benchmarks import communication, fitting_systems
from benchmarks.fitting_problem import Cell, grid, psnr_db, targets
from hyperinr import coordinates

CELL = Cell(width=16, depth=2, points=64, inrs=3, steps=15)


@pytest.fixture(scope='module')
def expected():
    run, mse = fitting_systems.hyperinr(CELL)
    run()
    return mse()


@pytest.mark.parametrize('system', ['usual JAX', 'PyTorch eager'])
def test_every_system_reaches_the_same_errors(system, expected, monkeypatch):
    if system == 'PyTorch eager':
        pytest.importorskip('torch')
    # Two batches, the second one smaller.
    monkeypatch.setattr(fitting_systems, 'at_once', lambda cell: 2)
    with jax.numpy_rank_promotion('allow'):
        run, mse = fitting_systems.SYSTEMS[system](CELL)
        run()
    np.testing.assert_allclose(mse(), expected, rtol=1e-2)
    assert abs(psnr_db(mse()) - psnr_db(expected)) < 0.1


def test_a_ring_takes_what_its_messages_take():
    assert communication.ring_ms(1000, 1, 1e6, 1.0) == 0
    # Four processes: six messages of 250 floats, each 1 ms of transfer and 2 ms of latency.
    assert communication.ring_ms(1000, 4, 1e6, 2e-3) == pytest.approx(6 * (1 + 2))


def test_the_problem_is_what_it_says():
    np.testing.assert_allclose(grid(64), coordinates.grid((8, 8)))
    values = targets(CELL)
    assert values.shape == (3, 64, 1)
    assert values.min() >= 0
    assert values.max() <= 1
    assert values.std(axis=1).min() > 0.05
    # Weights 2 x 16, 16 x 16 and 16 x 1: forward, their gradients, and the activations' but for the coordinates'.
    assert CELL.flops == 3 * 15 * 2 * 64 * (2 * 32 + 3 * 256 + 3 * 16)
    assert psnr_db(np.array([1e-2, 1e-4])) == pytest.approx(30)
