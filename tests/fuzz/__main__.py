"""Try wrong values and damaged files for some time: ``python -m tests.fuzz --seconds 600 --seed 0 [--only KIND]``.

Each find is printed with what repeats it: ``python -m tests.fuzz --repeat SEED``. A find becomes a row of the tests of
the module at fault.
"""

import argparse
import collections
import os
import re
import resource
import sys
import tempfile
import time
from pathlib import Path

from tests import conftest as _environment  # noqa: F401  # the devices and the compilation cache of the tests
from tests.fuzz.attempts import defect_of
from tests.fuzz.tries import KINDS, prepare

MEMORY_BYTES = 24 * 2**30
"""Address space of this process; jax reserves several GiB that it does not use."""


def main() -> int:
    parser = argparse.ArgumentParser('python -m tests.fuzz', description=__doc__)
    parser.add_argument('--seconds', type=float, default=60)
    parser.add_argument('--seed', type=int, default=0)
    parser.add_argument('--repeat', type=int, help='one try, by its seed')
    parser.add_argument('--only', choices=list(KINDS), action='append', help='kinds of tries; repeatable')
    options = parser.parse_args()
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY_BYTES, MEMORY_BYTES))
    tried: collections.Counter[str] = collections.Counter()
    found: collections.Counter[str] = collections.Counter()
    seen: set[str] = set()
    with tempfile.TemporaryDirectory(prefix='hyperinr-fuzz-') as scratch:
        os.environ['DATA_PATH'] = f'{scratch}/data'
        subjects = prepare(Path(scratch))
        os.chdir(subjects.folder)
        end, number = time.monotonic() + options.seconds, 0
        while time.monotonic() < end:
            seed = options.seed * 10**6 + number if options.repeat is None else options.repeat
            number += 1
            kind, attempt = subjects.attempt(seed, options.only or list(KINDS))
            tried[kind] += 1
            began = time.monotonic()
            defect = defect_of(attempt)
            if time.monotonic() - began > 20:
                print(f'slow: {attempt.kind} {time.monotonic() - began:.0f} s', flush=True)
            if defect:
                found[kind] += 1
                like = f'{attempt.kind.split(" ")[0]} {re.sub("[0-9]+", "0", defect)[:90]}'
                if like not in seen or options.repeat is not None:
                    seen.add(like)
                    print(f'[{seed}] {attempt.kind}\n    {attempt.repeat}\n    {defect}', flush=True)
            if options.repeat is not None:
                break
    for kind in sorted(tried):
        print(f'{kind}: {tried[kind]} tried, {found[kind]} found')
    return int(bool(found))


if __name__ == '__main__':
    sys.exit(main())
