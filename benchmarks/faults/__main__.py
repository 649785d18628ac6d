"""Disturb training and fitting in every way, and count what is lost.

``python -m benchmarks.faults [--small] [--json FILE]`` runs ``hyperinr train`` (the demo's config with small sizes) and
``hyperinr fit --workers 3`` under SIGKILL at random moments, Ctrl-C, SIGTERM and SIGHUP in every phase, a closed pipe,
a damaged checkpoint or shard, a full disk and a read-only folder. After each fault the same command line goes on. For
each kind it prints:

- tried: number of faults.
- survived: the command ended as documented, the next one went on from the newest sound state, and the run or store
  ended in the bits of an undisturbed one.
- lost: updates or INRs that were lost beyond what is promised. A killed training may lose the updates since its last
  but one checkpoint, a killed fit the shards in work.

The exit status is 1 if anything was lost or not survived.
"""

import argparse
import dataclasses
import json
import random
import signal
import sys
import tempfile
import time
from pathlib import Path

from benchmarks.faults.fitting import FittingFaults
from benchmarks.faults.processes import Count
from benchmarks.faults.training import TrainingFaults


def run(folder: Path, *, small: bool, seed: int) -> dict[str, dict[str, Count]]:
    """Return the counts by command and kind.

    Args:
      folder: an empty folder.
      small: one kill, and one signal in each phase.
      seed: of moments and places.
    """
    folder.mkdir(parents=True, exist_ok=True)
    found = {}
    for name in ('train', 'fit'):
        place, rng = folder / name, random.Random(seed)
        place.mkdir()
        if name == 'train':
            faults: TrainingFaults | FittingFaults = TrainingFaults(place, 200 if small else 400, rng)
        else:
            faults = FittingFaults(place, 60 if small else 240, 20_000, 3, rng)
        faults.all(kills=1 if small else 20, signals=1 if small else 3)
        found[name] = dict(faults.counts)
    return found


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--small', action='store_true', help='one kill instead of twenty, one signal instead of three')
    parser.add_argument('--seed', type=int, default=0)
    parser.add_argument('--folder', type=Path, help='new folder to keep the runs in')
    parser.add_argument('--json', type=Path)
    options = parser.parse_args()
    # What a process in the background or under nohup ignores, its children would ignore too.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGHUP, signal.SIG_DFL)
    began = time.monotonic()
    with tempfile.TemporaryDirectory() as temporary:
        folder = (options.folder or Path(temporary)).absolute()
        try:
            found = run(folder, small=options.small, seed=options.seed)
        except KeyboardInterrupt:
            print('interrupted: nothing is kept; run it again', file=sys.stderr)
            return 130
    print(f'{"command":8} {"fault":24} {"tried":>6} {"survived":>9} {"lost":>5}')
    for command, counts in found.items():
        for kind, count in counts.items():
            print(f'{command:8} {kind:24} {count.tried:6} {count.survived:9} {count.lost:5}')
            print(*(f'         {" ".join(why.split())}' for why in count.why), sep='\n', end='\n' if count.why else '')
    print(f'{time.monotonic() - began:.0f} s')
    if options.json:
        content = {
            name: {kind: dataclasses.asdict(each) for kind, each in counts.items()} for name, counts in found.items()
        }
        options.json.write_text(json.dumps(content, indent=2) + '\n')
    every = [each for counts in found.values() for each in counts.values()]
    return int(any(each.lost or each.survived < each.tried for each in every))


if __name__ == '__main__':
    sys.exit(main())
