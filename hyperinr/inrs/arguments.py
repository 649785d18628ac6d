"""What the arguments of all factories share: the check of their values, and the default of the output bias."""

__all__ = ['OUTPUT_BIAS', 'check_positive']

OUTPUT_BIAS = 0.5
"""Where the outputs of a fresh INR start: the middle of the data range [0, 1]."""


def check_positive(what: str, **values: float | None) -> None:
    """Refuse values that are not positive; ``None`` stands for a value that is not given.

    Args:
      what: has these values, as in ``'a siren'``.
      values: by the names that the caller knows.

    Raises:
      ValueError: one of ``values`` is not > 0.
    """
    wrong = [f'{name}={value}' for name, value in values.items() if value is not None and not value > 0]
    if wrong:
        raise ValueError(f'{what} needs positive values (sizes of at least 1), not {", ".join(wrong)}.')
