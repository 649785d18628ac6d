"""Compare fits of many SIRENs by this engine, by usual JAX code and by PyTorch, on the same machine in one run.

``python -m benchmarks.fitting --json FILE [--small] [--widths 16 32 ...] [--depths 3 ...] [--points 784 ...]
[--inrs N] [--steps N] [--repetitions N] [--systems ...]``. Every system runs in its own process. Their repetitions
alternate, and the median counts. All have the same start, targets and number of Adam steps. A row whose PSNR differs
from hyperinr's by more than 0.3 dB is an error (exit status 1, after all rows). GFLOP/s count matrix products only, by
`fitting_problem.Cell.flops`. The ceiling is the median speed of large products on all cores, in the process where it
is highest. ``python -m benchmarks.fitting_picture FILE`` draws the JSON.
"""

import argparse
import dataclasses
import json
import os
import platform
import statistics
import subprocess
import sys
from pathlib import Path

from benchmarks.fitting_problem import Cell
from benchmarks.fitting_systems import ENVIRONMENT, SYSTEMS

SMALL = (Cell(16, 3, 256, 4, 20),)
WORK = 5e10
"""FLOPs of a cell of the default grid: half a second at 100 GFLOP/s."""

DEFAULT = ((16, 3, 784), (32, 3, 784), (64, 3, 784), (128, 3, 784), (256, 3, 784), (64, 3, 1024), (64, 3, 4096),
           (64, 4, 784), (64, 5, 784))  # fmt: skip
FLATNESS = (Cell(32, 3, 784, 200, 50), Cell(32, 3, 784, 2_000, 50), Cell(32, 3, 784, 10_000, 50))
"""Cells for hyperinr alone, with growing numbers of INRs."""

STEPS = 100
TOLERANCE_DB = 0.3


class Child:
    """A process that runs one system."""

    def __init__(self, system: str):
        self.process = subprocess.Popen(
            [sys.executable, '-m', 'benchmarks.fitting_systems', system],
            env={**os.environ, **ENVIRONMENT.get(system, {})},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def ask(self, do: str, **about: object) -> dict:
        self.process.stdin.write(json.dumps({'do': do, **about}) + '\n')
        self.process.stdin.flush()
        answer = self.process.stdout.readline()
        if not answer:
            raise SystemExit(f'{self.process.args[-1]} failed at {about or do}; its message is above.')
        return json.loads(answer)

    def close(self) -> None:
        self.process.stdin.close()
        self.process.wait()


def sized(width: int, depth: int, points: int, inrs: int | None, steps: int | None) -> Cell:
    """Return a cell with about `WORK` FLOPs; the number of INRs is a multiple of 8 and at least 8."""
    steps = steps or STEPS
    one = Cell(width, depth, points, 1, steps).flops
    return Cell(width, depth, points, inrs or max(8, round(WORK / one / 8) * 8), steps)


def measure(cell: Cell, children: dict[str, Child], repetitions: int) -> tuple[list[dict], list[float]]:
    """Measure the rows of one cell, without their fractions, and the ceilings in GFLOP/s."""
    prepared = {name: child.ask('prepare', cell=dataclasses.asdict(cell)) for name, child in children.items()}
    seconds, ceilings = {name: [] for name in children}, {name: [] for name in children}
    for _ in range(repetitions):
        for name, child in children.items():
            ceilings[name].append(child.ask('ceiling')['gflops'])
            seconds[name].append(child.ask('run')['seconds'])
    rows = []
    for name, child in children.items():
        median = statistics.median(seconds[name])
        gflops = cell.flops / median / 1e9
        speed = {'inrs_per_s': cell.inrs / median, 'gflops': gflops}
        row = {'system': name, **dataclasses.asdict(cell), **speed, **child.ask('finish'), **prepared[name]}
        rows.append({**row, 'seconds': seconds[name]})
    for row in rows:
        row['equal_psnr'] = abs(row['psnr_db'] - rows[0]['psnr_db']) <= TOLERANCE_DB
    return rows, [statistics.median(found) for found in ceilings.values()]


def report(rows: list[dict]) -> None:
    for row in rows:
        print(
            f'{row["system"]:14s} width {row["width"]:3d} depth {row["depth"]} points {row["points"]:4d} INRs '
            f'{row["inrs"]:5d}  {row["inrs_per_s"]:8.2f} INRs/s  {row["gflops"]:6.1f} GFLOP/s '
            f'{row["ceiling_fraction"]:4.0%}  {row["psnr_db"]:.2f} dB  compiled in {row["compile_s"]:.1f} s  '
            f'{row["peak_memory_mb"] or float("nan"):.0f} MB'
        )


def cells_of(options: argparse.Namespace) -> list[tuple[Cell, tuple[str, ...]]]:
    systems = tuple(options.systems)
    if options.small:
        return [(cell, systems) for cell in SMALL]
    grid = DEFAULT
    if options.widths or options.depths or options.points:
        grid = [
            (width, depth, points)
            for width in options.widths or (64,)
            for depth in options.depths or (3,)
            for points in options.points or (784,)
        ]
    cells = [(sized(*shape, options.inrs, options.steps), systems) for shape in grid]
    if grid is DEFAULT and 'hyperinr' in systems:
        cells += [(cell, ('hyperinr',)) for cell in FLATNESS]
    return cells


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('--json', type=Path, help='also write the rows here, after each cell; its cells are kept')
    parser.add_argument('--small', action='store_true', help='one tiny cell: does it run?')
    parser.add_argument('--widths', type=int, nargs='+')
    parser.add_argument('--depths', type=int, nargs='+', help='hidden layers')
    parser.add_argument('--points', type=int, nargs='+', help='squares')
    parser.add_argument('--inrs', type=int, help='of every cell (default: as many as make half a second of work)')
    parser.add_argument('--steps', type=int, help=f'of Adam (default: {STEPS})')
    parser.add_argument('--repetitions', type=int, default=3)
    parser.add_argument('--systems', nargs='+', default=list(SYSTEMS), choices=list(SYSTEMS))
    parser.add_argument('--run', help='also: a trained run directory of mnist_5k, for its starts against random ones')
    options = parser.parse_args()
    content = json.loads(options.json.read_text()) if options.json and options.json.is_file() else {}
    rows = content.get('rows', [])
    for cell, systems in cells_of(options):
        systems = [name for name in systems if not any(is_of(row, name, cell) for row in rows)]
        if not systems:
            continue
        # New processes for each cell: compiled functions and memory of one cell do not affect the next.
        children = {name: Child(name) for name in systems}
        found, highest = measure(cell, children, options.repetitions)
        for child in children.values():
            child.close()
        for row in found:
            row['ceiling_gflops'] = max(highest)
            row['ceiling_fraction'] = row['gflops'] / max(highest)
        rows += found
        report(found)
        content |= {
            'machine': {'cpu': platform.processor() or platform.machine(), 'cores': os.cpu_count(), 'platform': 'cpu'},
            'ceiling_gflops': statistics.median(row['ceiling_gflops'] for row in rows),
            'flops': Cell.flops.__doc__,
            'rows': rows,
        }
        save(options.json, content)
    print(f'large matrix product: {content["ceiling_gflops"]:.0f} GFLOP/s')
    if options.run:
        from benchmarks import fitting_start

        content['starts'] = fitting_start.compare(options.run)
        save(options.json, content)
    unequal = [f'{row["system"]} at width {row["width"]}' for row in rows if not row['equal_psnr']]
    if unequal:
        raise SystemExit(f'unequal protocol: more than {TOLERANCE_DB} dB from hyperinr: {", ".join(unequal)}')


def is_of(row: dict, system: str, cell: Cell) -> bool:
    return row['system'] == system and all(row[name] == value for name, value in dataclasses.asdict(cell).items())


def save(path: Path | None, content: dict) -> None:
    if path:
        path.write_text(json.dumps(content, indent=2) + '\n')


if __name__ == '__main__':
    main()
