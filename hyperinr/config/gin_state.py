"""Handing a configuration to gin for a while, and giving gin back as it was."""

import contextlib
from collections.abc import Callable, Iterator
from typing import Any

import gin
from gin import config as gin_config

from hyperinr.config.values import Config

__all__ = ['applied', 'configured']

TABLES = ('_CONFIG', '_OPERATIVE_CONFIG', '_SINGLETONS', '_REGISTRY', '_INVERSE_REGISTRY')
"""Gin's bindings, what was used of them, singletons, and functions that gin knows by name and the reverse."""


@contextlib.contextmanager
def applied(config: Config) -> Iterator[None]:
    """Hand ``config`` to gin for the block; afterwards gin holds what it held before, a user's own state included.

    Values are read when a factory is called: call all that depends on the config inside.
    """
    saved = _gin_state()
    try:
        gin.clear_config()
        gin.parse_config(config.text)
        gin.finalize()
        yield
    finally:
        _restore_gin_state(saved)


def configured(function: Callable[..., Any]) -> Callable[..., Any]:
    """Return ``function`` with the parameters bound that the applied config sets; itself where it sets none."""
    try:
        return gin.get_configurable(function)
    except (KeyError, ValueError):
        return function


def _gin_state() -> tuple[Any, ...]:
    return (
        *(dict(getattr(gin_config, name).items()) for name in TABLES),
        set(gin_config._IMPORTS),
        gin.config_is_locked(),
    )


def _restore_gin_state(saved: tuple[Any, ...]) -> None:
    *tables, imports, locked = saved
    for name, content in zip(TABLES, tables, strict=True):
        table = getattr(gin_config, name)
        table.clear()
        for key, value in content.items():
            table[key] = value
    gin_config._IMPORTS.clear()
    gin_config._IMPORTS.update(imports)
    gin_config._set_config_is_locked(locked)
