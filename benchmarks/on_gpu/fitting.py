"""Compare fits of thousands of SIRENs by hyperinr, plain jax and PyTorch, on one device and in one process.

Systems, problems and starts are those of `benchmarks.fitting`. Seconds include everything from arrays on the host to
arrays on the host. A system is run twice, and the second run counts. Peaks are measured in the same process.
"""

import dataclasses
import functools
import time
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import numpy as np

from benchmarks import fitting_problem, fitting_systems
from benchmarks.fitting_problem import Cell
from benchmarks.on_gpu.device import PRECISIONS, facts, on_gpu, peaks, products, speed
from benchmarks.on_gpu.parts import Options
from benchmarks.on_gpu.record import Record, SkippedError

__all__ = ['cells', 'measure']

POINTS, DEPTH = 1024, 3
FLOPS_OF_ROW = 3e13
"""FLOPs of a row, which set the number of steps between the two bounds below: a second or two on an H100."""
STEPS = (20, 100)
LONG = 1000
"""Steps of the fits that show the PSNR cost of a precision: rounding matters only at small errors."""
ACTIVATIONS = 2**33
"""Bytes for one batch of the systems that keep all activations."""


class Row(NamedTuple):
    """One measurement.

    Attributes:
      system: ``hyperinr, XLA``, ``hyperinr, kernel``, ``vmap`` or ``torch``.
      precision: one of `device.PRECISIONS`.
      cell: the problem.
      seconds: seconds that it may need, including compilation; with less time left it is not begun.
    """

    system: str
    precision: str
    cell: Cell
    seconds: float


def cells(*, tiny: bool) -> list[Row]:
    """Return all rows in their order: one cell by every system, then precisions, then sizes."""
    sized = functools.partial(_sized, tiny=tiny)
    everything = [(system, precision) for system in ('hyperinr, XLA', 'vmap', 'torch') for precision in PRECISIONS]
    fewer = [*everything[:3], ('hyperinr, kernel', 'float32'), ('vmap', 'tf32'), ('torch', 'tf32')]
    needs = 1.0 if tiny else 15.0
    first, long = sized(2_000, 64), sized(2_000, 64, steps=LONG)
    rows = [Row(*each, first, needs) for each in [*everything, ('hyperinr, kernel', 'float32')]]
    rows += [Row('hyperinr, XLA', precision, long, needs) for precision in PRECISIONS]
    if tiny:
        wanted = {('vmap', 'bfloat16'), ('torch', 'float32'), ('torch', 'bfloat16')}
        return [row for row in rows[:-2] if row.system.startswith('hyperinr') or row[:2] in wanted]
    for inrs, width in (
        (20_000, 64),
        (2_000, 256),
        (2_000, 32),
        (2_000, 128),
        (20_000, 32),
        (20_000, 128),
        (20_000, 256),
    ):
        rows += [Row(*each, sized(inrs, width), 20.0) for each in fewer if width <= 64 or 'kernel' not in each[0]]
    return rows


def _sized(inrs: int, width: int, *, tiny: bool, steps: int | None = None) -> Cell:
    if tiny:
        return Cell(16, 2, 64, 4, 30 if steps else 10)
    one = Cell(width, DEPTH, POINTS, inrs, 1).flops
    return Cell(width, DEPTH, POINTS, inrs, steps or int(np.clip(FLOPS_OF_ROW / one, *STEPS)))


def measure(record: Record, options: Options) -> None:
    """Measure all rows of the part."""
    ceilings = peaks(tiny=options.tiny)
    record.save(**facts(), torch=torch_version(), peak_tflops=ceilings)
    for row in cells(tiny=options.tiny):
        cell = row.cell
        record.row(
            f'{cell.inrs:,} SIRENs {cell.depth} x {cell.width}, {cell.steps} steps, {row.system}, {row.precision}',
            lambda row=row: timed(row, ceilings, compiled=not options.tiny),
            needs=row.seconds,
            shapes=dataclasses.asdict(cell),
            system=row.system,
            precision=row.precision,
        )


def torch_version() -> str | None:
    """Return the version of PyTorch; ``None`` if it is not installed."""
    try:
        import torch
    except ImportError:
        return None
    return str(torch.__version__)


def timed(row: Row, ceilings: dict[str, float], *, compiled: bool) -> Mapping[str, Any]:
    """Run a system twice, and return the figures of the second run."""
    with products(row.precision):
        run, mse = system_of(row, compiled=compiled)
        began = time.perf_counter()
        run()
        first = time.perf_counter() - began
        began = time.perf_counter()
        run()
        seconds = time.perf_counter() - began
    psnr = fitting_problem.psnr_db(mse())
    if row.system == 'torch' and on_gpu():
        import torch

        # Memory that PyTorch keeps reserved is not available to jax.
        torch.cuda.empty_cache()
    return {
        'figures': {
            **speed(row.cell.flops, seconds, row.precision, ceilings),
            'inrs_per_s': row.cell.inrs / seconds,
            'psnr_db': psnr,
            'compile_s': max(0.0, first - seconds),
        }
    }


def system_of(row: Row, *, compiled: bool) -> tuple[Callable[[], object], Callable[[], np.ndarray]]:
    """Return ``(run, mse)`` of `benchmarks.fitting_systems` on this device.

    Raises:
      SkippedError: the system or the kernel is not available.
    """
    cell, size = row.cell, batch_size(row.cell)
    if row.system == 'torch':
        if torch_version() is None:
            raise SkippedError('PyTorch is not installed')
        device = 'cuda' if on_gpu() else 'cpu'
        return fitting_systems.torch_system(cell, compiled=compiled, device=device, precision=row.precision, size=size)
    precision = 'bfloat16' if row.precision == 'bfloat16' else 'float32'
    if row.system == 'vmap':
        return fitting_systems.usual_jax(cell, precision=precision, size=size)
    kernel = 'pallas' if 'kernel' in row.system else 'xla'
    if kernel == 'pallas' and not on_gpu():
        raise SkippedError('the kernel is compiled for GPUs only')
    return fitting_systems.hyperinr(cell, precision=precision, kernel=kernel)


def batch_size(cell: Cell) -> int:
    """Return the largest divisor of the number of INRs whose activations fit, so that all batches have one shape."""
    most = max(1, ACTIVATIONS // (12 * cell.depth * cell.points * cell.width))
    return max(number for number in range(1, cell.inrs + 1) if cell.inrs % number == 0 and number <= most)
