"""Apply a configuration to gin for a while, and restore gin's state."""

import contextlib
from collections.abc import Callable, Iterator
from typing import Any

import gin
from gin import config as gin_config

from hyperinr.config.values import Config

__all__ = ['applied', 'configured']

TABLES = ('_CONFIG', '_OPERATIVE_CONFIG', '_SINGLETONS', '_REGISTRY', '_INVERSE_REGISTRY')
"""Gin's tables: bindings, used bindings, singletons, functions by name, and names by function."""


@contextlib.contextmanager
def applied(config: Config) -> Iterator[None]:
    """Apply ``config`` to gin for the block. Afterwards gin has its earlier state, including a user's own bindings.

    Gin reads values when a factory is called, so call everything that depends on the config inside the block.
    """
    saved = {name: dict(getattr(gin_config, name).items()) for name in TABLES}
    imports, locked = set(gin_config._IMPORTS), gin.config_is_locked()
    try:
        gin.clear_config()
        gin.parse_config(config.text)
        gin.finalize()
        yield
    finally:
        for name, content in saved.items():
            table = getattr(gin_config, name)
            table.clear()
            for key, value in content.items():
                table[key] = value
        gin_config._IMPORTS.clear()
        gin_config._IMPORTS.update(imports)
        gin_config._set_config_is_locked(locked)


def configured(function: Callable[..., Any]) -> Callable[..., Any]:
    """Return ``function`` with its parameters bound as in the applied config; unchanged if the config sets none."""
    try:
        return gin.get_configurable(function)
    except (KeyError, ValueError):
        return function
