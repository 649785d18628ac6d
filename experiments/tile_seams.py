"""Seams between the tiles of a signal: how much more the error jumps across their edges than elsewhere.

``python -m experiments.tile_seams --run RUN FILE [--steps N ...] [--overlap N ...]``. 1 is no seam.
"""

import argparse
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from experiments.study import format_table
from hyperinr.errors import InputError
from hyperinr.runtime.environment import set_environment

__all__ = ['main', 'seam_ratio']


def seam_ratio(error: np.ndarray, tile: Sequence[int], overlap: int) -> float:
    """Return the mean jump of an error ``[*shape, C]`` between neighbours across edges of tiles, over that elsewhere.

    Args:
      error: reconstruction minus signal.
      tile: samples of a tile along each axis.
      overlap: samples that neighbouring tiles share.
    """
    from hyperinr.own_files.tiling import starts_of

    edges, others = [], []
    starts = starts_of(error.shape[:-1], tile, overlap)
    for axis, size in enumerate(tile):
        jumps = np.moveaxis(np.abs(np.diff(error, axis=axis)), axis, 0)
        first = np.asarray(starts[axis])
        # A tile's edges lie before its first sample and after its last.
        is_edge = np.isin(np.arange(len(jumps)), [*(first - 1), *(first + size - 1)])
        edges.append(jumps[is_edge].ravel())
        others.append(jumps[~is_edge].ravel())
    return float(np.concatenate(edges).mean() / np.concatenate(others).mean())


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line."""
    set_environment()
    parser = argparse.ArgumentParser(prog='python -m experiments.tile_seams', description=__doc__)
    parser.add_argument('--run', required=True, metavar='DIR', help='a trained run')
    parser.add_argument('file', type=Path, metavar='FILE', help='a file that its model takes')
    parser.add_argument('--steps', type=int, nargs='+', default=[2, 10], metavar='N')
    parser.add_argument('--overlap', type=int, nargs='+', default=[0, 2, 4, 8], metavar='N')
    options = parser.parse_args(arguments)
    try:
        rows = _measured(options)
    except InputError as error:
        parser.exit(2, f'{parser.prog}: error: {error}\n')
    print(format_table(['steps', 'overlap', 'PSNR', 'seam'], rows))


def _measured(options: argparse.Namespace) -> list[list[str]]:
    import hyperinr
    from hyperinr import metrics
    from hyperinr.own_files.generation import fit_tiles
    from hyperinr.own_files.model_signals import kind_for, prepare, read_for

    model = hyperinr.load(options.run)
    signal = read_for(model, options.file, kind_for(model, options.file), {})
    rows = []
    for steps in options.steps:
        for overlap in options.overlap:
            prepared = prepare(model, signal, tile=True, overlap=overlap)
            _, values = fit_tiles(model, prepared, steps)
            psnr = metrics.psnr_from_mse(np.mean((values - signal.values) ** 2), model.spec.data_range)
            seam = seam_ratio(values - signal.values, prepared.tile or (), overlap)
            rows.append([str(steps), str(overlap), f'{float(psnr):.1f}', f'{seam:.2f}'])
    return rows


if __name__ == '__main__':
    main()
