"""Outer optimisers: factories ``(num_steps) -> optax.GradientTransformation``."""

import optax

from hyperinr.annotations import checked
from hyperinr.fitting.rate_schedules import cosine

__all__ = ['adam_cosine']


@checked
def adam_cosine(
    *,
    num_steps: int,
    learning_rate: float = 3e-4,
    warmup_steps: int = 50,
    final_fraction: float = 0.01,
    clip_norm: float | None = 1.0,
    b1: float = 0.9,
    b2: float = 0.99,
    weight_decay: float = 0.0,
) -> optax.GradientTransformation:
    """Return AdamW after clipping by the global norm, with a linear warm-up and a cosine decay.

    Kingma and Ba, "Adam" (2015); Loshchilov and Hutter, "Decoupled weight decay regularization" (2019) and "SGDR"
    (2017), eq. 5, for the cosine.

    Args:
      num_steps: steps of the whole schedule, warm-up included.
      learning_rate: the peak of the schedule.
      warmup_steps: steps from zero to the peak; at most half of ``num_steps`` is used.
      final_fraction: learning rate at the end, as a fraction of the peak.
      clip_norm: global norm above which the gradient is scaled down; ``None``: no clipping.
      b1: decay of the first moment.
      b2: decay of the second moment.
      weight_decay: decoupled, per unit of learning rate.
    """
    # The schedule is a fraction of the peak, because optax branches on the peak and a search may pass a traced array.
    fraction = cosine(num_steps=num_steps, warmup_steps=warmup_steps, final_factor=final_fraction)
    clip = optax.clip_by_global_norm(clip_norm) if clip_norm is not None else optax.identity()
    return optax.chain(
        clip, optax.adamw(lambda count: learning_rate * fraction(count), b1=b1, b2=b2, weight_decay=weight_decay)
    )
