"""Recorded beginnings of the training of every experiment config, in its tiny form.

``python -m tests.golden_curves [NAME ...]`` records all, or those given, anew: after a deliberate change of a method,
or for a new config. Read the difference before committing it.
"""

import json
import sys
import tempfile
from pathlib import Path

from hyperinr import cli
from hyperinr.config import available
from tests.tiny_runs import overrides, own_data

__all__ = ['NUM_STEPS', 'PATH', 'experiments', 'recorded', 'train_tiny']

PATH = Path(__file__).resolve().parent / 'golden_curves.json'
NUM_STEPS = 5
LOUD = ['adam_cosine.warmup_steps=0', 'adam_cosine.learning_rate=3e-3', 'loop.train.log_every=1']
"""At the usual rate and with a warm-up, five updates would hardly show."""


def experiments() -> list[str]:
    """Names of the configs."""
    return [name for name in available() if name.startswith('experiment/')]


def recorded() -> dict[str, dict[str, list[float]]]:
    """Name -> what `train_tiny` returned."""
    return json.loads(PATH.read_text(encoding='utf-8')) if PATH.is_file() else {}


def train_tiny(name: str, folder: Path) -> dict[str, list[float]]:
    """Five updates of two datapoints into ``folder / 'run'``.

    Returns:
      ``'loss'`` of every update, and ``'psnr_db'`` of the validation after the last one.
    """
    bindings = [*overrides(name, num_steps=NUM_STEPS), *own_data(name, folder), *LOUD, 'loop.train.loggers=[]']
    params = [word for binding in bindings for word in ('-p', binding)]
    assert cli.main(['train', name, '--run', str(folder / 'run'), *params, '--debug']) == 0
    lines = [json.loads(line) for line in (folder / 'run' / 'metrics.jsonl').read_text().splitlines()]
    losses = [line['loss'] for line in lines if line['kind'] == 'train']
    return {'loss': losses, 'psnr_db': [line['psnr_db'] for line in lines if line['kind'] == 'validation'][-1]}


def main(names: list[str]) -> None:
    for name in names or experiments():
        with tempfile.TemporaryDirectory() as folder:
            curves = train_tiny(name, Path(folder))
        curves = {key: [float(f'{value:.6g}') for value in values] for key, values in curves.items()}
        known = {**recorded(), name: curves}
        lines = [f'{json.dumps(each)}: {json.dumps(known[each])}' for each in experiments() if each in known]
        PATH.write_text('{\n' + ',\n'.join(lines) + '\n}\n', encoding='utf-8')


if __name__ == '__main__':
    main(sys.argv[1:])
