"""Log scalars, pictures, histograms and hyperparameters to Weights & Biases, online or into a folder."""

import importlib.util
from typing import Any

from hyperinr.errors import InputError
from hyperinr.files.images import quantise
from hyperinr.training.watching.loggers.base import Logger, OpenLogger, Record, RunFacts

__all__ = ['wandb']

ID = 'wandb_id'


def wandb(
    *,
    project: str = 'hyperinr',
    entity: str | None = None,
    mode: str = 'online',
    images: bool = True,
    histograms: bool = True,
) -> Logger:
    """Log to a wandb run with the name of the run directory; a resumed run continues the same wandb run.

    Args:
      project: project of wandb.
      entity: user or team; ``None``: the account's default.
      mode: ``'online'`` or ``'offline'``. ``'offline'`` needs no network and no account; ``wandb sync`` uploads the
        run's folder ``wandb/`` later.
      images: whether to log pictures.
      histograms: whether to log histograms.

    Raises:
      InputError: the mode is unknown, or wandb is not installed.
    """
    if mode not in ('online', 'offline'):
        raise InputError(f"loggers.wandb.mode must be 'online' or 'offline', not {mode!r}.")
    if importlib.util.find_spec('wandb') is None:
        raise InputError("the logger wandb needs a package: pip install 'hyperinr[wandb]', or take the logger out.")

    def open_run(facts: RunFacts) -> OpenLogger:
        import wandb

        known = facts.run_dir / ID
        run = wandb.init(
            project=project,
            entity=entity,
            mode=mode,
            name=facts.run_dir.name,
            dir=str(facts.run_dir),
            id=known.read_text(encoding='utf-8').strip() if known.is_file() else None,
            resume='allow',
            config=dict(facts.hyperparameters),
            settings=wandb.Settings(silent=True),
        )
        known.write_text(f'{run.id}\n', encoding='utf-8')
        # The x axis is the step of the run. wandb's own step counter cannot go back after a kill.
        run.define_metric('step')
        run.define_metric('*', step_metric='step')

        def write(record: Record) -> None:
            findings = record.findings
            content: dict[str, Any] = {f'{record.kind}/{name}': value for name, value in findings.figures.items()}
            for name, picture in findings.images.items() if images else ():
                content[f'{record.kind}/{name}'] = wandb.Image(quantise(picture))
            for name, values in findings.histograms.items() if histograms else ():
                content[f'{record.kind}/histogram/{name}'] = wandb.Histogram(values)
            run.log({'step': record.step, **content})

        return OpenLogger(write, run.finish)

    return Logger('wandb', open_run)
