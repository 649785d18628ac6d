"""Schedules against their formulas."""

import numpy as np

from hyperinr.fitting import rate_schedules


def test_schedules_are_their_formulas():
    assert rate_schedules.constant(num_steps=9)(5) == 1
    warm = rate_schedules.constant(num_steps=9, warmup_steps=4)
    np.testing.assert_allclose([warm(step) for step in range(6)], [0.2, 0.4, 0.6, 0.8, 1, 1], rtol=1e-6)
    falling = rate_schedules.cosine(num_steps=10, final_factor=0.1)
    expected = [0.1 + 0.9 * (1 + np.cos(np.pi * step / 10)) / 2 for step in range(11)]
    np.testing.assert_allclose([falling(step) for step in range(11)], expected, atol=1e-6)
