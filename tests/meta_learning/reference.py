"""Oracles in double-precision NumPy."""

from collections.abc import Sequence

import numpy as np

__all__ = ['adam']


def adam(
    gradients: Sequence[np.ndarray],
    start: np.ndarray,
    rates: Sequence[float],
    *,
    b1: float,
    b2: float,
    weight_decay: float = 0.0,
    clip_norm: float | None = None,
    amsgrad: bool = False,
) -> np.ndarray:
    """AdamW from its paper; ``[steps + 1, P]``, the parameters after 0, 1, ... of the given gradients.

    With ``amsgrad`` the (bias-corrected) second moment never falls.
    """
    first = second = largest = np.zeros_like(start, np.float64)
    path = [np.asarray(start, np.float64)]
    for step, (gradient, rate) in enumerate(zip(gradients, rates, strict=True), 1):
        gradient = np.asarray(gradient, np.float64)
        if clip_norm is not None:
            gradient = gradient * min(1, clip_norm / np.linalg.norm(gradient))
        first = b1 * first + (1 - b1) * gradient
        second = b2 * second + (1 - b2) * gradient**2
        corrected = second / (1 - b2**step)
        largest = np.maximum(largest, corrected) if amsgrad else corrected
        direction = (first / (1 - b1**step)) / (np.sqrt(largest) + 1e-8)
        path.append(path[-1] - rate * (direction + weight_decay * path[-1]))
    return np.array(path)
