"""``metrics.jsonl``: one JSON object a line, on the disk at once. Every run has it, and resuming reads it."""

import contextlib
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from hyperinr.files import disk_errors, plain, replacing
from hyperinr.training.loggers.base import Logger, OpenLogger, Record, RunFacts

__all__ = ['FILE', 'MetricsFile', 'jsonl', 'read_metrics']

FILE = 'metrics.jsonl'


def jsonl() -> Logger:
    """Write every number of every report: ``{'step', 'kind', 'seconds', figure: value, ..., curve: [values], ...}``."""

    def open_file(facts: RunFacts) -> OpenLogger:
        file = MetricsFile(facts.run_dir / FILE, after_step=facts.start)

        def write(record: Record) -> None:
            numbers = {**record.findings.figures, **record.findings.curves}
            file.write(record.step, {'kind': record.kind, **numbers, 'seconds': record.seconds})

        return OpenLogger(write, file.close)

    return Logger('jsonl', open_file, essential=True)


def read_metrics(path: str | os.PathLike, *, until_step: int) -> list[dict[str, Any]]:
    """Records up to a step, in order; empty where there is no file. Lines that were cut short are passed over."""
    path = Path(path)
    if not path.exists():
        return []
    lines = path.read_text(encoding='utf-8').splitlines()
    return [json.loads(line) for line in lines if _step(line) <= until_step]


class MetricsFile:
    """Appends to a file.

    Args:
      path: continued if it exists.
      after_step: records beyond it, written by a process that was killed before its next checkpoint, are dropped, as
        is a last line that was cut short.
    """

    def __init__(self, path: str | os.PathLike, *, after_step: int):
        self._path = Path(path)
        if self._path.exists():
            kept = [line for line in self._path.read_text(encoding='utf-8').splitlines() if _step(line) <= after_step]
            with replacing(self._path) as temporary:
                temporary.write_text(''.join(f'{line}\n' for line in kept), encoding='utf-8')
        with disk_errors(self._path):
            self._file = self._path.open('a', encoding='utf-8')

    def write(self, step: int, record: Mapping[str, Any]) -> None:
        """Appends ``{'step': step, **record}``; numbers that are not finite become null.

        Raises:
          RunError: the disk is full.
        """
        line = json.dumps(plain({'step': step, **record}), allow_nan=False)
        with disk_errors(self._path):
            self._file.write(f'{line}\n')
            self._file.flush()

    def close(self) -> None:
        with contextlib.suppress(OSError):
            self._file.close()


def _step(line: str) -> float:
    """Of a record; infinite for a line that is none."""
    try:
        return json.loads(line)['step']
    except (ValueError, KeyError, TypeError):
        return float('inf')
