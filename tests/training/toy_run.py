"""A run of the toy learner as a program: one process of a run, for tests that kill and signal it."""

import argparse
import sys
import time
from pathlib import Path

from hyperinr.datasets.base import Dataset
from hyperinr.errors import InputError, RunError
from hyperinr.runtime.environment import set_environment
from tests.training.tiny_run import tiny_dataset


class Slow:
    """A source that waits before it hands out a batch, and notes which datapoints it was asked for."""

    def __init__(self, source, delay, record):
        self._source, self._delay, self._record = source, delay, record

    def __getattr__(self, name):
        return getattr(self._source, name)

    def __len__(self):
        return len(self._source)

    def __getitem__(self, index):
        return self._source[index]

    def batch(self, indices, epoch=None):
        time.sleep(self._delay)
        if self._record:
            with self._record.open('a') as file:
                file.write(f'{" ".join(map(str, indices))}\n')
        return self._source.batch(indices, epoch)


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument('run_dir', type=Path)
    parser.add_argument('--num-steps', type=int, default=7)
    parser.add_argument('--batch-size', type=int, default=8)
    parser.add_argument('--checkpoint-every', type=int, default=2)
    parser.add_argument('--delay', type=float, default=0.0)
    parser.add_argument('--out', type=Path, help='final parameters, .npz')
    parser.add_argument('--record', type=Path, help='which datapoints were read')
    parser.add_argument('--fail-at', type=int, default=-1, help='step of process 1 whose batch is spoilt')
    parser.add_argument('--process', type=int, default=0)
    parser.add_argument('--num-processes', type=int, default=1)
    parser.add_argument('--coordinator', default='')
    args = parser.parse_args()
    set_environment()

    import jax
    import numpy as np

    from hyperinr.training.distributed import Rank, joined
    from hyperinr.training.loop import train
    from hyperinr.training.watching.evaluators import held_out_psnr
    from tests.training.toy import toy_experiment

    dataset = tiny_dataset()
    source = Slow(dataset.splits['train'], args.delay, args.record)
    if args.process == 1 and args.fail_at >= 0:
        spoil_after(source, args.fail_at)
    dataset = Dataset(dataset.spec, {**dataset.splits, 'train': source})
    rank = Rank(args.coordinator, args.num_processes, args.process) if args.num_processes > 1 else None
    try:
        with joined(rank) as group:
            state = train(
                toy_experiment(num_steps=args.num_steps, batch_size=args.batch_size, dataset=lambda: dataset),
                args.run_dir,
                log_every=1,
                checkpoint_every=args.checkpoint_every,
                evaluators=[held_out_psnr(every='3 steps', num_datapoints=2)],
                group=group,
            )
            if args.out:
                np.savez(args.out, step=state.step, **state.params['head'])
            print('devices', len(jax.devices()), len(jax.local_devices()))
    except (InputError, RunError) as error:
        print(f'hyperinr: {error}', file=sys.stderr)
        return error.exit_status
    return 0


def spoil_after(source, calls):
    """Makes the batch after so many calls hold NaN."""
    read, left = source.batch, [calls]

    def batch(indices, epoch=None):
        found = read(indices, epoch)
        left[0] -= 1
        return found._replace(values=found.values * float('nan')) if left[0] < 0 else found

    source.batch = batch


if __name__ == '__main__':
    sys.exit(main())
