"""Compare all INR families on photographs, a sound and a shape, at equal size and at equal seconds.

``python -m experiments.inr_families --scale small``. Every family has about as many parameters as the scale's SIREN:
its width (a grid's resolution, a hash grid's tables) is chosen for that. Short fits find the rate for each family and
signal. A fit takes ``num_steps`` steps. *Equal seconds* are the seconds that the SIREN takes for these steps. A
family's error at equal seconds is that of its last recorded step (every fifth) by then, or of its last step if it was
faster.
"""

import argparse
import json
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np
import optax

from experiments.study import Rows, device_seconds, format_table, machine, photograph, rounded, write_study
from hyperinr import coordinates, fitting, inrs
from hyperinr import weights as weights_lib
from hyperinr.errors import InputError
from hyperinr.runtime.environment import set_environment
from hyperinr.types import Datapoint, Inr

__all__ = ['SCALES', 'Scale', 'draw', 'main', 'run', 'sized', 'sound', 'torus']


class Scale(NamedTuple):
    """The size of a study.

    Attributes:
      size: side of a photograph in pixels.
      samples: samples of the sound.
      cells: cells along a side of the occupancy's cube.
      width: width of the SIREN of depth 3 whose parameter count all families share.
      num_steps: steps of a fit.
      search_steps: steps of a fit that tries a rate.
      seeds: seeds of each family.
    """

    size: int
    samples: int
    cells: int
    width: int
    num_steps: int
    search_steps: int
    seeds: int


SCALES = {
    'small': Scale(64, 4096, 16, 48, 300, 60, 3),
    'full': Scale(256, 65536, 48, 256, 2000, 200, 3),
    'tiny': Scale(12, 128, 6, 8, 30, 10, 1),
}

CURVE_EVERY = 5
"""Steps between two recorded errors in the JSON."""

SIZES: Mapping[str, Callable[[int], dict[str, int]]] = {
    'feature_grid': lambda size: {'resolution': size + 1},
    'hash_grid': lambda size: {'log2_table_size': 2 + size // 16, 'width': 4 * (1 + size % 16), 'finest': 128},
}
"""Families whose size is not a width."""


def sized(kind: str, *, channels: int, coord_dims: int, count: int) -> tuple[Inr, int]:
    """Return the INR of a family whose number of parameters is nearest to ``count``, and this number."""

    def parameters(size: int) -> int:
        return weights_lib.count(weights_lib.spec_of_inr(make(size), coord_dims))

    def make(size: int) -> Inr:
        return inrs.FAMILIES[kind](channels=channels, **SIZES.get(kind, lambda size: {'width': size})(size))

    if kind == 'hash_grid':
        candidates = range(16 * 20)
    else:
        largest = 1
        while parameters(largest) < count:
            largest *= 2
        candidates = range(max(1, largest // 2), largest + 1)
    best = min(candidates, key=lambda size: abs(parameters(size) - count))
    return make(best), parameters(best)


def sound(samples: int) -> np.ndarray:
    """Return ``[samples, 1]`` in [-1, 1]: a rising tone with two harmonics under a decaying envelope."""
    t = np.arange(samples) / samples
    phase = 2 * np.pi * samples / 64 * (t + t**2)
    wave = np.sin(phase) + 0.5 * np.sin(2 * phase) + 0.25 * np.sin(3 * phase)
    return (np.exp(-2 * t) * wave / 1.75).astype(np.float32)[:, None]


def torus(cells: int) -> np.ndarray:
    """Return ``[cells^3, 1]``: 1 inside a torus of radii 0.6 and 0.25, -1 outside."""
    x, y, z = coordinates.grid((cells, cells, cells)).T
    inside = (np.hypot(x, y) - 0.6) ** 2 + z**2 < 0.25**2
    return np.where(inside, 1, -1).astype(np.float32)[:, None]


def signals(scale: Scale) -> dict[str, Datapoint]:
    """Return name -> datapoint with values in [-1, 1]."""
    shapes = {name: ((scale.size, scale.size), photograph(name, scale.size)) for name in ('chelsea', 'coffee')}
    shapes['sound'] = ((scale.samples,), sound(scale.samples))
    shapes['torus'] = ((scale.cells,) * 3, torus(scale.cells))
    found = {}
    for name, (shape, values) in shapes.items():
        coords = coordinates.grid(shape)
        flat = np.asarray(values, np.float32).reshape(len(coords), -1)
        found[name] = Datapoint(coords, flat, np.ones(len(coords), np.float32), np.zeros((), np.int32))
    return found


def run(scale: Scale, out: Path, *, kinds: Sequence[str] | None = None) -> Path:
    """Compute the missing rows and write ``out/inr_families.json``.

    Args:
      scale: one of `SCALES`, or another scale.
      out: output folder.
      kinds: names in `inrs.FAMILIES`, including SIREN; ``None``: all.

    Raises:
      InputError: a family is unknown, or ``out`` has rows of another protocol.
    """
    kinds = list(kinds or inrs.FAMILIES)
    if set(kinds) - inrs.FAMILIES.keys():
        raise InputError(f'no family {set(kinds) - inrs.FAMILIES.keys()}; there are {", ".join(inrs.FAMILIES)}.')
    protocol = {**scale._asdict(), 'kinds': kinds, 'optimizer': 'adam'}
    began, rows = time.perf_counter(), Rows(out / 'inr_families.rows.jsonl', protocol)
    for signal, datapoint in signals(scale).items():
        (_, dims), (_, channels) = datapoint.coords.shape, datapoint.values.shape
        siren = inrs.siren(channels=channels, width=scale.width)
        count = weights_lib.count(weights_lib.spec_of_inr(siren, dims))
        for kind in kinds:
            if all(f'{signal} {kind} {seed}' in rows for seed in range(scale.seeds)):
                continue
            for seed, row in enumerate(_fits(scale, kind, datapoint, dims, channels, count)):
                rows.add(f'{signal} {kind} {seed}', {'signal': signal, 'kind': kind, 'seed': seed, **row})
    path = out / 'inr_families.json'
    timing = {'seconds': time.perf_counter() - began}
    about = {'machine': machine(), 'protocol': protocol, 'curve_every': CURVE_EVERY, 'timing': timing}
    write_study(path, about, ({**row, 'mse': rounded(row['mse'][::CURVE_EVERY])} for row in rows))
    return path


def _fits(scale: Scale, kind: str, datapoint: Datapoint, dims: int, channels: int, count: int) -> list[dict[str, Any]]:
    """Return a row for each seed."""
    inr, parameters = sized(kind, channels=channels, coord_dims=dims, count=count)
    keys = jax.random.split(jax.random.key(0), scale.seeds)
    starts = jax.device_get(jax.vmap(lambda key: inr.init(key, dims))(keys))
    batch = jax.tree.map(lambda leaf: np.stack([leaf] * scale.seeds), datapoint)
    first = lambda tree: jax.tree.map(lambda leaf: leaf[:1], tree)
    families = {'adam': fitting.Family(optax.adam, (1e-3, 4e-3))}
    rate = fitting.best_rate(
        inr, first(starts), first(batch), num_steps=scale.search_steps, data_range=(-1.0, 1.0), families=families
    ).rate
    optimizer = optax.adam(rate)
    fit = lambda: jax.block_until_ready(fitting.fit(inr, starts, batch, optimizer=optimizer, num_steps=scale.num_steps))
    fit()
    began = device_seconds()
    errors = np.asarray(fit().mse)
    seconds = (device_seconds() - began) * jax.local_device_count() / scale.seeds
    finite = lambda value: float(value) if np.isfinite(value) else None
    return [
        {'parameters': parameters, 'rate': rate, 'seconds': seconds, 'mse': [finite(value) for value in row]}
        for row in errors
    ]


def draw(path: Path) -> dict[str, dict[str, tuple[float, float]]]:
    """Write the table and the picture beside the JSON; return signal -> kind -> dB at equal (steps, seconds)."""
    from matplotlib import colormaps
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    content = json.loads(path.read_text(encoding='utf-8'))
    rows, protocol, about, every = content['rows'], content['protocol'], content['machine'], content['curve_every']
    names, kinds = list(dict.fromkeys(row['signal'] for row in rows)), protocol['kinds']
    psnr = lambda value: float('nan') if value is None else float(10 * np.log10(4 / max(value, 1e-12)))
    figure = Figure(figsize=(4 * len(names), 4), dpi=100, layout='constrained')
    FigureCanvasAgg(figure)
    found: dict[str, dict[str, tuple[float, float]]] = {}
    colours = colormaps['tab20']
    text = [
        '# INR families',
        '',
        f'Drawn from `{path.name}`: PSNR in dB (range 2) after {protocol["num_steps"]} steps, and after the seconds '
        f'that a SIREN needs for them; Adam at its best rate, mean of {protocol["seeds"]} seeds. {about["devices"]} '
        f'{about["platform"]} device(s) ({about["device"]}), Python {about["python"]}, jax {about["jax"]}; '
        f'{content["timing"]["seconds"]:.0f} s in the last call.',
    ]
    for axes, name in zip(figure.subplots(1, len(names), squeeze=False)[0], names, strict=True):
        mine = [row for row in rows if row['signal'] == name]
        budget = next((row['seconds'] for row in mine if row['kind'] == 'siren'), mine[0]['seconds'])
        found[name], lines = {}, []
        for number, kind in enumerate(kinds):
            fits = [row for row in mine if row['kind'] == kind]
            step = min(protocol['num_steps'], int(protocol['num_steps'] * budget / fits[0]['seconds']))
            at = lambda index, fits=fits: float(np.mean([psnr(row['mse'][index]) for row in fits]))
            found[name][kind] = (at(-1), at(step // every))
            lines.append(
                [
                    kind,
                    str(fits[0]['parameters']),
                    f'{fits[0]["rate"]:.2g}',
                    f'{at(-1):.2f}',
                    f'{at(step // every):.2f}',
                ]
            )
            shown = [psnr(value) for value in fits[0]['mse']]
            axes.plot(every * np.arange(len(shown)), shown, label=kind, linewidth=0.9, color=colours(number % 20))
        lines.sort(key=lambda line: -float(line[3]) if line[3] != 'nan' else np.inf)
        header = ['family', 'parameters', 'rate', 'dB at equal steps', 'dB at equal seconds']
        text += ['', f'## {name}', '', format_table(header, lines)]
        axes.set(title=name, xlabel='steps', ylabel='PSNR (dB)')
    axes.legend(fontsize=5, ncols=2)
    path.with_suffix('.md').write_text('\n'.join(text) + '\n', encoding='utf-8')
    figure.savefig(path.with_suffix('.png'))
    return found


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line."""
    set_environment()
    parser = argparse.ArgumentParser(prog='python -m experiments.inr_families', description=__doc__)
    parser.add_argument('--scale', choices=SCALES, default='small')
    parser.add_argument('--kind', action='append', metavar='NAME', help='these families alone; repeatable')
    parser.add_argument('--out', type=Path, default=Path('docs/results'))
    parser.add_argument('--draw', action='store_true', help='draw the JSON that is there')
    options = parser.parse_args(arguments)
    path = options.out / 'inr_families.json'
    try:
        if not options.draw:
            path = run(SCALES[options.scale], options.out, kinds=options.kind)
        draw(path)
    except InputError as error:
        parser.exit(2, f'{parser.prog}: error: {error}\n')


if __name__ == '__main__':
    main()
