"""Shared code of the studies: rows that survive a kill, signals, and the final JSON."""

import json
import math
import os
import platform
import sys
import time
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

__all__ = [
    'Rows',
    'device_seconds',
    'format_table',
    'machine',
    'photograph',
    'rounded',
    'rounded_db',
    'steps_to',
    'write_study',
]


class Rows:
    """Finished rows in a JSON Lines file. Each is on the disk before the next begins.

    The first line holds the protocol. Rows of another protocol are refused. A last line cut short by a kill is dropped.
    """

    def __init__(self, path: Path, protocol: Mapping[str, Any]):
        from hyperinr.errors import InputError

        self.path = path
        self.rows: dict[str, dict[str, Any]] = {}
        path.parent.mkdir(parents=True, exist_ok=True)
        text = path.read_text(encoding='utf-8') if path.is_file() else ''
        lines = text[: text.rfind('\n') + 1].splitlines()
        expected = json.loads(json.dumps(protocol))
        if lines and json.loads(lines[0]) != expected:
            raise InputError(f'{path} holds rows of another protocol; delete it, or give another --out.')
        for line in lines[1:]:
            row = json.loads(line)
            self.rows[row['key']] = row
        with path.open('w', encoding='utf-8') as file:
            file.write('\n'.join(lines or [json.dumps(expected)]) + '\n')

    def __contains__(self, key: str) -> bool:
        return key in self.rows

    def __iter__(self) -> Iterator[dict[str, Any]]:
        return iter(self.rows.values())

    def add(self, key: str, row: Mapping[str, Any]) -> None:
        """Append one row."""
        self.rows[key] = {'key': key, **row}
        with self.path.open('a', encoding='utf-8') as file:
            file.write(json.dumps(self.rows[key], allow_nan=False) + '\n')
            file.flush()
            os.fsync(file.fileno())
        print(key, file=sys.stderr, flush=True)


def write_study(path: Path, about: Mapping[str, Any], rows: Iterable[Mapping[str, Any]]) -> None:
    """Write ``{**about, 'rows': rows}`` as JSON, one row a line."""
    from hyperinr.runtime.files import replacing

    dump = lambda value: json.dumps(value, allow_nan=False)
    parts = [f'{dump(name)}: {dump(value)}' for name, value in about.items()]
    parts.append('"rows": [\n' + ',\n'.join(dump(row) for row in rows) + '\n]')
    with replacing(path) as temporary:
        temporary.write_text('{\n' + ',\n'.join(parts) + '\n}\n', encoding='utf-8')


def rounded(values: Iterable[float | None]) -> list[float | None]:
    """Round values to four significant digits; ``None`` for a value that is not finite."""
    return [float(f'{value:.4g}') if value is not None and math.isfinite(value) else None for value in values]


def rounded_db(psnr_db: Any) -> list[float | None]:
    """Round PSNRs to three decimals; ``None`` for a value that is not finite."""
    return [round(float(value), 3) if math.isfinite(value) else None for value in psnr_db]


def machine() -> dict[str, Any]:
    """Return hardware and versions."""
    import jax
    import numpy as np
    import optax

    return {
        'platform': jax.default_backend(),
        'device': jax.devices()[0].device_kind,
        'devices': jax.local_device_count(),
        'processor': platform.processor() or platform.machine(),
        'python': platform.python_version(),
        'jax': jax.__version__,
        'optax': optax.__version__,
        'numpy': np.__version__,
    }


def device_seconds() -> float:
    """Return the time of a clock of one device's work while all devices are busy.

    On a CPU, where each device is one thread, it is the processor time of the process divided by the number of devices.
    So other programs of the machine do not count. On other devices it is the time of day.
    """
    import jax

    if jax.default_backend() == 'cpu':
        return time.process_time() / jax.local_device_count()
    return time.perf_counter()


def photograph(name: str, size: int) -> Any:
    """Return the anti-aliased central square ``[size, size, 3]`` in [-1, 1] of a photograph of scikit-image."""
    from skimage import data

    from hyperinr.files.images import resize

    image = getattr(data, name)()[..., :3].astype('float32') / 255
    side = min(image.shape[:2])
    top, left = ((length - side) // 2 for length in image.shape[:2])
    return 2 * resize(image[top : top + side, left : left + side], (size, size)) - 1


def steps_to(mse: Any, mark: float) -> int | None:
    """Return the fewest steps after which the error is at most ``mark``; ``None`` if it never is."""
    return next((step for step, value in enumerate(mse) if value <= mark), None)


def format_table(header: list[str], rows: list[list[str]]) -> str:
    """Return a markdown table."""
    lines = [header, ['---'] * len(header), *rows]
    return '\n'.join('| ' + ' | '.join(line) + ' |' for line in lines)
