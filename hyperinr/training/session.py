"""One process's share of a run: update after update, and between two of them whatever is due."""

import dataclasses
import signal
from collections.abc import Callable, Iterable, Sequence
from typing import Any, NamedTuple

import jax
import numpy as np

from hyperinr.errors import InputError, RunError
from hyperinr.runtime.progress import ProgressReport
from hyperinr.training.checkpoints import Checkpoints
from hyperinr.training.devices import STOP, CompiledUpdate, fetch, shard, unpack
from hyperinr.training.distributed import Group
from hyperinr.training.input_pipeline import Batches, prefetched
from hyperinr.training.interruption import Interruption, interruptible
from hyperinr.training.watching.best_checkpoint import KeptBest
from hyperinr.training.watching.clock import Clock
from hyperinr.training.watching.divergence import FallGuard, locate, not_finite
from hyperinr.training.watching.evaluations import Prepared
from hyperinr.training.watching.evaluators.base import Findings
from hyperinr.training.watching.loggers.base import Record
from hyperinr.training.watching.loggers.group import LoggerGroup
from hyperinr.training.watching.profiling import StepTrace
from hyperinr.training.watching.spans import Moment
from hyperinr.training.watching.stop_rules import StopRules
from hyperinr.types import MetaLearner, TrainState

__all__ = ['ALL_STEPS', 'Session']

ALL_STEPS = 'all steps'
"""Why a run ends that no rule ends before."""


class _Pending(NamedTuple):
    """An update that was dispatched and not yet looked at: the state before it, its number and its metrics."""

    state: TrainState
    step: int
    metrics: Any


@dataclasses.dataclass
class Session:
    """What a process does in a run. Of several processes only the first has anything to write to.

    Attributes:
      learner: that is trained.
      batches: that it is trained on.
      devices: that share the work.
      workers: threads that prepare batches.
      update: compiled for them.
      num_steps: of the run.
      log_every: steps between two reports.
      checkpoint_every: steps between two checkpoints.
      evaluators: in order.
      rules: that may end the run.
      clock: of the process.
      trace: of some steps.
      group: of the processes of the run.
      progress: what the terminal shows.
      report: called with every record.
      checkpoints: where to save.
      best: where to save the best states.
      loggers: that are told of every record.
      ended_by: why the run ended; `ALL_STEPS`, or a rule's reason.
      latest: the newest findings of each evaluator.
    """

    _: dataclasses.KW_ONLY
    learner: MetaLearner
    batches: Batches
    devices: list[jax.Device]
    workers: int
    update: CompiledUpdate
    num_steps: int
    log_every: int
    checkpoint_every: int
    evaluators: Sequence[Prepared]
    rules: StopRules
    clock: Clock
    trace: StepTrace
    group: Group
    progress: ProgressReport
    report: Callable[[Record], None]
    checkpoints: Checkpoints | None = None
    best: KeptBest | None = None
    loggers: LoggerGroup | None = None
    ended_by: str = ALL_STEPS
    latest: dict[str, Findings] = dataclasses.field(default_factory=dict)

    def __post_init__(self) -> None:
        self._pending: _Pending | None = None
        self._interval: list[dict[str, float]] = []
        self._reported = self.clock.trained
        self._guard = FallGuard()
        self._others_stop = False

    def run(self, state: TrainState, start: int) -> TrainState:
        """Update from step ``start`` to the last; ``state`` is packed and on the first device, and so is the result."""
        num_steps, clock = self.num_steps, self.clock
        with (
            interruptible() as interruption,
            prefetched(
                lambda step: shard(self.batches(step), self.devices), start, num_steps, workers=self.workers
            ) as items,
        ):
            before = self._moment(start)
            for step in range(start, num_steps):
                with clock.part('input'):
                    try:
                        batch = next(items)
                    except InputError as error:
                        raise RunError(f'training stopped before step {step + 1}: {error}') from error
                with clock.part('step'), self.trace.step(step):
                    after, metrics = self.update.call(state, batch, interruption.signal is not None)
                    self._settle()
                self._pending, state, now = _Pending(state, step, metrics), after, self._moment(step + 1)
                self.progress.advance(step)
                if self.trace.ends_with(step):
                    self._settle()
                    self.trace.finish(self.progress.say)
                ended = self._attend(state, before, now, interruption)
                if ended is not None:
                    self.ended_by = ended
                    break
                before = now
            self._finish(now)
            if self.ended_by != ALL_STEPS:
                self.progress.say(f'ended at step {now.step} of {num_steps}: {self.ended_by}')
        return state

    def _moment(self, step: int) -> Moment:
        return Moment(step, self.clock.trained, step * self.batches.positions.epochs_per_step)

    def _attend(self, state: TrainState, before: Moment, now: Moment, interruption: Interruption) -> str | None:
        """Report, evaluate and save what is due after an update; return why the run ends there, if it does."""
        stops = self._stops(interruption)
        ended = ALL_STEPS if now.step == self.num_steps else self.rules.ends(now, {})
        logs = ended is not None or now.step % self.log_every == 0
        due = [each for each in self.evaluators if ended is not None or each.every.passes(before, now)]
        saves = ended is not None or stops or now.step % self.checkpoint_every == 0
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
            ended = self.rules.ends(now, figures)
            if ended is not None:
                figures |= self._evaluate([each for each in self.evaluators if each not in due], state, now)
                if not logs:
                    self._report(now)
        self._save(state, figures, wanted=saves or ended is not None)
        if stops and ended is None:
            self._finish(now)
            interruption.raise_if_any(f'interrupted: saved at step {now.step}; the same command goes on from there')
        return ended

    def _stops(self, interruption: Interruption) -> bool:
        """Return whether to stop after this step. Several processes stop when all have learnt of it, a step later."""
        if self.group.count == 1:
            return interruption.signal is not None
        if self._others_stop and interruption.signal is None:
            interruption.signal = signal.SIGTERM
        return self._others_stop

    def _settle(self) -> None:
        """Wait for the update dispatched last, if nobody has, and look at its metrics.

        This happens one update later than it was dispatched, so that the devices never wait for the host. No update
        overwrites the state it starts from, hence the state before a bad one is still there to look at.
        """
        pending, self._pending = self._pending, None
        if pending is None:
            return
        with self.clock.part('step'):
            metrics = {name: float(leaf) for name, leaf in pending.metrics.items()}
        self._others_stop |= metrics.pop(STOP, 0.0) > 0
        if not_finite(metrics):
            state = unpack(fetch(pending.state))
            found = locate(self.learner, state, self.batches(pending.step), metrics)
            raise RunError(
                f'training diverged at step {pending.step + 1}: {found}; lower the learning rate or clip the gradient, '
                'and start a new run.'
            )
        self._interval.append(metrics)

    def _report(self, now: Moment) -> None:
        """Report the means over the updates since the last report."""
        seconds = self.clock.trained
        means = {name: float(np.mean([each[name] for each in self._interval])) for name in self._interval[0]}
        step_seconds = (seconds - self._reported) / len(self._interval)
        self._interval, self._reported = [], seconds
        self._log(Record(now.step, seconds, 'train', Findings({**means, 'step_seconds': step_seconds})))
        self.progress.report(now.step, step_seconds=step_seconds, metrics=means)
        self._guard.check(now.step, means.get('psnr_db'))

    def _evaluate(self, due: Iterable[Prepared], state: TrainState, now: Moment) -> dict[str, float]:
        """Return figures by ``'evaluator/figure'``."""
        figures: dict[str, float] = {}
        for each in due:
            began = self.clock.spent()['evaluation']
            with self.clock.part('evaluation'):
                found = each.measurement.measure(state)
            took = self.clock.spent()['evaluation'] - began
            self.latest[each.name] = found
            figures |= {f'{each.name}/{figure}': value for figure, value in found.figures.items()}
            told = found._replace(figures={**found.figures, 'evaluation_seconds': took})
            self._log(Record(now.step, self.clock.trained, each.name, told))
            if found.line is not None:
                self.progress.say(f'step {now.step}  {found.line}')
        return figures

    def _save(self, state: TrainState, figures: dict[str, float], *, wanted: bool) -> None:
        """Save what is wanted or best. A best state is an ordinary checkpoint first: no run goes on from before it."""
        checkpoints, best = self.checkpoints, self.best
        if checkpoints is None:
            return
        with self.clock.part('checkpoint'):
            is_best = best is not None and best.consider(int(state.step), figures)
            if wanted or is_best:
                fetched, seconds = fetch(state), self.clock.trained
                checkpoints.save(fetched, seconds=seconds)
                if best is not None and is_best:
                    checkpoints.wait()
                    best.save(fetched, seconds=seconds)

    def _log(self, record: Record) -> None:
        if self.loggers is not None:
            with self.clock.part('logging'):
                self.loggers.write(record)
            self.report(record)

    def _finish(self, now: Moment) -> None:
        """Bring everything to the disk, and record where the time went."""
        self.trace.finish(self.progress.say)
        self._wait()
        spent = {f'{part}_seconds': seconds for part, seconds in self.clock.spent().items()}
        self._log(Record(now.step, self.clock.trained, 'time', Findings(spent)))

    def _wait(self) -> None:
        """Wait until what was saved is safe, in every process."""
        with self.clock.part('checkpoint'):
            for each in (self.checkpoints, self.best):
                if each is not None:
                    each.wait()
            self.group.wait_for_all()
