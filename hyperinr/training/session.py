"""One process's share of a run: update after update, and between two of them whatever is due."""

import signal
from collections.abc import Callable, Iterable, Sequence
from typing import Any, NamedTuple

import jax
import numpy as np

from hyperinr.errors import InputError, RunError
from hyperinr.training import devices as seam
from hyperinr.training.best_checkpoint import KeptBest
from hyperinr.training.checkpoints import Checkpoints
from hyperinr.training.clock import Clock
from hyperinr.training.distributed import Group
from hyperinr.training.divergence import FallGuard, locate, not_finite
from hyperinr.training.evaluators.base import Findings
from hyperinr.training.input_pipeline import Batches, prefetched
from hyperinr.training.interruption import Interruption, interruptible
from hyperinr.training.loggers.base import Record
from hyperinr.training.loggers.group import LoggerGroup
from hyperinr.training.logs import ProgressReport
from hyperinr.training.profiling import StepTrace
from hyperinr.training.spans import Moment
from hyperinr.training.stop_rules import StopRules
from hyperinr.training.watching import Prepared
from hyperinr.types import MetaLearner, TrainState

__all__ = ['ALL_STEPS', 'Outputs', 'Schedule', 'Session']

ALL_STEPS = 'all steps'
"""Why a run ends that no rule ends before."""


class Schedule(NamedTuple):
    """When things happen, in steps; everything also happens after the last step."""

    num_steps: int
    log_every: int
    checkpoint_every: int


class Outputs(NamedTuple):
    """Where a session writes to; of several processes only the first writes."""

    progress: ProgressReport
    report: Callable[[Record], None]
    checkpoints: Checkpoints | None = None
    best: KeptBest | None = None
    loggers: LoggerGroup | None = None


class _Pending(NamedTuple):
    """An update that was dispatched and not yet looked at: the state before it, its number and its metrics."""

    state: TrainState
    step: int
    metrics: Any


class Session:
    """What a process does in a run.

    Args:
      learner: that is trained.
      batches: that it is trained on.
      devices: that share the work.
      workers: threads that prepare batches.
      update: compiled for them.
      schedule: of the run.
      evaluators: in order.
      rules: that may end the run.
      outputs: opened.
      clock: of the process.
      trace: of some steps.
      group: of the processes of the run.

    Attributes:
      ended_by: why the run ended; `ALL_STEPS`, or a rule's reason.
      latest: the newest findings of each evaluator.
    """

    def __init__(
        self,
        *,
        learner: MetaLearner,
        batches: Batches,
        devices: list[jax.Device],
        workers: int,
        update: seam.CompiledUpdate,
        schedule: Schedule,
        evaluators: Sequence[Prepared],
        rules: StopRules,
        outputs: Outputs,
        clock: Clock,
        trace: StepTrace,
        group: Group,
    ):
        self._learner, self._batches, self._devices, self._workers = learner, batches, devices, workers
        self._update, self._schedule, self._evaluators, self._rules = update, schedule, evaluators, rules
        self._outputs, self._clock, self._trace, self._group = outputs, clock, trace, group
        self.ended_by = ALL_STEPS
        self.latest: dict[str, Findings] = {}
        self._pending: _Pending | None = None
        self._interval: list[dict[str, float]] = []
        self._reported = clock.trained
        self._guard = FallGuard()
        self._others_stop = False

    def run(self, state: TrainState, start: int) -> TrainState:
        """Updates ``start`` to the last; ``state`` is packed and placed, and so is the result."""
        num_steps, clock = self._schedule.num_steps, self._clock
        with (
            interruptible() as interruption,
            prefetched(
                lambda step: seam.shard(self._batches(step), self._devices), start, num_steps, workers=self._workers
            ) as items,
        ):
            before = self._moment(start)
            for step in range(start, num_steps):
                with clock.part('input'):
                    try:
                        batch = next(items)
                    except InputError as error:
                        raise RunError(f'training stopped before step {step + 1}: {error}') from error
                with clock.part('step'), self._trace.step(step):
                    after, metrics = self._update.call(state, batch, interruption.signal is not None)
                    self._settle()
                self._pending, state, now = _Pending(state, step, metrics), after, self._moment(step + 1)
                self._outputs.progress.advance(step)
                if self._trace.ends_with(step):
                    self._settle()
                    self._trace.finish(self._outputs.progress.say)
                ended = self._attend(state, before, now, interruption)
                if ended is not None:
                    self.ended_by = ended
                    break
                before = now
            self._finish(now)
            if self.ended_by != ALL_STEPS:
                self._outputs.progress.say(f'ended at step {now.step} of {num_steps}: {self.ended_by}')
        return state

    def _moment(self, step: int) -> Moment:
        return Moment(step, self._clock.trained, step * self._batches.positions.epochs_per_step)

    def _attend(self, state: TrainState, before: Moment, now: Moment, interruption: Interruption) -> str | None:
        """Reports, evaluates and saves what is due after an update; returns why the run ends there, if it does."""
        schedule, stops = self._schedule, self._stops(interruption)
        ended = ALL_STEPS if now.step == schedule.num_steps else self._rules.ends(now, {})
        logs = ended is not None or now.step % schedule.log_every == 0
        due = [each for each in self._evaluators if ended is not None or each.every.passes(before, now)]
        saves = ended is not None or stops or now.step % schedule.checkpoint_every == 0
        if not (logs or due or saves):
            return None
        self._settle()
        if stops:
            # First of all: a scheduler leaves a few seconds.
            self._save(state, {}, wanted=True)
            self._wait()
        if logs:
            self._report(now)
        figures = self._evaluate(due, state, now)
        if figures and ended is None:
            ended = self._rules.ends(now, figures)
            if ended is not None:
                figures |= self._evaluate([each for each in self._evaluators if each not in due], state, now)
                if not logs:
                    self._report(now)
        self._save(state, figures, wanted=saves or ended is not None)
        if stops and ended is None:
            self._finish(now)
            interruption.raise_if_any(f'interrupted: saved at step {now.step}; the same command goes on from there')
        return ended

    def _stops(self, interruption: Interruption) -> bool:
        """Whether to stop after this step. Several processes do so when all of them have learnt it, a step later."""
        if self._group.count == 1:
            return interruption.signal is not None
        if self._others_stop and interruption.signal is None:
            interruption.signal = signal.SIGTERM
        return self._others_stop

    def _settle(self) -> None:
        """Waits for the update dispatched last, if nobody has, and looks at its metrics.

        One update later than it was dispatched, so that the devices never wait for the host. No update overwrites the
        state it starts from, hence the state before a bad one is still there to look at.
        """
        pending, self._pending = self._pending, None
        if pending is None:
            return
        with self._clock.part('step'):
            metrics = {name: float(leaf) for name, leaf in pending.metrics.items()}
        self._others_stop |= metrics.pop(seam.STOP, 0.0) > 0
        if not_finite(metrics):
            state = seam.unpack(seam.fetch(pending.state))
            found = locate(self._learner, state, self._batches(pending.step), metrics)
            raise RunError(
                f'training diverged at step {pending.step + 1}: {found}; lower the learning rate or clip the gradient, '
                'and start a new run.'
            )
        self._interval.append(metrics)

    def _report(self, now: Moment) -> None:
        """Means over the updates since the last report."""
        seconds, progress = self._clock.trained, self._outputs.progress
        means = {name: float(np.mean([each[name] for each in self._interval])) for name in self._interval[0]}
        step_seconds = (seconds - self._reported) / len(self._interval)
        self._interval, self._reported = [], seconds
        self._log(Record(now.step, seconds, 'train', Findings({**means, 'step_seconds': step_seconds})))
        progress.report(now.step, step_seconds=step_seconds, metrics=means)
        self._guard.check(now.step, means.get('psnr_db'))

    def _evaluate(self, due: Iterable[Prepared], state: TrainState, now: Moment) -> dict[str, float]:
        """Figures by ``'evaluator/figure'``."""
        figures: dict[str, float] = {}
        for each in due:
            began = self._clock.spent()['evaluation']
            with self._clock.part('evaluation'):
                found = each.measurement.measure(state)
            took = self._clock.spent()['evaluation'] - began
            self.latest[each.name] = found
            figures |= {f'{each.name}/{figure}': value for figure, value in found.figures.items()}
            told = found._replace(figures={**found.figures, 'evaluation_seconds': took})
            self._log(Record(now.step, self._clock.trained, each.name, told))
            if found.line is not None:
                self._outputs.progress.say(f'step {now.step}  {found.line}')
        return figures

    def _save(self, state: TrainState, figures: dict[str, float], *, wanted: bool) -> None:
        """A best state is an ordinary checkpoint first, so that no run goes on from before its best state."""
        checkpoints, best = self._outputs.checkpoints, self._outputs.best
        if checkpoints is None:
            return
        with self._clock.part('checkpoint'):
            is_best = best is not None and best.consider(int(state.step), figures)
            if wanted or is_best:
                fetched, seconds = seam.fetch(state), self._clock.trained
                checkpoints.save(fetched, seconds=seconds)
                if best is not None and is_best:
                    checkpoints.wait()
                    best.save(fetched, seconds=seconds)

    def _log(self, record: Record) -> None:
        if self._outputs.loggers is not None:
            with self._clock.part('logging'):
                self._outputs.loggers.write(record)
            self._outputs.report(record)

    def _finish(self, now: Moment) -> None:
        """Brings everything to the disk, and records where the time went."""
        self._trace.finish(self._outputs.progress.say)
        self._wait()
        spent = {f'{part}_seconds': seconds for part, seconds in self._clock.spent().items()}
        self._log(Record(now.step, self._clock.trained, 'time', Findings(spent)))

    def _wait(self) -> None:
        """Until what was saved is safe, in every process."""
        with self._clock.part('checkpoint'):
            for each in (self._outputs.checkpoints, self._outputs.best):
                if each is not None:
                    each.wait()
            self._group.wait_for_all()
