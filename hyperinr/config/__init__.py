"""Read gin files into a checked, resolved configuration, and bind the hyperparameters of factories.

No other package uses gin. Gin's own parser reads the files, and this package resolves and checks the names. A misspelt
name is an error with file, line and the nearest known name. Every value is known with the line that set it. Gin gets
`Config.text`: the complete configuration, with defaults, in one canonical order. A run stores this text, compares it on
resuming, and is loaded from it.
"""

from hyperinr.config.gin_state import applied, configured
from hyperinr.config.names import available, config_root, find
from hyperinr.config.parts import describe
from hyperinr.config.reader import load_config, load_text
from hyperinr.config.values import Config, Macro, Setting

__all__ = [
    'Config',
    'Macro',
    'Setting',
    'applied',
    'available',
    'config_root',
    'configured',
    'describe',
    'find',
    'load_config',
    'load_text',
]
