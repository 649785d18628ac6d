"""SIGKILL to workers and to the command itself at random moments, and what is left of the store.

``python -m tests.neural_datasets.kill_test FOLDER CONFIG [-p BINDING ...] --kills 20 --workers 3``: fits
``FOLDER/killed`` under kills and ``FOLDER/undisturbed`` without, verifies both, and compares every byte.
"""

import argparse
import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

from hyperinr.neural_datasets.description import DESCRIPTION, read_description
from hyperinr.neural_datasets.shards import list_shards

ROOT = Path(__file__).resolve().parents[2]


def children(pid):
    """Worker processes of a running ``hyperinr fit``."""
    found = []
    for path in Path('/proc').glob('[0-9]*/stat'):
        try:
            fields = path.read_text().rpartition(')')[2].split()
        except OSError:
            continue
        if int(fields[1]) == pid and fields[0] != 'Z':
            found.append(int(path.parent.name))
    return sorted(found)


def command(folder, config, params, num_workers):
    words = [sys.executable, '-m', 'hyperinr', 'fit', '--store', str(folder), '--workers', str(num_workers)]
    return [*words, str(config), *params]


def start(folder, config, params, num_workers):
    environment = {**os.environ, 'PYTHONPATH': str(ROOT)}
    return subprocess.Popen(
        command(folder, config, params, num_workers),
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )


def is_complete(folder):
    return (folder / DESCRIPTION).is_file() and len(list_shards(folder)) == len(read_description(folder).shards())


def run_kill_test(folder, config, params, *, num_kills, num_workers, seed, max_wait_seconds):
    """Kills one worker or everything, again and again, while the store is fitted; starts the command when it is gone.

    Returns:
      ``{'kills': ..., 'of_workers': ..., 'of_commands': ..., 'starts': ...}``.
    """
    folder = Path(folder)
    rng = random.Random(seed)
    report = {'kills': 0, 'of_workers': 0, 'of_commands': 0, 'starts': 0}
    process = None
    while report['kills'] < num_kills:
        if process is None or process.poll() is not None:
            assert process is None or process.returncode in (0, 1, -signal.SIGKILL), process.stdout.read()
            assert not is_complete(folder), f'complete after {report["kills"]} kills: make it larger or wait less'
            process = start(folder, config, params, num_workers)
            report['starts'] += 1
        deadline = time.monotonic() + 300
        while process.poll() is None and not children(process.pid) and time.monotonic() < deadline:
            time.sleep(0.02)
        time.sleep(rng.uniform(0, max_wait_seconds))
        workers = children(process.pid)
        if process.poll() is not None or not workers:
            continue
        if rng.random() < 0.5:
            os.kill(rng.choice(workers), signal.SIGKILL)
            report['of_workers'] += 1
        else:
            os.killpg(process.pid, signal.SIGKILL)
            process.communicate()
            process = None
            report['of_commands'] += 1
        report['kills'] += 1
    if process is not None:
        process.communicate(timeout=3600)
    if process is None or process.returncode != 0:
        process = start(folder, config, params, num_workers)
        report['starts'] += 1
        said, _ = process.communicate(timeout=3600)
        assert process.returncode == 0, said
    assert is_complete(folder)
    return report


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('folder', type=Path)
    parser.add_argument('config')
    parser.add_argument('-p', '--param', action='append', default=[])
    parser.add_argument('--kills', type=int, default=20)
    parser.add_argument('--workers', type=int, default=3)
    parser.add_argument('--max-wait', type=float, default=10.0, help='seconds between two kills, at most')
    parser.add_argument('--seed', type=int, default=0)
    options = parser.parse_args()
    params = [word for binding in options.param for word in ('-p', binding)]
    killed, undisturbed = options.folder / 'killed', options.folder / 'undisturbed'
    report = run_kill_test(
        killed,
        options.config,
        params,
        num_kills=options.kills,
        num_workers=options.workers,
        seed=options.seed,
        max_wait_seconds=options.max_wait,
    )
    subprocess.run(command(undisturbed, options.config, params, options.workers), check=True)
    for folder in (killed, undisturbed):
        subprocess.run([sys.executable, '-m', 'hyperinr', 'verify', '--store', str(folder)], check=True)
    names = sorted(path.name for path in undisturbed.glob('weights-*'))
    different = [name for name in names if (killed / name).read_bytes() != (undisturbed / name).read_bytes()]
    assert not different, different
    assert sorted(path.name for path in killed.glob('weights-*')) == names
    print(json.dumps({**report, 'shards': len(names), 'bit_equal': True}))


if __name__ == '__main__':
    main()
