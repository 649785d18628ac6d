"""Arguments that several commands share."""

import argparse
import math
from collections.abc import Callable
from typing import Any

__all__ = [
    'FIT_ON_MEMORY',
    'AddVerb',
    'add_config',
    'add_params',
    'add_run',
    'add_trust',
    'finite_number',
    'option',
    'whole_number',
]

AddVerb = Callable[[str, Callable[[argparse.Namespace], None], str], argparse.ArgumentParser]
"""``(name, function, summary) -> parser``: declares a command that calls the function."""


FIT_ON_MEMORY = 'lower neural_dataset.num_parallel, the resolution of the signals or the size of the INR'
"""What to do where the fits of a neural dataset run out of memory."""


def option(command: Any, flag: str, metavar: str, help: str, default: Any = None, **more: Any) -> None:
    """Declare an option that takes one value. Its help ends with its default, if there is one.

    Args:
      command: parser of the command, or a group of its arguments.
      flag: name such as ``'--num-steps'``.
      metavar: name of the value in the help.
      help: help text without the default.
      default: default, which also gives the type; ``None``: no default, and a string.
      more: further arguments of ``add_argument``.
    """
    if default is not None:
        help, more = f'{help} (default: {default})', {'type': type(default), **more}
    kind: Any = more.get('type')
    more['type'] = {int: whole_number, float: finite_number}.get(kind, kind)
    command.add_argument(flag, metavar=metavar, help=help, default=default, **more)


def whole_number(text: str) -> int:
    """Return the whole number of 32 bits that ``text`` states."""
    try:
        number = int(text)
    except ValueError:
        number = None
    if number is None or abs(number) >= 2**31:
        raise argparse.ArgumentTypeError(f'must be a whole number of 32 bits, not {text!r}')
    return number


def finite_number(text: str) -> float:
    """Return the finite number that ``text`` states."""
    try:
        number = float(text)
    except ValueError:
        number = math.nan
    if not math.isfinite(number):
        raise argparse.ArgumentTypeError(f'must be a finite number, not {text!r}')
    return number


def add_config(command: argparse.ArgumentParser, **more: Any) -> None:
    more = {'help': 'a gin file, or the name of one that comes with hyperinr'} | more
    command.add_argument('config', metavar='CONFIG', **more)


def add_params(command: argparse.ArgumentParser) -> None:
    help = 'override a value of the config, e.g. -p NUM_STEPS=100 or -p siren.width=32; repeatable'
    command.add_argument('-p', '--param', metavar='BINDING', action='append', default=[], help=help)


def add_run(command: argparse.ArgumentParser) -> None:
    """Declare ``--run`` and ``--best``, which choose a trained model."""
    option(command, '--run', 'DIR', 'run directory of `hyperinr train`', required=True)
    command.add_argument('--best', action='store_true', help='use the best checkpoint of the run')
    add_trust(command)


def add_trust(command: argparse.ArgumentParser) -> None:
    help = 'let the config of a run or store name any Python function (default: parts of hyperinr alone; SECURITY.md)'
    command.add_argument('--trust', action='store_true', help=help)
