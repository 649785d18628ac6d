"""Who is told what happens in a run: factories -> `base.Logger`, several of them in a run, ``metrics.jsonl`` always.

What there is to tell is found in `hyperinr.training.loop` and in the evaluators. A new logger is one file with one
factory and a test beside those of the others. The packages that loggers write with are imported when they open.
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
