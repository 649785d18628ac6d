"""Learning-rate schedules of a fit: factories ``(num_steps=) -> (step -> factor in [0, 1])``."""

import optax

from hyperinr.annotations import checked

__all__ = ['constant', 'cosine']


@checked
def constant(*, num_steps: int, warmup_steps: int = 0) -> optax.Schedule:
    """Return a schedule that is 1 after a linear warm-up from 0.

    Args:
      num_steps: steps of the fit; this schedule does not use it.
      warmup_steps: >= 0.
    """
    del num_steps
    if warmup_steps < 1:
        return optax.constant_schedule(1.0)
    return optax.linear_schedule(1 / (warmup_steps + 1), 1.0, warmup_steps)


@checked
def cosine(*, num_steps: int, warmup_steps: int = 0, final_factor: float = 0.01) -> optax.Schedule:
    """Return a linear warm-up followed by a half cosine that reaches ``final_factor`` at the last step.

    Loshchilov and Hutter, "SGDR: stochastic gradient descent with warm restarts" (2017), eq. 5.

    Args:
      num_steps: steps of the fit, warm-up included.
      warmup_steps: at most half of ``num_steps`` is used.
      final_factor: in [0, 1].
    """
    warmup = min(warmup_steps, num_steps // 2)
    first = 1.0 if warmup == 0 else 0.0
    return optax.warmup_cosine_decay_schedule(first, 1.0, warmup, max(num_steps, 1), final_factor)
