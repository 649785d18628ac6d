"""Draw INRs per second and share of the ceiling against width: ``python -m benchmarks.fitting_picture JSON [PNG]``."""

import argparse
import json
from pathlib import Path

import matplotlib

matplotlib.use('Agg')

import matplotlib.pyplot as plt

SHAPE = {'depth': 3, 'points': 784}
"""The cells that are drawn."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('json', type=Path)
    parser.add_argument('png', type=Path, nargs='?', help='default: beside the JSON')
    options = parser.parse_args()
    content = json.loads(options.json.read_text())
    rows = [row for row in content['rows'] if all(row[name] == value for name, value in SHAPE.items())]
    compared = {(row['width'], row['inrs'], row['steps']) for row in rows if row['system'] != 'hyperinr'}
    rows = [row for row in rows if (row['width'], row['inrs'], row['steps']) in compared]
    figure, (speed, fraction) = plt.subplots(1, 2, figsize=(10, 4), layout='constrained')
    for system in dict.fromkeys(row['system'] for row in rows):
        own = sorted((row for row in rows if row['system'] == system), key=lambda row: row['width'])
        widths = [row['width'] for row in own]
        # Scaled to the usual number of steps of a fit; the cells take fewer.
        speed.plot(widths, [row['inrs_per_s'] * row['steps'] / 500 for row in own], 'o-', label=system)
        fraction.plot(widths, [100 * row['ceiling_fraction'] for row in own], 'o-', label=system)
    speed.set(xscale='log', yscale='log', xlabel='width', ylabel='INRs / s, 500 steps each')
    fraction.set(xscale='log', xlabel='width', ylabel='% of large matrix products', ylim=(0, 100))
    for axes in (speed, fraction):
        axes.set_xticks(sorted({row['width'] for row in rows}), sorted({row['width'] for row in rows}), minor=False)
        axes.minorticks_off()
        axes.grid(alpha=0.3)
    fraction.legend()
    figure.suptitle(f'{SHAPE["depth"]} hidden layers, {SHAPE["points"]} points, {content["machine"]["cores"]} cores')
    figure.savefig(options.png or options.json.with_suffix('.png'), dpi=120)


if __name__ == '__main__':
    main()
