"""Summarise a finished run in ``summary.json`` and in the closing table."""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from hyperinr.runtime.files import plain, write_json
from hyperinr.runtime.progress import duration, print_table
from hyperinr.training.session import ALL_STEPS, Session
from hyperinr.training.watching.clock import PARTS, TRAINING
from hyperinr.training.watching.throughput import matrix_product_gflops

__all__ = ['summarise']


def summarise(
    run_dir: Path, session: Session, *, num_steps: int, records: Iterable[Mapping[str, Any]], flops: float
) -> None:
    """Write ``summary.json`` and print the table.

    Args:
      run_dir: the run directory.
      session: the session that has ended.
      num_steps: updates of this session, >= 1.
      records: records of the earlier sessions in ``metrics.jsonl``.
      flops: floating-point operations of one update.
    """
    spent, seconds, ended_by = session.clock.spent(), session.clock.trained, session.ended_by
    step_seconds = sum(spent[part] for part in TRAINING) / num_steps
    summary: dict[str, Any] = {'seconds': seconds, 'step_seconds': step_seconds, 'ended_by': ended_by}
    rows = [('training time', duration(seconds)), ('mean step', f'{1000 * step_seconds:.1f} ms')]
    if ended_by != ALL_STEPS:
        rows.append(('ended by', ended_by))
    for name, found in session.latest.items():
        psnr = found.curves.get('psnr_db')
        if psnr is not None:
            summary[f'{name}_psnr_db'] = psnr
            rows += [(f'{name} PSNR, {step} steps', f'{psnr[step]:.2f} dB') for step in sorted({0, len(psnr) - 1})]
    summary['figures'] = {
        f'{name}/{figure}': value for name, found in session.latest.items() for figure, value in found.figures.items()
    }
    best = session.best.best if session.best else None
    if best is not None:
        summary['best'] = best._asdict()
        rows.append(('best state', f'{best.value:.4g} at step {best.step}'))
    if step_seconds > 0:
        reached, ceiling = flops / step_seconds / 1e9, matrix_product_gflops(session.subject.devices)
        summary |= {'gflops': reached, 'matrix_product_gflops': ceiling, 'fraction': reached / ceiling}
        rows.append(('arithmetic', f'{reached:.0f} GFLOP/s, {reached / ceiling:.0%} of a matrix product'))
    earlier = [record for record in records if record['kind'] == 'time']  # A killed session has recorded none.
    time = {part: spent[part] + sum(record.get(f'{part}_seconds', 0.0) for record in earlier) for part in PARTS}
    summary['time'] = time
    whole = max(sum(time.values()), 1e-9)
    rows += [(f'time: {part}', f'{duration(value)}, {value / whole:.1%}') for part, value in time.items()]
    rows += [(f'logger {name}', f'failed: {reason}') for name, reason in session.loggers.failed.items()]
    write_json(run_dir / 'summary.json', plain(summary))
    print_table(str(run_dir), rows)
