"""Optimisers and schedules for fitting neural datasets, each exchangeable on its own.

A schedule is a factory ``(num_steps=) -> (step -> factor in [0, 1])``, an optimiser a factory
``(schedule=) -> optax.GradientTransformation`` that scales its learning rate by the factor.
"""

import optax

__all__ = ['adam', 'amsgrad', 'constant', 'cosine', 'sgd']


def constant(*, num_steps: int, warmup_steps: int = 0) -> optax.Schedule:
    """1 throughout, after a linear warm-up from 0.

    Args:
      num_steps: of the fit; no part of this schedule.
      warmup_steps: >= 0.
    """
    del num_steps
    if warmup_steps < 1:
        return optax.constant_schedule(1.0)
    return optax.linear_schedule(1 / (warmup_steps + 1), 1.0, warmup_steps)


def cosine(*, num_steps: int, warmup_steps: int = 0, final_factor: float = 0.01) -> optax.Schedule:
    """A linear warm-up and a half cosine to ``final_factor`` at the last step.

    Loshchilov and Hutter, "SGDR: stochastic gradient descent with warm restarts" (2017), eq. 5.

    Args:
      num_steps: of the fit, warm-up included.
      warmup_steps: at most half of ``num_steps`` is used.
      final_factor: in [0, 1].
    """
    warmup = min(warmup_steps, num_steps // 2)
    first = 1.0 if warmup == 0 else 0.0
    return optax.warmup_cosine_decay_schedule(first, 1.0, warmup, max(num_steps, 1), final_factor)


def _scaled(schedule: optax.Schedule, rate: float) -> optax.Schedule:
    if rate <= 0:
        raise ValueError(f'learning_rate must be above 0, not {rate}.')
    return lambda step: rate * schedule(step)


def adam(
    *, schedule: optax.Schedule, learning_rate: float = 2e-3, b1: float = 0.9, b2: float = 0.999
) -> optax.GradientTransformation:
    """Adam. Kingma and Ba, "Adam: a method for stochastic optimization" (2015).

    Args:
      schedule: factor of the learning rate.
      learning_rate: > 0.
      b1: decay of the first moment.
      b2: decay of the second moment.
    """
    return optax.adam(_scaled(schedule, learning_rate), b1=b1, b2=b2)


def amsgrad(
    *, schedule: optax.Schedule, learning_rate: float = 1e-3, b1: float = 0.9, b2: float = 0.999
) -> optax.GradientTransformation:
    """AMSGrad, which never forgets a large gradient.

    Reddi, Kale and Kumar, "On the convergence of Adam and beyond" (2018), algorithm 2.

    Args:
      schedule: factor of the learning rate.
      learning_rate: > 0.
      b1: decay of the first moment.
      b2: decay of the second moment.
    """
    return optax.amsgrad(_scaled(schedule, learning_rate), b1=b1, b2=b2)


def sgd(
    *, schedule: optax.Schedule, learning_rate: float = 1e-2, momentum: float = 0.9
) -> optax.GradientTransformation:
    """Gradient descent with momentum.

    Args:
      schedule: factor of the learning rate.
      learning_rate: > 0.
      momentum: in [0, 1).
    """
    return optax.sgd(_scaled(schedule, learning_rate), momentum=momentum)
