"""The four rungs in their order. One stands on the next lower: the climb ends at the first that fails."""

import math
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np

from hyperinr.checking.alone import Fit, fit_alone, look_at_inr, some_points
from hyperinr.checking.data import DataLook, Named, evenly, look_at_data, typical
from hyperinr.checking.findings import Finding, Rung, problem
from hyperinr.checking.sheet import draw_sheet
from hyperinr.checking.short_run import NUM_CODES, look_at_short_run
from hyperinr.checking.single import look_at_single
from hyperinr.checking.trial import Trial, prepare
from hyperinr.datasets.base import Dataset
from hyperinr.errors import InputError
from hyperinr.training import devices as seam
from hyperinr.training.experiment import Experiment
from hyperinr.training.logs import duration
from hyperinr.types import Datapoint, MetaLearner

__all__ = ['RUNGS', 'Options', 'check', 'course_length']

RUNGS = ('the data', 'one INR alone', 'the hypernetwork on one datapoint', 'a short run')
GIBIBYTE = 2.0**30
MAX_UPDATES, MIN_UPDATES = 60, 24
"""Of a course. In 60 a good rate learns one datapoint from any start of the published methods; below 24 warm-up and
decay leave too few at the full rate."""
COURSE_FLOPS = 6e11
"""Of the INRs in one course: six to ten seconds on two cores. Longer updates get fewer of them, within the bounds."""
NUM_SHOWN = 8


class Options(NamedTuple):
    """What the caller may ask for.

    Attributes:
      rungs: numbers to climb, of 1 to 4, in increasing order.
      target_psnr_db: of the second rung; ``None``: up to 10 dB above the datapoint's mean.
      memory_gib: that a training step may take; ``None``: what the devices, or the control group, have free.
      num_updates: of a course; ``None``: `course_length`.
    """

    rungs: tuple[int, ...] = (1, 2, 3, 4)
    target_psnr_db: float | None = None
    memory_gib: float | None = None
    num_updates: int | None = None

    def checked(self) -> 'Options':
        """Itself.

        Raises:
          InputError: a value that cannot be.
        """
        if not self.rungs or list(self.rungs) != sorted(set(self.rungs)) or not set(self.rungs) <= {1, 2, 3, 4}:
            raise InputError(f'rungs must be some of 1 2 3 4 in increasing order, not {list(self.rungs)}.')
        if self.target_psnr_db is not None and not math.isfinite(self.target_psnr_db):
            raise InputError(f'the target must be a finite PSNR in dB, not {self.target_psnr_db}.')
        if self.memory_gib is not None and not 0 < self.memory_gib < math.inf:
            raise InputError(f'the memory must be a positive number of GiB, not {self.memory_gib}.')
        if self.num_updates is not None and self.num_updates < 2:
            raise InputError(f'a course has at least 2 updates, not {self.num_updates}.')
        return self


def course_length(learner: MetaLearner, dataset: Dataset, batch_size: int) -> int:
    """Updates of a course: as many as `COURSE_FLOPS` allow, the same on every machine."""
    spec = dataset.spec
    zeros = lambda *axes: np.broadcast_to(np.float32(0), (batch_size, *axes))
    coords, values = zeros(spec.num_points, spec.coord_dims), zeros(spec.num_points, spec.channels)
    operations = learner.flops(Datapoint(coords, values, zeros(spec.num_points), zeros()))
    return int(np.clip(COURSE_FLOPS / max(operations, 1.0), MIN_UPDATES, MAX_UPDATES))


def check(
    experiment: Experiment,
    dataset: Dataset,
    shortened: Callable[[int], Experiment],
    *,
    options: Options = Options(),  # noqa: B008
    picture: Path | None = None,
    say: Callable[[Rung], None] = lambda rung: None,
) -> tuple[Rung, ...]:
    """Climbs.

    Args:
      experiment: the run to check.
      dataset: its, opened.
      shortened: ``num_steps -> `` the same run with as many updates, so that its schedule goes to the end in a course.
      options: see `Options`.
      picture: PNG of the data to write; ``None``: none.
      say: called with every rung when it is done.

    Returns:
      The rungs asked for; those above the first that failed are not ``reached``.

    Raises:
      InputError: an option that cannot be, a value that a factory refuses, no permission to write.
      RunError: the disk is full.
    """
    options = options.checked()
    climb = _Climb(experiment, dataset, shortened, options, picture)
    climbers = {1: climb.data, 2: climb.alone, 3: climb.single, 4: climb.short_run}
    rungs: list[Rung] = []
    for number in options.rungs:
        if rungs and not rungs[-1].passed:
            rung = Rung(number, RUNGS[number - 1], '', reached=False)
        else:
            began = time.perf_counter()
            rung = climbers[number]()
            rung = rung._replace(seconds=time.perf_counter() - began)
        say(rung)
        rungs.append(rung)
    return tuple(rungs)


class _Climb:
    """What the rungs share: what was seen, fitted and compiled, each when it is first needed."""

    def __init__(
        self,
        experiment: Experiment,
        dataset: Dataset,
        shortened: Callable[[int], Experiment],
        options: Options,
        picture: Path | None,
    ):
        self._experiment, self._dataset, self._shortened = experiment, dataset, shortened
        self._options, self._picture = options, picture
        self._learner = experiment.build(dataset.spec)
        self._look: DataLook | None = None
        self._alone: Fit | None = None
        self._trial: Trial | None = None

    def data(self) -> Rung:
        spec, look = self._dataset.spec, self._seen()
        if self._picture is not None and look.seen:
            shown = [each.datapoint for each in evenly(look.seen, NUM_SHOWN)]
            draw_sheet(self._picture, [each for each in shown if each.values.shape == shown[0].values.shape], spec)
        numbers = look.numbers
        grid = f'{" x ".join(map(str, spec.grid_shape))} grid' if spec.grid_shape else f'{spec.num_points} points'
        seen = ', '.join(f'{numbers["num_seen"][s]} of {numbers["num_datapoints"][s]} {s}' for s in numbers['num_seen'])
        extent = f', values {numbers["smallest"]:.3g} to {numbers["largest"]:.3g}' if 'smallest' in numbers else ''
        summary = f'{grid}, {spec.channels} channels{extent}; {seen} datapoints looked at'
        return _rung(1, summary, look.findings, numbers)

    def alone(self) -> Rung:
        spec, chosen = self._dataset.spec, self._chosen()
        look = look_at_inr(
            self._learner.inr,
            chosen.datapoint,
            data_range=spec.data_range,
            target_psnr_db=self._options.target_psnr_db,
            seed=self._experiment.seed,
        )
        self._alone = look.fit
        summary = (
            f'{chosen}: {look.fit.reached_db:.1f} dB after {len(look.fit.psnr_db) - 1} steps of Adam at '
            f'{look.fit.rate:.2g}; the target is {look.numbers["target_psnr_db"]:.1f} dB'
        )
        return _rung(2, summary, look.findings, look.numbers)

    def single(self) -> Rung:
        trial, finding = self._prepared()
        if trial is None or finding is not None:
            return _rung(3, '', [finding] if finding else [], {})
        spec, chosen = self._dataset.spec, self._chosen()

        def random_fit() -> Fit:
            if self._alone is None:
                start = self._learner.inr.init(jax.random.key(self._experiment.seed), spec.coord_dims)
                points = some_points(chosen.datapoint)
                self._alone = fit_alone(self._learner.inr, start, points, data_range=spec.data_range)
            return self._alone

        look = look_at_single(trial, chosen.datapoint, data_range=spec.data_range, alone=random_fit)
        numbers = look.numbers
        parts: list[str] = []
        if 'psnr_db' in numbers:
            parts.append(
                f'{numbers["first_psnr_db"]:.1f} to {numbers["psnr_db"]:.1f} dB in {numbers["num_updates"]} updates'
            )
        if 'onwards_psnr_db' in numbers:
            parts.append(
                f'from what it emits the INR alone reaches {numbers["onwards_psnr_db"]:.1f} dB, from a random start '
                f'{numbers["alone_psnr_db"]:.1f} dB'
            )
        return _rung(3, '; '.join(parts), look.findings, numbers)

    def short_run(self) -> Rung:
        trial, finding = self._prepared()
        if trial is None or finding is not None:
            return _rung(4, '', [finding] if finding else [], {})
        datapoints = [each.datapoint for each in evenly(self._seen().seen, NUM_CODES)]
        try:
            look = look_at_short_run(trial, datapoints, num_steps=self._experiment.num_steps)
        except InputError as error:
            return _rung(4, '', [_refused(error)], {})
        numbers = look.numbers
        needed = numbers['bytes_needed']
        summary = (
            f'{numbers["first_psnr_db"]:.1f} to {numbers["psnr_db"]:.1f} dB in {numbers["num_updates"]} updates of '
            f'{1000 * numbers["update_seconds"]:.0f} ms; the whole run of {numbers["num_steps"]} needs about '
            f'{duration(numbers["expected_seconds"])} without validation'
        )
        if needed is not None:
            summary += f' and {needed / GIBIBYTE:.2g} GiB for a step'
        return _rung(4, summary, look.findings, numbers)

    def _seen(self) -> DataLook:
        if self._look is None:
            self._look = look_at_data(self._dataset)
        return self._look

    def _chosen(self) -> Named:
        if not self._seen().seen:
            raise InputError(f'the training split of {self._dataset.spec.name!r} is empty.')
        return typical(self._seen().seen)

    def _prepared(self) -> tuple[Trial | None, Finding | None]:
        """The compiled program, or what keeps it from running."""
        if self._trial is None:
            updates = self._options.num_updates or course_length(
                self._learner, self._dataset, self._experiment.batch_size
            )
            try:
                self._trial = prepare(self._shortened(updates), self._dataset)
            except InputError as error:
                return None, _refused(error)
        return self._trial, self._memory(self._trial)

    def _memory(self, trial: Trial) -> Finding | None:
        needed, limit = trial.update.bytes_needed, self._options.memory_gib
        free = seam.available_memory(trial.devices) if limit is None else int(limit * GIBIBYTE)
        if needed is None or free is None or needed <= free:
            return None
        return problem(
            'memory.too_small',
            f'one training step of {self._experiment.batch_size} datapoints needs {needed / GIBIBYTE:.3g} GiB, and '
            f'{free / GIBIBYTE:.3g} GiB are {"free" if limit is None else "allowed"}',
            f'lower BATCH_SIZE about {math.ceil(needed / free)} times, the resolution or the size of the model; '
            'meta_learner.rematerialize keeps one inner step instead of all',
            bytes_needed=needed,
            bytes_free=free,
        )


def _refused(error: InputError) -> Finding:
    return problem('data.refused', str(error).removesuffix('.'), 'mend the datapoint that it names')


def _rung(number: int, summary: str, findings: Sequence[Finding], numbers: Any) -> Rung:
    return Rung(number, RUNGS[number - 1], summary, tuple(findings), dict(numbers))
