"""Write event files for TensorBoard: scalars, pictures, histograms and hyperparameters."""

import contextlib
import functools
from typing import Any

from hyperinr.runtime.files import disk_errors
from hyperinr.training.watching.loggers.base import Logger, OpenLogger, Record, RunFacts

__all__ = ['tensorboard']


def tensorboard(*, images: bool = True, histograms: bool = True, hyperparameters: bool = True) -> Logger:
    """Write to the run's ``tensorboard/``; figures are named ``kind/figure``.

    Args:
      images: whether to write pictures.
      histograms: whether to write histograms.
      hyperparameters: whether to write the config's values. The page HPARAMS then compares runs by the figures of the
        evaluators.
    """

    def open_events(facts: RunFacts) -> OpenLogger:
        folder = facts.run_dir / 'tensorboard'
        with disk_errors(folder):
            folder.mkdir(parents=True, exist_ok=True)

        @functools.cache
        def events() -> tuple[Any, Any]:
            """Return the writer, and the summary that ends the page HPARAMS. The package takes a second to import."""
            from tensorboardX import SummaryWriter
            from tensorboardX.summary import hparams

            with disk_errors(folder):
                writer = SummaryWriter(str(folder), purge_step=facts.start + 1 if facts.start else None)
            if not (hyperparameters and facts.hyperparameters):
                return writer, None
            # `SummaryWriter.add_hparams` would write these to a separate folder; here they go into the run's file.
            columns, values, end = hparams(dict(facts.hyperparameters), dict.fromkeys(facts.figures, 0.0))
            writer.file_writer.add_summary(columns)
            writer.file_writer.add_summary(values)
            return writer, end

        def write(record: Record) -> None:
            (writer, _), findings = events(), record.findings
            for name, value in findings.figures.items():
                writer.add_scalar(f'{record.kind}/{name}', value, record.step)
            for name, picture in findings.images.items() if images else ():
                writer.add_image(f'{record.kind}/{name}', picture, record.step, dataformats='HWC')
            for name, values in findings.histograms.items() if histograms else ():
                writer.add_histogram(f'{record.kind}/{name}', values, record.step)

        def close() -> None:
            writer, end = events()
            with contextlib.suppress(OSError):
                if end is not None:
                    writer.file_writer.add_summary(end)
                writer.close()

        return OpenLogger(write, close)

    return Logger('tensorboard', open_events)
