"""Apply a configuration to gin for a while, and restore gin's state."""

import contextlib
from collections.abc import Callable, Iterator
from typing import Any, NoReturn

import gin
from gin import config as gin_config

from hyperinr.config.values import Config

__all__ = ['applied', 'configured']

TABLES = ('_CONFIG', '_OPERATIVE_CONFIG', '_SINGLETONS', '_REGISTRY', '_INVERSE_REGISTRY')
"""Gin's tables: bindings, used bindings, singletons, functions by name, and names by function."""


@contextlib.contextmanager
def applied(config: Config) -> Iterator[None]:
    """Apply ``config`` to gin for the block. Afterwards gin has its earlier state, including a user's own bindings.

    In the block an error of a factory stays as it is: gin would hide it behind a copy with more lines and without the
    attributes of an ``OSError``. Gin reads values when a factory is called, so call everything that depends on the
    config inside the block.
    """
    saved = {name: dict(getattr(gin_config, name).items()) for name in TABLES}
    imports, locked = set(gin_config._IMPORTS), gin.config_is_locked()
    augment = gin_config.utils.augment_exception_message_and_reraise
    try:
        gin_config.utils.augment_exception_message_and_reraise = _raise
        gin.clear_config()
        gin.parse_config(config.text)
        gin.finalize()
        yield
    finally:
        gin_config.utils.augment_exception_message_and_reraise = augment
        for name, content in saved.items():
            table = getattr(gin_config, name)
            table.clear()
            for key, value in content.items():
                table[key] = value
        gin_config._IMPORTS.clear()
        gin_config._IMPORTS.update(imports)
        gin_config._set_config_is_locked(locked)


def _raise(error: Exception, _: str) -> NoReturn:
    raise error


def configured(function: Callable[..., Any]) -> Callable[..., Any]:
    """Return ``function`` with its parameters bound as in the applied config; unchanged if the config sets none."""
    try:
        return gin.get_configurable(function)
    except (KeyError, ValueError):
        return function
