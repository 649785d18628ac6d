"""What loggers are tested with."""

import io

import numpy as np
from rich.console import Console

from hyperinr.training.watching.evaluators import Findings
from hyperinr.training.watching.loggers import Record, RunFacts

__all__ = ['FINDINGS', 'make_facts', 'make_record']

FINDINGS = Findings(
    figures={'psnr_db': 31.5, 'bad': float('nan')},
    curves={'curve': np.array([1.0, np.inf], np.float32)},
    images={'grid': np.linspace(0, 1, 4 * 5 * 3).reshape(4, 5, 3)},
    histograms={'rates': np.array([0.5, 0.5, 2.0], np.float32)},
)


def make_facts(run_dir, *, start=0) -> RunFacts:
    hyperparameters = {'siren.width': 64, 'siren.omega_0': 30.0, 'augment': True, 'experiment.inr': '@inrs.siren'}
    console = Console(file=io.StringIO(), width=80)
    return RunFacts(run_dir, start, hyperparameters, ('validation/psnr_db',), console)


def make_record(step=4, *, kind='validation', findings=FINDINGS) -> Record:
    return Record(step, 12.5, kind, findings)
