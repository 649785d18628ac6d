"""The meta-training loop: from an experiment to a finished run directory, with any number of interruptions."""

import contextlib
import os
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np

from hyperinr.errors import InputError, RunError
from hyperinr.files import check_writable_folder, write_json
from hyperinr.training import devices as seam
from hyperinr.training.checkpoints import Checkpoints, Restored, restore_newest
from hyperinr.training.divergence import FallGuard, locate, not_finite
from hyperinr.training.experiment import Experiment
from hyperinr.training.input_pipeline import Batches, Positions, prefetched
from hyperinr.training.interruption import interruptible
from hyperinr.training.logs import MetricsFile, ProgressReport, TensorBoard, duration, print_table
from hyperinr.training.run_directory import RunFiles, check_same_run, locked, write_run_files
from hyperinr.training.throughput import Stopwatch, matrix_product_gflops
from hyperinr.training.validation import Validated, validator
from hyperinr.types import MetaLearner, TrainState

__all__ = ['train']


class _Schedule(NamedTuple):
    """When things happen, in steps; everything also happens after the last step."""

    num_steps: int
    log_every: int
    validate_every: int
    checkpoint_every: int

    def due(self, step: int, every: int) -> bool:
        return step % every == 0 or step == self.num_steps


class _Pending(NamedTuple):
    """An update that was dispatched and not yet looked at: the state before it, its number and its metrics."""

    state: TrainState
    step: int
    metrics: Any


class _Outputs(NamedTuple):
    checkpoints: Checkpoints
    metrics: MetricsFile
    tensorboard: TensorBoard
    progress: ProgressReport


def train(
    experiment: Experiment,
    run_dir: str | os.PathLike,
    *,
    log_every: int = 20,
    validate_every: int = 200,
    checkpoint_every: int = 200,
    keep_checkpoints: int = 2,
    num_validation: int = 64,
    tensorboard: bool = True,
    config_text: str | None = None,
    report: Callable[[int, Mapping[str, Any]], None] = lambda step, record: None,
) -> TrainState:
    """Meta-trains, or goes on with, the run in ``run_dir``.

    The same call after any end, a kill included, leads to the same final parameters, bit for bit on one machine. SIGINT
    and SIGTERM save before they end the process.

    Args:
      experiment: what to train, on what, for how long.
      run_dir: new, empty, or of the same run; gets ``config.gin``, ``run.json``, ``spec.json``, ``versions.json``,
        ``metrics.jsonl``, ``summary.json``, ``checkpoints/`` and ``tensorboard/``.
      log_every: steps between two reports.
      validate_every: steps between two validations; their time counts in no throughput.
      checkpoint_every: steps between two checkpoints.
      keep_checkpoints: how many of the newest stay.
      num_validation: datapoints of the validation split to use.
      tensorboard: whether to write TensorBoard events.
      config_text: operative config, stored beside the run and compared on resuming.
      report: ``(step, record)``, called with each validation record that ``metrics.jsonl`` gets; what it raises ends
        the run.

    Returns:
      The final state: single arrays, a typed key.

    Raises:
      InputError: a wrong argument, run directory, dataset or too little memory; before anything is written.
      RunError: training diverged, the disk is full, data or memory failed midway.
      KeyboardInterrupt: after SIGINT, when the state is saved.
      SystemExit: 143, after SIGTERM, when the state is saved.
    """
    intervals = {'log_every': log_every, 'validate_every': validate_every, 'checkpoint_every': checkpoint_every}
    for name, value in {**intervals, 'keep_checkpoints': keep_checkpoints}.items():
        if value < 1:
            raise InputError(f'{name} is {value}; it must be at least 1.')
    run_dir = Path(run_dir)
    run = {'num_steps': experiment.num_steps, 'batch_size': experiment.batch_size, 'seed': experiment.seed}
    files = RunFiles(config_text, run, None)
    check_same_run(run_dir, files)
    dataset = experiment.dataset()
    spec = dataset.spec
    files = files._replace(spec=spec)
    resuming = check_same_run(run_dir, files)
    learner = experiment.build(spec)
    source = dataset.splits['train']
    if len(source) < 1:
        raise InputError(f'the training split of {spec.name!r} is empty.')
    batches = Batches(source, spec, Positions(len(source), experiment.batch_size, experiment.seed))
    with _memory_errors(experiment.batch_size, InputError):
        example = batches(0)
    devices, idle = seam.choose(experiment.batch_size)
    init = jax.jit(learner.init)
    first = jax.tree.map(lambda leaf: leaf[0], example)
    like = jax.eval_shape(init, jax.random.key(experiment.seed), first)

    with contextlib.ExitStack() as stack:
        restored: Restored | None = None
        if resuming:
            stack.enter_context(locked(run_dir))
            restored = restore_newest(run_dir / 'checkpoints', like)
            if restored is not None and restored.step >= experiment.num_steps:
                print(f'{run_dir} is finished: {restored.step} of {experiment.num_steps} steps are done.')
                return restored.state
        began = time.perf_counter()
        with _memory_errors(experiment.batch_size, InputError):
            update = seam.compile_update(learner, like, example, devices)
        compile_seconds = time.perf_counter() - began
        seam.check_memory(update, devices, experiment.batch_size)
        validate = validator(
            learner, dataset.splits['validation'], spec, num_datapoints=num_validation, devices=devices
        )
        if not resuming:
            check_writable_folder(run_dir)
            stack.enter_context(locked(run_dir))
        write_run_files(run_dir, files)

        start, seconds = (restored.step, restored.seconds) if restored else (0, 0.0)
        state = restored.state if restored else init(jax.random.key(experiment.seed), first)
        checkpoints = Checkpoints(run_dir / 'checkpoints', keep=keep_checkpoints)
        stack.callback(checkpoints.close)
        checkpoints.discard_after(start)
        log = MetricsFile(run_dir / 'metrics.jsonl', after_step=start)
        stack.callback(log.close)
        board = TensorBoard(run_dir / 'tensorboard' if tensorboard else None, after_step=start)
        stack.callback(board.close)
        progress = stack.enter_context(ProgressReport(start=start, total=experiment.num_steps))
        for line in (restored.notes if restored else []) + ([idle] if idle else []):
            progress.say(line)
        if restored:
            progress.say(f'resuming {run_dir} at step {start}')
        progress.say(
            f'{experiment.num_steps} steps of {experiment.batch_size} datapoints on {len(devices)} '
            f'{devices[0].platform} device{"s" if len(devices) > 1 else ""}; compiled in {compile_seconds:.1f} s'
        )
        session = _Session(
            learner=learner,
            batches=batches,
            devices=devices,
            update=update,
            validate=validate,
            schedule=_Schedule(experiment.num_steps, log_every, validate_every, checkpoint_every),
            outputs=_Outputs(checkpoints, log, board, progress),
            watch=Stopwatch(seconds),
            report=report,
        )
        with _memory_errors(experiment.batch_size, RunError):
            final = seam.fetch(session.run(seam.place(seam.pack(state), devices), start))
    _summarise(run_dir, session, num_steps=experiment.num_steps - start, flops=learner.flops(example), devices=devices)
    return seam.unpack(final)


class _Session:
    """One process's share of a run."""

    def __init__(
        self,
        *,
        learner: MetaLearner,
        batches: Batches,
        devices: list[jax.Device],
        update: seam.CompiledUpdate,
        validate: Callable[[Any], Validated],
        schedule: _Schedule,
        outputs: _Outputs,
        watch: Stopwatch,
        report: Callable[[int, Mapping[str, Any]], None],
    ):
        self._learner, self._batches, self._devices = learner, batches, devices
        self._update, self._validate, self._schedule, self._outputs = update, validate, schedule, outputs
        self.watch, self._tell = watch, report
        self.seconds_before = watch.total
        self.validated: Validated | None = None
        self._interval: list[dict[str, float]] = []
        self._interval_seconds = 0.0
        self._guard = FallGuard()

    def run(self, state: TrainState, start: int) -> TrainState:
        """Updates ``start`` to the last; ``state`` is packed and placed, and so is the result."""
        schedule, outputs = self._schedule, self._outputs
        with (
            interruptible() as interruption,
            prefetched(lambda step: seam.shard(self._batches(step), self._devices), start, schedule.num_steps) as items,
        ):
            pending: _Pending | None = None
            self.watch.start()
            for step in range(start, schedule.num_steps):
                try:
                    batch = next(items)
                except InputError as error:
                    raise RunError(f'training stopped before step {step + 1}: {error}') from error
                after, metrics = self._update.call(state, batch)
                self._settle(pending)
                pending, state, done = _Pending(state, step, metrics), after, step + 1
                outputs.progress.advance(step)
                logs = schedule.due(done, schedule.log_every)
                validates = schedule.due(done, schedule.validate_every)
                stops = interruption.signal is not None and done < schedule.num_steps
                saves = schedule.due(done, schedule.checkpoint_every) or stops
                if logs or validates or saves:
                    self._settle(pending)
                    pending = None
                    self._interval_seconds += self.watch.pause()
                    if logs:
                        self._report(done)
                    if validates:
                        self._measure(state, done)
                    if saves:
                        outputs.checkpoints.save(seam.fetch(state), seconds=self.watch.total)
                    if stops:
                        outputs.checkpoints.wait()
                        message = f'interrupted: saved at step {done}; the same command goes on from there'
                        outputs.progress.say(message)
                        interruption.raise_if_any(message)
                    self.watch.start()
            self.watch.pause()
            outputs.checkpoints.wait()
        return state

    def _settle(self, pending: _Pending | None) -> None:
        """Waits for an update and looks at its metrics.

        One update later than it was dispatched, so that the devices never wait for the host. No update overwrites the
        state it starts from, hence the state before a bad one is still there to look at.
        """
        if pending is None:
            return
        metrics = {name: float(leaf) for name, leaf in pending.metrics.items()}
        if not_finite(metrics):
            state = seam.unpack(seam.fetch(pending.state))
            found = locate(self._learner, state, self._batches(pending.step), metrics)
            raise RunError(
                f'training diverged at step {pending.step + 1}: {found}; lower the learning rate or clip the gradient, '
                'and start a new run.'
            )
        self._interval.append(metrics)

    def _report(self, done: int) -> None:
        outputs, number = self._outputs, len(self._interval)
        means = {name: float(np.mean([each[name] for each in self._interval])) for name in self._interval[0]}
        step_seconds = self._interval_seconds / number
        self._interval, self._interval_seconds = [], 0.0
        outputs.metrics.write(
            done, {'kind': 'train', **means, 'step_seconds': step_seconds, 'seconds': self.watch.total}
        )
        scalars = {**means, 'step_seconds': step_seconds}
        outputs.tensorboard.scalars(done, {f'train/{name}': value for name, value in scalars.items()})
        outputs.progress.report(done, step_seconds=step_seconds, metrics=means)
        self._guard.check(done, means.get('psnr_db'))

    def _measure(self, state: TrainState, done: int) -> None:
        outputs = self._outputs
        began = time.perf_counter()
        self.validated = self._validate(state.average)
        psnr, elapsed = self.validated.psnr_db, time.perf_counter() - began
        if np.isnan(psnr).any():
            raise RunError(
                f'validation after step {done} gave a PSNR that is not a number after {int(np.isnan(psnr).argmax())} '
                'adaptation steps; lower the learning rate or the inner rates, and start a new run.'
            )
        record = {'kind': 'validation', 'psnr_db': psnr, 'validation_seconds': elapsed, 'seconds': self.watch.total}
        outputs.metrics.write(done, record)
        named = {f'validation/psnr_db_after_{step}_steps': float(value) for step, value in enumerate(psnr)}
        outputs.tensorboard.scalars(done, named)
        if self.validated.pictures is not None:
            outputs.tensorboard.pictures(done, 'validation/original_0_K', self.validated.pictures)
        curve = ', '.join(f'{value:.2f}' for value in psnr)
        outputs.progress.say(f'step {done}  validation PSNR after 0..{len(psnr) - 1} steps: {curve} dB')
        self._tell(done, record)


@contextlib.contextmanager
def _memory_errors(batch_size: int, kind: type[InputError] | type[RunError]) -> Iterator[None]:
    """Turns running out of memory into one line that names the knob."""
    try:
        yield
    except (MemoryError, jax.errors.JaxRuntimeError) as error:
        text = str(error)
        if isinstance(error, MemoryError) or 'RESOURCE_EXHAUSTED' in text or 'Out of memory' in text:
            raise kind(
                f'out of memory: lower BATCH_SIZE (now {batch_size}), the resolution or the model size.'
            ) from error
        raise


def _summarise(run_dir: Path, session: _Session, *, num_steps: int, flops: float, devices: list[jax.Device]) -> None:
    seconds = session.watch.total - session.seconds_before
    step_seconds = seconds / num_steps
    summary: dict[str, Any] = {'seconds': session.watch.total, 'step_seconds': step_seconds}
    rows = [
        ('training time', duration(session.watch.total)),
        ('mean step', f'{1000 * step_seconds:.1f} ms'),
    ]
    if session.validated is not None:
        psnr = session.validated.psnr_db
        summary['validation_psnr_db'] = [float(value) if np.isfinite(value) else None for value in psnr]
        rows += [(f'validation PSNR, {step} steps', f'{psnr[step]:.2f} dB') for step in sorted({0, len(psnr) - 1})]
    if step_seconds > 0:
        reached, ceiling = flops / step_seconds / 1e9, matrix_product_gflops(devices)
        summary |= {'gflops': reached, 'matrix_product_gflops': ceiling, 'fraction': reached / ceiling}
        rows.append(('arithmetic', f'{reached:.0f} GFLOP/s, {reached / ceiling:.0%} of a matrix product'))
    write_json(run_dir / 'summary.json', summary)
    print_table(str(run_dir), rows)
