"""Loggers write the reports and evaluations of a run. Each file has a factory of `base.Logger`.

A run can have several loggers, and always writes ``metrics.jsonl``. The session (`hyperinr.training.session`) and the
evaluators produce the records. A logger imports its package when it opens. To add a logger, write one file with one
factory, and a test.
"""

from hyperinr.training.watching.loggers.base import Logger, OpenLogger, Record, RunFacts
from hyperinr.training.watching.loggers.console_table import console_table
from hyperinr.training.watching.loggers.group import LoggerGroup
from hyperinr.training.watching.loggers.jsonl import jsonl
from hyperinr.training.watching.loggers.picture_files import picture_files
from hyperinr.training.watching.loggers.tensorboard import tensorboard
from hyperinr.training.watching.loggers.wandb import wandb

__all__ = [
    'Logger',
    'LoggerGroup',
    'OpenLogger',
    'Record',
    'RunFacts',
    'console_table',
    'jsonl',
    'picture_files',
    'tensorboard',
    'wandb',
]
