"""The linear code: how well so many principal components describe the signals of a dataset that training did not see.

``python -m experiments.linear_code CONFIG [-p NAME=VALUE ...] [--numbers N ...]``. The components are those of the
training split, without weights. They are the baseline of every code of a fixed length, such as a latent of functa.
"""

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from experiments.study import format_table, write_study
from hyperinr.errors import InputError
from hyperinr.runtime.environment import set_environment

__all__ = ['components', 'main', 'psnr_of_codes']

NAME = 'linear_code'


def components(values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the mean ``[V]`` of signals ``[n, V]`` and their principal axes ``[V, V]``, one a row, largest first."""
    mean = values.mean(axis=0, dtype=np.float64)
    centred = (values - mean).astype(np.float32)
    _, axes = np.linalg.eigh(centred.T @ centred)
    return mean, axes.T[::-1]


def psnr_of_codes(
    values: np.ndarray, mean: np.ndarray, axes: np.ndarray, numbers: Sequence[int], data_range: tuple[float, float]
) -> np.ndarray:
    """Return the PSNR in dB, ``[B, len(numbers)]``, of signals ``[B, V]`` that are projected on the first axes."""
    low, high = data_range
    found = []
    for number in numbers:
        kept = axes[:number]
        error = np.mean(np.square((values - mean) - (values - mean) @ kept.T @ kept), axis=1)
        found.append(10 * np.log10((high - low) ** 2 / np.maximum(error, np.finfo(np.float32).tiny)))
    return np.stack(found, axis=1)


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line."""
    set_environment()
    parser = argparse.ArgumentParser(prog=f'python -m experiments.{NAME}', description=__doc__)
    parser.add_argument('config', metavar='CONFIG', help='gin file of an experiment with this dataset')
    parser.add_argument('-p', '--param', action='append', default=[], metavar='NAME=VALUE', help='override a value')
    parser.add_argument('--numbers', type=int, nargs='+', default=[64, 128, 256, 512], metavar='N')
    parser.add_argument('--datapoints', type=int, default=250, metavar='N', help='of the test split (250)')
    parser.add_argument('--out', type=Path, default=Path('runs') / NAME, help='table and JSON')
    options = parser.parse_args(arguments)
    try:
        about, rows = _measured(options)
    except InputError as error:
        parser.exit(2, f'{parser.prog}: error: {error}\n')
    show = lambda row: [str(row['numbers']), f'{row["psnr_db"]:.1f}', row['shown']]
    text = format_table(['numbers', 'PSNR', '95 %'], [show(row) for row in rows])
    options.out.mkdir(parents=True, exist_ok=True)
    (options.out / f'{NAME}.md').write_text(text + '\n', encoding='utf-8')
    write_study(options.out / f'{NAME}.json', about, rows)
    print(text)


def _measured(options: argparse.Namespace) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    from hyperinr import config, library
    from hyperinr.datasets.base import select
    from hyperinr.evaluation.measurement import interval

    with config.applied(config.load_config(options.config, options.param)):
        dataset = library.compose().dataset()
    train, test = dataset.splits['train'], dataset.splits['test']
    size = int(np.prod(train[0].values.shape))
    if not all(1 <= number <= size for number in options.numbers):
        raise InputError(f'--numbers {options.numbers}: a signal here has {size} values; give numbers from 1 to that.')
    learned = np.stack([train[index].values.reshape(-1) for index in range(len(train))])
    chosen, positions = select(dataset, 'test', options.datapoints)
    psnr = psnr_of_codes(
        chosen.values.reshape(len(positions), -1), *components(learned), options.numbers, dataset.spec.data_range
    )
    ends = interval(psnr, [test.origin(position) for position in positions])
    rows = [
        {
            'numbers': number,
            'psnr_db': float(psnr[:, column].mean()),
            'shown': '-' if ends is None else f'{ends[0, column]:.1f}–{ends[1, column]:.1f}',
        }
        for column, number in enumerate(options.numbers)
    ]
    return {'dataset': dataset.spec.name, 'num_train': len(train), 'num_test': len(positions)}, rows


if __name__ == '__main__':
    main()
