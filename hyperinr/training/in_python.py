"""Placeholders in the config of a run for what was made in Python and has no name that a config could give.

`hyperinr.train` writes them. Each raises, when it is called, an error that says how to go on.
"""

from typing import Any, NoReturn

from hyperinr.errors import InputError

__all__ = ['dataset', 'encoder', 'hypernetwork', 'inr', 'learner', 'optimizer']


def dataset(*, origin: str = '') -> NoReturn:
    """Stand for a dataset in memory; ``origin`` names what made it."""
    del origin
    raise InputError(
        'the data of this run were given in Python, and its config cannot name them: measure the model there, with '
        'hyperinr.evaluation.curves.evaluate(model, dataset).'
    )


def inr(*, origin: str, channels: Any) -> NoReturn:
    """Stand for the factory ``origin`` of an INR."""
    _raise('inr', origin)


def encoder(*, origin: str, spec: Any) -> NoReturn:
    """Stand for the factory ``origin`` of an encoder."""
    _raise('encoder', origin)


def hypernetwork(*, origin: str, inr: Any, encoder: Any) -> NoReturn:
    """Stand for the factory ``origin`` of a hypernetwork."""
    _raise('hypernetwork', origin)


def learner(*, origin: str, hypernetwork: Any, inr: Any, optimizer: Any, data_range: Any) -> NoReturn:
    """Stand for the factory ``origin`` of a meta-learner."""
    _raise('learner', origin)


def optimizer(*, origin: str, num_steps: Any) -> NoReturn:
    """Stand for the factory ``origin`` of an outer optimiser."""
    _raise('optimizer', origin)


def _raise(part: str, origin: str) -> NoReturn:
    raise InputError(
        f'the {part} of this model, {origin}, was made in Python, and its config cannot name it: give it again, '
        f'hyperinr.load(folder, {part}=...).'
    )
