"""Who is told what happens in a run: factories -> `base.Logger`, several of them in a run, ``metrics.jsonl`` always.

What there is to tell is found in `hyperinr.training.loop` and `hyperinr.training.evaluators`. A new logger is one file
with one factory and a test in ``tests/training/loggers``. The packages that loggers write with are imported when they
open.
"""

from hyperinr.training.loggers.base import Logger, OpenLogger, Record, RunFacts
from hyperinr.training.loggers.console_table import console_table
from hyperinr.training.loggers.group import LoggerGroup
from hyperinr.training.loggers.jsonl import jsonl
from hyperinr.training.loggers.picture_files import picture_files
from hyperinr.training.loggers.tensorboard import tensorboard
from hyperinr.training.loggers.wandb import wandb

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
