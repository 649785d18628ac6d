"""The JSON file of one part. Each row is written as soon as it is measured.

A name maps to a row ``{'status', 'wall_s', ...}``. Statuses are ``running``, ``done``, ``failed`` (with ``error``),
``skipped`` (with ``reason``) and ``out of time``.
"""

import json
import math
import os
import tempfile
import time
import traceback
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

__all__ = ['DONE', 'FAILED', 'OUT_OF_TIME', 'RUNNING', 'SKIPPED', 'Record', 'SkippedError', 'status_of']

RUNNING, DONE, FAILED, SKIPPED, OUT_OF_TIME = 'running', 'done', 'failed', 'skipped', 'out of time'


class SkippedError(Exception):
    """Raised for a row that this machine cannot measure; the message gives the reason."""


class Record:
    """The file of a part, and the remaining time.

    Args:
      path: path of the JSON file; an existing file is continued.
      seconds: seconds until the part's limit.
    """

    def __init__(self, path: Path, seconds: float = math.inf):
        self.path = path
        self._end = time.monotonic() + seconds
        self.content: dict[str, Any] = {'part': path.stem, 'status': RUNNING, 'rows': {}}
        if path.is_file():
            self.content |= json.loads(path.read_text(encoding='utf-8'))
        self.rows: dict[str, dict[str, Any]] = self.content['rows']

    def left(self) -> float:
        """Return the seconds until the limit."""
        return self._end - time.monotonic()

    def folder(self, work: Path) -> Path:
        """Return an unused path below ``work``, so that a repeated row does not find its earlier files."""
        return Path(tempfile.mkdtemp(prefix=f'{self.path.stem}-', dir=work)) / 'run'

    def save(self, **facts: Any) -> None:
        """Write the file atomically, so that a killed process leaves the last complete one."""
        self.content |= facts
        text = json.dumps(_plain(self.content), indent=2, allow_nan=False)
        aside = self.path.with_suffix('.part')
        aside.write_text(f'{text}\n', encoding='utf-8')
        os.replace(aside, self.path)

    def row(self, name: str, measure: Callable[[], Mapping[str, Any]], *, needs: float = 5.0, **facts: Any) -> None:
        """Measure one row, unless the file has it.

        Args:
          name: name of the row.
          measure: returns the figures of the row.
          needs: seconds; with less time left the row is not begun.
          facts: shapes, precision and other facts, stored first.
        """
        if name in self.rows:
            return
        if self.left() < needs:
            self.rows[name] = {**facts, 'status': OUT_OF_TIME}
            self.save()
            return
        self.rows[name] = {**facts, 'status': RUNNING}
        self.save()
        began = time.monotonic()
        try:
            found = {**measure(), 'status': DONE}
        except SkippedError as why:
            found = {'status': SKIPPED, 'reason': str(why)}
        except Exception as error:
            tail = traceback.format_exc().splitlines()[-12:]
            found = {'status': FAILED, 'error': f'{type(error).__name__}: {error}'[:2000], 'traceback': tail}
        self.rows[name] = {**facts, **found, 'wall_s': time.monotonic() - began}
        self.save()
        print(f'{self.path.stem}: {name}: {found["status"]}{_reason(found)}', flush=True)

    def forget_unfinished(self) -> None:
        """Drop the rows without a result, so that they are measured again."""
        for name in [name for name, row in self.rows.items() if row['status'] not in (DONE, SKIPPED)]:
            del self.rows[name]
        self.content.pop('error', None)
        self.save(status=RUNNING)

    def end_running(self, status: str, error: str) -> bool:
        """Set the status of the row in which a process died; return whether there was one."""
        running = [row for row in self.rows.values() if row['status'] == RUNNING]
        for row in running:
            row |= {'status': status, 'error': error}
        self.save()
        return bool(running)


def status_of(content: Mapping[str, Any]) -> str:
    """Return the status of a part whose process has ended: the worst status of its rows."""
    found = {row['status'] for row in content['rows'].values()}
    if 'error' in content or FAILED in found or not found:
        return FAILED
    return OUT_OF_TIME if found & {OUT_OF_TIME, RUNNING} else DONE


def _reason(row: Mapping[str, Any]) -> str:
    said = row.get('error') or row.get('reason')
    return f' ({said.splitlines()[0][:200]})' if said else ''


def _plain(value: Any) -> Any:
    """Return the value without NumPy's types; numbers that are not finite become null."""
    if isinstance(value, Mapping):
        return {str(name): _plain(item) for name, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if hasattr(value, 'tolist'):
        return _plain(value.tolist())
    return None if isinstance(value, float) and not math.isfinite(value) else value
