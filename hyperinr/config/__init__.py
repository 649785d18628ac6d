"""Gin files -> a checked, resolved configuration -> factories with their hyperparameters bound.

The only package that touches gin. Gin's own parser reads the files; names are resolved and checked here, so that a
misspelt one is an error with file, line and the nearest right one, and every value is known with the line that set it.
What gin is handed in the end is `Config.text`: the complete configuration, with defaults, in one canonical order. The
same text is what a run stores, compares on resuming and is loaded from.
"""

from hyperinr.config.gin_state import applied, configured
from hyperinr.config.names import available, config_root, find
from hyperinr.config.reader import load_config
from hyperinr.config.values import Config, Macro, Setting

__all__ = ['Config', 'Macro', 'Setting', 'applied', 'available', 'config_root', 'configured', 'find', 'load_config']
