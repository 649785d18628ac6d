"""Arguments that all factories share: the check of their values, and the default output bias."""

__all__ = ['OUTPUT_BIAS', 'check_positive']

OUTPUT_BIAS = 0.5
"""Output of a fresh INR on average: the middle of the data range [0, 1]."""


def check_positive(what: str, **values: float | None) -> None:
    """Raise ValueError for values that are not positive; ``None`` stands for a value that is not given.

    Args:
      what: the owner of the values, such as ``'a siren'``.
      values: values by their names for the user.

    Raises:
      ValueError: one of ``values`` is not > 0.
    """
    wrong = [f'{name}={value}' for name, value in values.items() if value is not None and not value > 0]
    if wrong:
        raise ValueError(f'{what} needs positive values (sizes of at least 1), not {", ".join(wrong)}.')
