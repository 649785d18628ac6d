"""Run the parts one after the other, each in a process that is killed at its time limit.

``python -m benchmarks.on_gpu --out DIR [--minutes M] [--parts NAME ...] [--images FOLDER] [--tiny]``. The same command
again skips finished parts and measures only the missing rows of the others. The exit status is 1 if a part is not
finished.
"""

import argparse
import contextlib
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from benchmarks.on_gpu.parts import PARTS, Options, measure_of
from benchmarks.on_gpu.record import DONE, FAILED, OUT_OF_TIME, Record, status_of
from benchmarks.on_gpu.summary import summary

ATTEMPTS = 3
"""Most processes of a part. A process that crashes loses its row, and the next continues with the rows after it."""

GRACE_SECONDS = 5.0
"""Time between the limit that a part knows and its kill."""


def main() -> int:
    parser = argparse.ArgumentParser(prog='python -m benchmarks.on_gpu', description=__doc__)
    parser.add_argument('--out', type=Path, required=True, help='folder for one JSON file a part, and summary.md')
    parser.add_argument('--minutes', type=float, help='of all parts together (default: 13.5; tiny: 30)')
    parser.add_argument('--parts', nargs='+', choices=list(PARTS), default=list(PARTS))
    parser.add_argument('--images', type=Path, help='folder of images for the last part, resized to 178 x 178')
    parser.add_argument('--tiny', action='store_true', help='sizes of seconds: does everything run?')
    parser.add_argument('--work', type=Path, default=Path(tempfile.gettempdir()) / 'hyperinr-on-gpu', help='scratch')
    parser.add_argument('--child', choices=[*PARTS, 'prepare'], help=argparse.SUPPRESS)
    parser.add_argument('--seconds', type=float, default=0.0, help=argparse.SUPPRESS)
    given = parser.parse_args()
    minutes = given.minutes or (30.0 if given.tiny else sum(part.minutes for part in PARTS.values()))
    out, options = given.out.absolute(), Options(given.tiny, given.work.absolute(), given.images)
    for folder in (out, options.work):
        folder.mkdir(parents=True, exist_ok=True)
    if given.child == 'prepare':
        from benchmarks.on_gpu import images, training

        training.prepare(options)
        images.prepare(options)
    elif given.child:
        measure_of(given.child)(Record(out / f'{given.child}.json', given.seconds), options)
    else:
        return run_all([name for name in PARTS if name in given.parts], out, options, 60 * minutes)
    return 0


def run_all(names: list[str], out: Path, options: Options, seconds: float) -> int:
    """Run the parts and write the summary, also if SIGTERM ends the run early; return the exit status."""
    # Children have their own sessions, so a signal to this process does not reach them.
    signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(128 + number))
    try:
        with preparing(out, options):
            run_parts(names, out, options, seconds)
    finally:
        found = summary([Record(out / f'{name}.json').content for name in PARTS if (out / f'{name}.json').is_file()])
        (out / 'summary.md').write_text(found, encoding='utf-8')
        print(found, flush=True)
    return int(any(Record(out / f'{name}.json').content['status'] != DONE for name in names))


def run_parts(names: list[str], out: Path, options: Options, seconds: float) -> None:
    """Divide the seconds by `Part.minutes` among the unfinished parts; unused time goes to the next part."""
    end, records = time.monotonic() + seconds, {name: Record(out / f'{name}.json') for name in names}
    missing = [name for name in names if records[name].content['status'] != DONE]
    for name in [name for name in names if name not in missing]:
        print(f'{name}: done before, skipped', flush=True)
    for number, name in enumerate(missing):
        share = PARTS[name].minutes / sum(PARTS[other].minutes for other in missing[number:])
        run_part(name, records[name], options, share * (end - time.monotonic()))


def run_part(name: str, record: Record, options: Options, seconds: float) -> None:
    """Run one part to its end or its limit; its file then holds its status."""
    print(f'{name}: at most {seconds:.0f} s', flush=True)
    record.forget_unfinished()
    began, log, status = time.monotonic(), options.work / f'{name}.log', 0
    for _ in range(ATTEMPTS):
        left = seconds - GRACE_SECONDS - (time.monotonic() - began)
        if left <= 0:
            break
        with log.open('w') as written, child(name, record.path.parent, options, left, written) as process:
            try:
                status = process.wait(left + GRACE_SECONDS)
            except subprocess.TimeoutExpired:
                status = None
        record = Record(record.path)
        if status is None:
            record.end_running(OUT_OF_TIME, 'the part was killed at its limit')
        if not status:
            break
        tail = '\n'.join(log.read_text(errors='replace').splitlines()[-15:])
        if not record.end_running(FAILED, f'the process ended with status {status}: {tail}'):
            record.content['error'] = f'the process ended with status {status}: {tail}'
            break
    record.save(status=status_of(record.content), part_seconds=time.monotonic() - began)
    print(f'{name}: {record.content["status"]} after {record.content["part_seconds"]:.0f} s', flush=True)


@contextlib.contextmanager
def child(name: str, out: Path, options: Options, seconds: float, log) -> Iterator[subprocess.Popen]:
    """Start a part as a process in its own group, and kill it with all its children in the end."""
    command = [sys.executable, '-m', 'benchmarks.on_gpu', '--child', name, '--seconds', str(seconds), '--out', str(out)]
    command += ['--work', str(options.work)] + ['--tiny'] * options.tiny
    command += ['--images', str(options.images)] if options.images else []
    process = subprocess.Popen(
        command, env=environment(name, options), stdout=log, stderr=subprocess.STDOUT, start_new_session=True
    )
    try:
        yield process
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def environment(name: str, options: Options) -> dict[str, str]:
    """Return the environment of a part's process, as in `PARTS`, with data and compiled functions below ``work``."""
    own = {'JAX_PLATFORMS': 'cpu'} if name == 'prepare' else PARTS[name].environment
    root = str(Path(__file__).resolve().parents[2])
    flags = os.environ.get('XLA_FLAGS', '')
    if options.tiny and 'optimization_level' not in flags:
        own = {**own, 'XLA_FLAGS': f'{flags} --xla_backend_optimization_level=0'.strip()}
    return {
        'JAX_COMPILATION_CACHE_DIR': str(options.work / 'compiled'),
        **os.environ,
        'PYTHONUNBUFFERED': '1',
        'PYTHONPATH': os.pathsep.join(filter(None, [root, os.environ.get('PYTHONPATH')])),
        'DATA_PATH': str(options.work / 'data'),
        **own,
    }


@contextlib.contextmanager
def preparing(out: Path, options: Options) -> Iterator[None]:
    """Prepare the datasets on the CPU while the first parts use the GPU.

    A part that opens a dataset before it is prepared waits for the dataset's lock.
    """
    with (options.work / 'prepare.log').open('w') as log, child('prepare', out, options, 0.0, log):
        yield


if __name__ == '__main__':
    sys.exit(main())
