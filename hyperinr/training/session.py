"""Run the updates of one process, and the reports, evaluations and checkpoints that are due between them."""

import dataclasses
import signal
from collections.abc import Iterable, Sequence

import numpy as np

from hyperinr.errors import InputError, InterruptedRunError, RunError
from hyperinr.runtime.interruption import Interruption, interruptible
from hyperinr.runtime.progress import ProgressReport
from hyperinr.runtime.sharding import fetch, shard
from hyperinr.training.checkpoints import Checkpoints
from hyperinr.training.devices import STOP, CompiledUpdate, unpack
from hyperinr.training.distributed import Group
from hyperinr.training.input_pipeline import prefetched
from hyperinr.training.watching.best_checkpoint import KeptBest
from hyperinr.training.watching.clock import Clock
from hyperinr.training.watching.divergence import FallGuard, locate, not_finite
from hyperinr.training.watching.evaluations import Prepared
from hyperinr.training.watching.evaluators.base import Findings, Subject
from hyperinr.training.watching.loggers.base import Record
from hyperinr.training.watching.loggers.group import LoggerGroup
from hyperinr.training.watching.profiling import StepTrace
from hyperinr.training.watching.spans import Progress
from hyperinr.training.watching.stop_rules import StopRules
from hyperinr.types import Metrics, TrainState

__all__ = ['ALL_STEPS', 'Session']

ALL_STEPS = 'all steps'
"""The reason for the end of a run that no stop rule ended."""


@dataclasses.dataclass
class Session:
    """The work of one process in a run. ``checkpoints`` and ``best`` are ``None`` except in process 0.

    Attributes:
      subject: the learner that is trained, its batches, and the devices that share the work.
      workers: number of threads that prepare batches.
      update: the update, compiled for these devices.
      num_steps: number of updates of the run.
      log_every: steps between two reports.
      checkpoint_every: steps between two checkpoints.
      evaluators: run in this order.
      rules: stop rules, which may end the run.
      clock: measures the time of the process.
      trace: traces some steps.
      group: the processes of the run.
      progress: prints to the terminal.
      loggers: get every record; none except in process 0.
      checkpoints: writes the checkpoints.
      best: writes the best states.
      ended_by: why the run ended: `ALL_STEPS`, or a rule's reason.
      latest: the newest findings of each evaluator.
    """

    _: dataclasses.KW_ONLY
    subject: Subject
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
    loggers: LoggerGroup
    checkpoints: Checkpoints | None = None
    best: KeptBest | None = None
    ended_by: str = ALL_STEPS
    latest: dict[str, Findings] = dataclasses.field(default_factory=dict)

    def __post_init__(self) -> None:
        # The dispatched update whose metrics were not read yet: the state before it, its number and its metrics.
        self._pending: tuple[TrainState, int, Metrics] | None = None
        self._interval: list[dict[str, float]] = []
        self._reported = self.clock.trained
        self._guard = FallGuard()
        self._others_stop = False

    def run(self, state: TrainState, start: int) -> TrainState:
        """Update from step ``start`` to the last step; ``state`` and the result are packed and on the first device."""
        num_steps, clock = self.num_steps, self.clock
        load = lambda step: shard(self.subject.batches(step), self.subject.devices)
        with interruptible() as interruption, prefetched(load, start, num_steps, workers=self.workers) as items:
            before = self._progress_at(start)
            for step in range(start, num_steps):
                with clock.part('input'):
                    try:
                        batch = next(items)
                    except InputError as error:
                        raise RunError(f'training stopped before step {step + 1}: {error}') from error
                with clock.part('step'), self.trace.step(step):
                    after, metrics = self.update.call(state, batch, interruption.signal is not None)
                    self._settle()
                self._pending, state, now = (state, step, metrics), after, self._progress_at(step + 1)
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

    def _progress_at(self, step: int) -> Progress:
        return Progress(step, self.clock.trained, step * self.subject.batches.positions.epochs_per_step)

    def _attend(self, state: TrainState, before: Progress, now: Progress, interruption: Interruption) -> str | None:
        """Report, evaluate and save if due after an update; return why the run ends, or ``None`` if it goes on."""
        stops = self._stops(interruption)
        ended = ALL_STEPS if now.step == self.num_steps else self.rules.ends(now, {})
        logs = ended is not None or now.step % self.log_every == 0
        due = [each for each in self.evaluators if ended is not None or each.every.passes(before, now)]
        saves = ended is not None or stops or now.step % self.checkpoint_every == 0
        if not (logs or due or saves):
            return None
        self._settle()
        if stops:
            # Save first: a scheduler leaves a few seconds.
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
            stopped = KeyboardInterrupt if interruption.signal == signal.SIGINT else InterruptedRunError
            why = 'the standard output was closed' if interruption.signal == signal.SIGPIPE else 'interrupted'
            raise stopped(f'{why}: saved at step {now.step}; the same command goes on from there')
        return ended

    def _stops(self, interruption: Interruption) -> bool:
        """Return whether to stop after this step. Several processes stop one step later, when all know of it."""
        if self.group.count == 1:
            return interruption.signal is not None
        if self._others_stop and interruption.signal is None:
            interruption.signal = signal.SIGTERM
        return self._others_stop

    def _settle(self) -> None:
        """Wait for the last dispatched update, unless this was done already, and check its metrics.

        This happens one update after the dispatch, so the devices never wait for the host. An update does not overwrite
        the state that it starts from, so the state before a diverged update can still be examined.
        """
        if self._pending is None:
            return
        (before, step, last), self._pending = self._pending, None
        with self.clock.part('step'):
            metrics = {name: float(leaf) for name, leaf in last.items()}
        self._others_stop |= metrics.pop(STOP, 0.0) > 0
        if not_finite(metrics):
            found = locate(self.subject.learner, unpack(fetch(before)), self.subject.batches(step), metrics)
            raise RunError(
                f'training diverged at step {step + 1}: {found}; lower the learning rate or clip the gradient, '
                'and start a new run.'
            )
        self._interval.append(metrics)

    def _report(self, now: Progress) -> None:
        """Report the means over the updates since the last report."""
        seconds = self.clock.trained
        means = {name: float(np.mean([each[name] for each in self._interval])) for name in self._interval[0]}
        step_seconds = (seconds - self._reported) / len(self._interval)
        self._interval, self._reported = [], seconds
        self._log(Record(now.step, seconds, 'train', Findings({**means, 'step_seconds': step_seconds})))
        self.progress.report(now.step, step_seconds=step_seconds, metrics=means)
        self._guard.check(now.step, means.get('psnr_db'))

    def _evaluate(self, due: Iterable[Prepared], state: TrainState, now: Progress) -> dict[str, float]:
        """Run the evaluators that are due and return their figures by ``'evaluator/figure'``."""
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
        """Save the state if it is ``wanted`` or the best so far.

        A best state is saved as an ordinary checkpoint first. A killed run then never resumes from before its best
        state.
        """
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
        with self.clock.part('logging'):
            self.loggers.write(record)

    def _finish(self, now: Progress) -> None:
        """Finish all writing, and record the time spent in each part."""
        self.trace.finish(self.progress.say)
        self._wait()
        spent = {f'{part}_seconds': seconds for part, seconds in self.clock.spent().items()}
        self._log(Record(now.step, self.clock.trained, 'time', Findings(spent)))

    def _wait(self) -> None:
        """Wait, in every process, until all saved states are on the disk."""
        with self.clock.part('checkpoint'):
            for each in (self.checkpoints, self.best):
                if each is not None:
                    each.wait()
            self.group.wait_for_all()
