"""Handing a configuration to gin for a while, and giving gin back as it was."""

import contextlib
from collections.abc import Callable, Iterator
from typing import Any

import gin
from gin import config as gin_config

from hyperinr.config.values import Config

__all__ = ['applied', 'configured']


@contextlib.contextmanager
def applied(config: Config) -> Iterator[None]:
    """Inside the block gin holds exactly ``config``, and afterwards what it held before, a user's own state included.

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
    """``function`` with the parameters bound that the applied config sets for it; itself where it sets none."""
    try:
        return gin.get_configurable(function)
    except (KeyError, ValueError):
        return function


def _gin_state() -> tuple[Any, ...]:
    return (
        dict(gin_config._CONFIG),
        set(gin_config._IMPORTS),
        dict(gin_config._OPERATIVE_CONFIG),
        dict(gin_config._SINGLETONS),
        dict(gin_config._REGISTRY.items()),
        dict(gin_config._INVERSE_REGISTRY),
        gin_config.config_is_locked(),
    )


def _restore_gin_state(saved: tuple[Any, ...]) -> None:
    bindings, imports, operative, singletons, registry, inverse, locked = saved
    stores = (gin_config._CONFIG, gin_config._IMPORTS, gin_config._OPERATIVE_CONFIG, gin_config._SINGLETONS)
    for store, content in zip(stores, (bindings, imports, operative, singletons), strict=True):
        store.clear()
        store.update(content)
    for selector in [selector for selector, _ in gin_config._REGISTRY.items() if selector not in registry]:
        gin_config._REGISTRY.pop(selector)
    for function in [function for function in gin_config._INVERSE_REGISTRY if function not in inverse]:
        del gin_config._INVERSE_REGISTRY[function]
    gin_config._set_config_is_locked(locked)
