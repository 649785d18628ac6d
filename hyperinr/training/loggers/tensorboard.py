"""Event files that TensorBoard reads: scalars, pictures, histograms and hyperparameters."""

import contextlib
from typing import Any

from hyperinr.files import disk_errors
from hyperinr.training.loggers.base import Logger, Record, RunFacts

__all__ = ['tensorboard']


def tensorboard(*, images: bool = True, histograms: bool = True, hyperparameters: bool = True) -> Logger:
    """Writes to the run's ``tensorboard/``; figures are named ``kind/figure``.

    Args:
      images: whether to write pictures.
      histograms: whether to write histograms.
      hyperparameters: whether to write the config's values, for the page HPARAMS, which compares runs by the figures of
        the evaluators.
    """
    return Logger('tensorboard', lambda facts: _Events(facts, images, histograms, hyperparameters))


class _Events:
    def __init__(self, facts: RunFacts, images: bool, histograms: bool, hyperparameters: bool):
        from tensorboardX import SummaryWriter
        from tensorboardX.summary import hparams

        folder = facts.run_dir / 'tensorboard'
        with disk_errors(folder):
            self._writer: Any = SummaryWriter(str(folder), purge_step=facts.start + 1 if facts.start else None)
        self._images, self._histograms = images, histograms
        self._end: Any = None
        if hyperparameters and facts.hyperparameters:
            # What `SummaryWriter.add_hparams` writes to a folder of its own, here into the run's own file.
            columns, values, self._end = hparams(dict(facts.hyperparameters), dict.fromkeys(facts.figures, 0.0))
            self._writer.file_writer.add_summary(columns)
            self._writer.file_writer.add_summary(values)

    def write(self, record: Record) -> None:
        findings = record.findings
        for name, value in findings.figures.items():
            self._writer.add_scalar(f'{record.kind}/{name}', value, record.step)
        for name, picture in findings.images.items() if self._images else ():
            self._writer.add_image(f'{record.kind}/{name}', picture, record.step, dataformats='HWC')
        for name, values in findings.histograms.items() if self._histograms else ():
            self._writer.add_histogram(f'{record.kind}/{name}', values, record.step)

    def close(self) -> None:
        with contextlib.suppress(OSError):
            if self._end is not None:
                self._writer.file_writer.add_summary(self._end)
            self._writer.close()
