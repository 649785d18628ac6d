"""The meta-training loop: turn an experiment into a finished run directory, across any number of interruptions."""

import contextlib
import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any, cast

import jax

from hyperinr.errors import InputError, RunError, is_out_of_memory
from hyperinr.runtime.compilation_cache import RUN_ONCE
from hyperinr.runtime.machine import Machine
from hyperinr.runtime.progress import ProgressReport
from hyperinr.runtime.sharding import fetch
from hyperinr.training.checkpoints import Checkpoints, Restored, check_run, restore_newest, shared
from hyperinr.training.closing import summarise
from hyperinr.training.devices import check_memory, choose, compile_update, pack, unpack
from hyperinr.training.distributed import ALONE, Group
from hyperinr.training.experiment import Experiment
from hyperinr.training.input_pipeline import Batches, Positions
from hyperinr.training.run_directory import (
    RunFiles,
    check_nothing_lost,
    check_same_run,
    hyperparameters,
    locked,
    write_run_files,
)
from hyperinr.training.session import Session
from hyperinr.training.watching.best_checkpoint import BestCheckpoint, KeptBest
from hyperinr.training.watching.clock import Clock, compilation_apart
from hyperinr.training.watching.evaluations import Evaluation, evaluations_of, figures_of, prepare
from hyperinr.training.watching.evaluators.base import Evaluator, Subject
from hyperinr.training.watching.loggers import Logger, LoggerGroup, OpenLogger, Record, RunFacts, jsonl
from hyperinr.training.watching.loggers.jsonl import FILE, read_metrics
from hyperinr.training.watching.profiling import StepTrace
from hyperinr.training.watching.spans import Progress
from hyperinr.training.watching.stop_rules import StopRule, StopRules
from hyperinr.types import TrainState

__all__ = ['train']

ANY_MACHINE = Machine()


def train(
    experiment: Experiment,
    run_dir: str | os.PathLike,
    *,
    log_every: int = 20,
    checkpoint_every: int = 200,
    keep_checkpoints: int = 2,
    evaluators: Sequence[Evaluator] = (),
    loggers: Sequence[Logger] = (),
    stop_rules: Sequence[StopRule] = (),
    best: BestCheckpoint | None = None,
    profile_steps: int = 0,
    machine: Machine = ANY_MACHINE,
    config_text: str | None = None,
    group: Group = ALONE,
    report: Callable[[Record], None] = lambda record: None,
) -> TrainState:
    """Start or resume the meta-training of the run in ``run_dir``.

    If the process ends in any way, a kill included, the same call resumes the run. It leads to the same final
    parameters, bit for bit on one machine. On SIGINT, SIGTERM, SIGUSR1 and SIGHUP, and when the reader of the standard
    output leaves, the state is saved before the process ends.

    Args:
      experiment: the model, the data, and the length of the training.
      run_dir: a new or empty folder, or the folder of the same run. It gets ``config.gin``, ``run.json``,
        ``spec.json``, ``versions.json``, ``metrics.jsonl``, ``summary.json``, ``checkpoints/`` and the files of
        ``loggers``, ``best`` and ``profile_steps``.
      log_every: steps between two reports.
      checkpoint_every: steps between two checkpoints.
      keep_checkpoints: number of newest checkpoints that are kept, at least 2.
      evaluators: each measures at its own interval, and after the last step. Their time is not part of the throughput.
      loggers: get every report and evaluation, in addition to ``metrics.jsonl``.
      stop_rules: rules that may end the run before the experiment's last step; the first reason counts.
      best: the figure whose best state is kept in ``best/``, if any.
      profile_steps: number of steps to trace into ``profile/``, after a few others; 0: no trace.
      machine: the machine that this process runs on.
      config_text: operative config. It is stored with the run and compared on resuming.
      group: the processes that train together. Each of them calls this function. Only process 0 uses ``run_dir``,
        evaluates and logs.
      report: called with every record, after the loggers; an exception of it ends the run.

    Returns:
      The final state: single arrays, and a typed key.

    Raises:
      InputError: an argument, the run directory or the dataset is invalid, or memory is too small. Raised before
        anything is written.
      RunError: training diverged, the disk is full, or data or memory failed during training.
      KeyboardInterrupt: after SIGINT, when the state is saved.
      InterruptedRunError: after another of these, or a signal to another process, when the state is saved.
    """
    clock = Clock()
    for name, value, lowest in (
        ('log_every', log_every, 1),
        ('checkpoint_every', checkpoint_every, 1),
        ('keep_checkpoints', keep_checkpoints, 2),
        ('profile_steps', profile_steps, 0),
    ):
        if value < lowest:
            raise InputError(f'{name} is {value}; it must be at least {lowest}.')
    if stop_rules and group.count > 1:
        raise InputError('loop.train.stop_rules end a run of one process; leave them out with --distributed.')
    if not group.leads:
        evaluators, loggers, best, profile_steps = (), (), None, 0
    share = group.share(experiment.batch_size)
    run_dir = Path(run_dir)
    run = {'num_steps': experiment.num_steps, 'batch_size': experiment.batch_size, 'seed': experiment.seed}
    files = RunFiles(config_text, run, None)
    if group.leads:
        check_same_run(run_dir, files)
    dataset = experiment.dataset()
    spec = dataset.spec
    files = files._replace(spec=spec, fingerprint=dataset.fingerprint)
    resuming = group.leads and check_same_run(run_dir, files)
    if resuming:
        check_run(run_dir / 'checkpoints')
    learner = experiment.build(spec)
    source = dataset.splits['train']
    if len(source) < 1:
        raise InputError(f'the training split of {spec.name!r} is empty.')
    positions = Positions(len(source), experiment.batch_size, experiment.seed)
    batches = Batches(source, spec, positions, share)
    with _memory_errors(experiment.batch_size, InputError):
        example = batches(0)
    local = jax.local_devices()
    if machine.devices is not None and machine.devices > len(local):
        raise InputError(f'machine.devices is {machine.devices}; this process has {len(local)}: lower it.')
    devices, idle = choose(experiment.batch_size // group.count, local[: machine.devices])
    init = jax.jit(learner.init, compiler_options=RUN_ONCE)
    first = jax.tree.map(lambda leaf: leaf[0], example if group.leads else batches._replace(share=slice(1))(0))
    key = jax.random.key(experiment.seed)
    like = jax.eval_shape(init, key, first)
    rules = StopRules(stop_rules)

    with contextlib.ExitStack() as stack:
        stack.enter_context(compilation_apart(clock))
        restored: Restored | None = None
        records: list[dict[str, Any]] = []
        if resuming:
            stack.enter_context(locked(run_dir))
            restored = restore_newest(run_dir / 'checkpoints', like)
            if restored is None:
                check_nothing_lost(run_dir, checkpoint_every)
        restored = shared(restored, group, like)
        if restored is not None:
            records = read_metrics(run_dir / FILE, until_step=restored.step) if group.leads else []
            clock.earlier = restored.seconds
            ended = _ended(restored, evaluations_of(records), rules, positions)
            if restored.step >= experiment.num_steps or ended is not None:
                reason = f' ({ended})' if ended else ''
                if group.leads:
                    print(f'{run_dir} is finished: {restored.step} of {experiment.num_steps} steps are done{reason}.')
                return restored.state
        subject = Subject(learner, dataset, batches, devices, like)
        wanted = [*(rule.figure for rule in stop_rules), best.figure if best else None]
        prepared = prepare(evaluators, subject, wanted=wanted)
        with clock.part('compile'), _memory_errors(experiment.batch_size, InputError), ThreadPoolExecutor(1) as beside:
            begun = None if restored else beside.submit(lambda: init.lower(key, first).compile())
            update = compile_update(learner, like, example, devices, group)
        compile_seconds = clock.spent()['compile']
        check_memory(update, devices, experiment.batch_size)
        if group.leads:
            if not resuming:
                stack.enter_context(locked(run_dir))
            write_run_files(run_dir, files)

        start = restored.step if restored else 0
        state = restored.state if restored else cast(Future, begun).result()(key, first)
        progress = stack.enter_context(ProgressReport(start=start, total=experiment.num_steps, quiet=not group.leads))
        trace = StepTrace(run_dir, profile_steps, start=start, end=experiment.num_steps, clock=clock)
        stack.callback(trace.finish, progress.say)
        facts = RunFacts(run_dir, start, hyperparameters(config_text or ''), figures_of(prepared), progress.console)
        reported = Logger('report', lambda facts: OpenLogger(report), essential=True)
        all_loggers = LoggerGroup([jsonl(), *loggers, reported] if group.leads else (), facts, progress.say)
        stack.callback(all_loggers.close)
        session = Session(
            subject=subject,
            workers=machine.workers,
            update=update,
            num_steps=experiment.num_steps,
            log_every=log_every,
            checkpoint_every=checkpoint_every,
            evaluators=prepared,
            rules=rules,
            clock=clock,
            trace=trace,
            group=group,
            progress=progress,
            loggers=all_loggers,
        )
        if group.leads:
            session.checkpoints = Checkpoints(run_dir / 'checkpoints', keep=keep_checkpoints, after_step=start)
            stack.callback(session.checkpoints.close)
            if best is not None:
                session.best = KeptBest(best, run_dir, after_step=start, earlier=evaluations_of(records))
                stack.callback(session.best.close)
        for line in (restored.notes if restored else []) + ([idle] if idle else []):
            progress.say(line)
        if restored:
            progress.say(f'resuming {run_dir} at step {start}')
        elif resuming:
            progress.say(f'{run_dir} ended before its first checkpoint: training begins at step 0 again')
        each = f' in each of {group.count} processes' if group.count > 1 else ''
        progress.say(
            f'{experiment.num_steps} steps of {experiment.batch_size} datapoints on {len(devices)} '
            f'{devices[0].platform} device{"s" if len(devices) > 1 else ""}{each}; compiled in {compile_seconds:.1f} s'
        )
        with _memory_errors(experiment.batch_size, RunError):
            final = fetch(session.run(jax.device_put(pack(state), devices[0]), start))
    if group.leads:
        summarise(run_dir, session, num_steps=int(final.step) - start, records=records, flops=learner.flops(example))
    return unpack(final)


def _ended(restored: Restored, evaluations: Sequence[Evaluation], rules: StopRules, positions: Positions) -> str | None:
    """Pass the earlier evaluations to the rules, and return why the run has ended; ``None`` if it has not."""
    past = [*evaluations, Evaluation(restored.step, restored.seconds, {})]
    reasons = [
        rules.ends(Progress(step, seconds, step * positions.epochs_per_step), figures)
        for step, seconds, figures in past
    ]
    return next(filter(None, reasons), None)


@contextlib.contextmanager
def _memory_errors(batch_size: int, kind: type[InputError] | type[RunError]) -> Iterator[None]:
    """Turn an out-of-memory error into one line that names the options to lower."""
    try:
        yield
    except (MemoryError, jax.errors.JaxRuntimeError) as error:
        if is_out_of_memory(error):
            raise kind(
                f'out of memory: lower BATCH_SIZE (now {batch_size}), the resolution or the model size.'
            ) from error
        raise
