"""Run and time ``hyperinr train`` as a user starts it, for the last two parts."""

import dataclasses
import json
import os
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmarks.on_gpu.device import facts, peaks
from benchmarks.on_gpu.parts import Options
from benchmarks.on_gpu.record import Record

__all__ = ['TINY_PHOTOGRAPHS', 'Run', 'device_facts', 'figures_of', 'prepare', 'prepare_by', 'timed_run', 'train']

TINY_PHOTOGRAPHS = (
    'photo_patches.resolution=(16, 16)',
    'photo_patches.num_train=8',
    'photo_patches.num_validation=4',
    'photo_patches.num_test=4',
)
LOSSES = ('RESOURCE_EXHAUSTED', 'lower BATCH_SIZE')
"""Texts in the output of a run that needs more memory than there is."""


@dataclasses.dataclass(frozen=True)
class Run:
    """A run to train.

    Attributes:
      config: name of a gin config.
      bindings: overrides.
      folder: the run directory.
      peak: peak speed of the device in TFLOP/s.
    """

    config: str
    bindings: tuple[str, ...]
    folder: Path
    peak: float


def device_facts(record: Record, options: Options) -> float:
    """Store the facts, and return the peak of the default precision in TFLOP/s.

    `hyperinr train` reports a share of a smaller product, which is too short for a GPU. This process then holds a
    little memory on the device, which does not matter.
    """
    found = facts()
    ceilings = peaks(tiny=options.tiny)
    record.save(**found, peak_tflops=ceilings)
    return ceilings[found['default_precision']]


def prepare(options: Options) -> None:
    """Prepare the demo's patches."""
    prepare_by(TINY_PHOTOGRAPHS if options.tiny else ())


def prepare_by(bindings: Sequence[str], config: str = 'experiment/photo_patches_siren.gin') -> None:
    """Prepare the dataset of a config by opening it."""
    from hyperinr.config import applied, load_config
    from hyperinr.library import compose

    with applied(load_config(config, bindings)):
        compose().dataset()


def train(run: Run, *, num_steps: int, seconds: float | None, timeout: float) -> float:
    """Train in a new process, with measurements of held-out PSNR during training.

    Args:
      run: the run; its folder must not hold another run.
      num_steps: number of steps of the schedule.
      seconds: seconds of training after which it ends in any case; ``None``: never.
      timeout: seconds after which the process is killed; the files that it wrote remain.

    Returns:
      Seconds of the whole process.

    Raises:
      MemoryError: the run needs more memory than the device has.
      RuntimeError: the run failed; the message has the end of its output.
    """
    bindings = [f'NUM_STEPS={num_steps}', 'loop.train.loggers=[]', f'loop.train.checkpoint_every={num_steps}']
    bindings += ["held_out_psnr.split='test'", "held_out_psnr.name='test'", 'held_out_psnr.num_pictures=0']
    command = [sys.executable, '-m', 'hyperinr', 'train', run.config, '--run', str(run.folder)]
    if seconds is not None:
        bindings += ['loop.train.stop_rules=[@stop_rules.after()]', f"stop_rules.after.limit='{seconds:.0f} seconds'"]
    for binding in [*bindings, *run.bindings]:
        command += ['-p', binding]
    # The parent allocates memory on demand. A run allocates its share at once, as it does for a user.
    own = {name: value for name, value in os.environ.items() if name != 'XLA_PYTHON_CLIENT_PREALLOCATE'}
    began = time.monotonic()
    try:
        done = subprocess.run(
            command, env=own, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=timeout, check=False
        )
    except subprocess.TimeoutExpired:
        return time.monotonic() - began
    print(done.stdout, flush=True)
    if done.returncode:
        tail = '\n'.join(done.stdout.splitlines()[-15:])
        raise (MemoryError if any(said in tail for said in LOSSES) else RuntimeError)(tail)
    return time.monotonic() - began


def figures_of(run: Run) -> dict[str, Any]:
    """Return held-out PSNR at the end and during the run, and the training speed, from the run's files.

    Raises:
      RuntimeError: the run wrote no measurement.
    """
    metrics, summary = run.folder / 'metrics.jsonl', run.folder / 'summary.json'
    lines = metrics.read_text(encoding='utf-8').splitlines() if metrics.is_file() else []
    records = [json.loads(line) for line in lines if line.endswith('}')]
    curve = [
        {'seconds': each['seconds'], 'step': each['step'], 'psnr_db': each['psnr_db']}
        for each in records
        if each['kind'] == 'test'
    ]
    if not curve:
        raise RuntimeError(f'the run in {run.folder.name} measured nothing before its end.')
    steps = sorted(each['step_seconds'] for each in records if each['kind'] == 'train')
    found = json.loads(summary.read_text(encoding='utf-8')) if summary.is_file() else {}
    last = curve[-1]
    return {
        'figures': {
            'psnr_db': last['psnr_db'],
            'adapted_psnr_db': last['psnr_db'][-1],
            'updates': last['step'],
            'training_s': last['seconds'],
            'update_ms': 1e3 * steps[len(steps) // 2],
            **({'share_of_peak': found['gflops'] / 1e3 / run.peak} if 'gflops' in found else {}),
        },
        'curve': curve,
        'time': found.get('time'),
    }


def timed_run(run: Run, *, probe_steps: int, seconds: float, timeout: float) -> Mapping[str, Any]:
    """Train for about ``seconds`` under a schedule of that length. A short run first measures the updates per second.

    Args:
      run: the run.
      probe_steps: steps of the short run.
      seconds: seconds of training.
      timeout: seconds of both processes together.
    """
    began = time.monotonic()
    short = dataclasses.replace(run, folder=run.folder.with_name(f'{run.folder.name}-short'))
    train(short, num_steps=probe_steps, seconds=None, timeout=timeout)
    measured = figures_of(short)
    left = timeout - (time.monotonic() - began)
    # The second run needs at most as much time beside its updates as the short run.
    overhead = (time.monotonic() - began) - measured['figures']['training_s']
    seconds = max(1.0, min(seconds, left - 1.3 * overhead))
    num_steps = max(probe_steps, int(seconds / (1e-3 * measured['figures']['update_ms'])))
    train(run, num_steps=num_steps, seconds=1.2 * seconds, timeout=left)
    return {**figures_of(run), 'schedule_updates': num_steps, 'overhead_s': overhead}
