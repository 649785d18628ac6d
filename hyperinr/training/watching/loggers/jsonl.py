"""Write ``metrics.jsonl``: one JSON object a line, flushed after each line. Every run has it; resuming reads it."""

import contextlib
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from hyperinr.runtime.files import disk_errors, plain, read_json_lines, replacing
from hyperinr.training.watching.loggers.base import Logger, OpenLogger, Record, RunFacts

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


def read_metrics(path: str | os.PathLike, *, until_step: float) -> list[dict[str, Any]]:
    """Read the records up to a step, in order; return an empty list if there is no file. Damaged lines are left out."""
    kinds = {'step': int, 'seconds': int | float, 'kind': str}
    sound = lambda record: all(isinstance(record.get(name), kind) for name, kind in kinds.items())
    return [record for record in read_json_lines(path) if sound(record) and record['step'] <= until_step]


class MetricsFile:
    """Append records to a file.

    Args:
      path: the file; continued if it exists.
      after_step: records of later steps are deleted: a process wrote them and was killed before its next checkpoint. An
        incomplete last line is deleted as well.
    """

    def __init__(self, path: str | os.PathLike, *, after_step: int):
        self._path = Path(path)
        if self._path.exists():
            kept = read_metrics(self._path, until_step=after_step)
            with replacing(self._path) as temporary:
                temporary.write_text(''.join(f'{json.dumps(record)}\n' for record in kept), encoding='utf-8')
        with disk_errors(self._path):
            self._file = self._path.open('a', encoding='utf-8')

    def write(self, step: int, record: Mapping[str, Any]) -> None:
        """Append ``{'step': step, **record}``; numbers that are not finite become null.

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
