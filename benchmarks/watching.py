"""Measure the cost of logging, evaluating and saving beside training, at the defaults of a config.

``python -m benchmarks.watching [--config NAME] [--steps N] [--rounds N] [--json FILE]`` alternates runs with everything
on (watched) and everything off (unwatched) in one process, with the same updates. It gives two figures, both without
compilation. ``throughput_ratio`` is the updates per second of a watched run, including evaluations, reports and saves,
divided by those of an unwatched run. ``share_beside_training`` is the share of the watched run's time outside training.
The first includes a slowdown of the updates themselves; the second is more stable on a busy machine.
"""

import argparse
import json
import statistics
import tempfile
from pathlib import Path

from hyperinr.runtime.environment import set_environment

PARTS = ('input', 'step', 'evaluation', 'checkpoint', 'logging')
NEVER = 10**9
OFF = ('loop.train.evaluators=[]', 'loop.train.loggers=[]', f'loop.train.log_every={NEVER}') + (
    f'loop.train.checkpoint_every={NEVER}',
)


def time_of_run(name: str, bindings: list[str], run_dir: Path) -> dict[str, float]:
    """Return the seconds of each part of a run of a config."""
    from hyperinr.config import applied, configured, load_config
    from hyperinr.library import compose
    from hyperinr.training import loop

    config = load_config(name, bindings)
    with applied(config):
        configured(loop.train)(compose(), run_dir, config_text=config.text)
    time: dict[str, float] = json.loads((run_dir / 'summary.json').read_text())['time']
    return {part: time[part] for part in PARTS}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition('\n')[0])
    parser.add_argument('--config', default='experiment/photo_patches_siren.gin')
    parser.add_argument(
        '--steps', type=int, default=200, help='a multiple of the intervals, so that the last step adds nothing'
    )
    parser.add_argument('--rounds', type=int, default=3)
    parser.add_argument('--json', type=Path)
    options = parser.parse_args()
    set_environment()
    rounds = []
    for number in range(options.rounds):
        with tempfile.TemporaryDirectory() as folder:
            steps = [f'NUM_STEPS={options.steps}']
            off = time_of_run(options.config, [*steps, *OFF], Path(folder, 'off'))
            on = time_of_run(options.config, steps, Path(folder, 'on'))
        training = on['input'] + on['step']
        rounds.append(
            {
                'throughput_ratio': (off['input'] + off['step']) / sum(on.values()),
                'share_beside_training': 1 - training / sum(on.values()),
                'on': on,
                'off': off,
            }
        )
        print(f'round {number}: {rounds[-1]}', flush=True)
    for figure in ('throughput_ratio', 'share_beside_training'):
        print(f'{figure}: median {statistics.median(each[figure] for each in rounds):.3f}')
    if options.json:
        options.json.write_text(json.dumps(rounds, indent=2) + '\n')


if __name__ == '__main__':
    main()
