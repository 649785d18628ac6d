"""Run the four stages in their order. The first stage that fails ends the checks."""

import dataclasses
import functools
import math
import time
from collections.abc import Callable
from pathlib import Path

import jax
import numpy as np

from hyperinr.checking.data import Named, check_data, evenly, read_splits
from hyperinr.checking.difficulty import few
from hyperinr.checking.few_datapoints import check_few_datapoints
from hyperinr.checking.findings import Stage
from hyperinr.checking.inr_fit import Alone, Fit, alone_on, check_inr
from hyperinr.checking.picture import draw_datapoints
from hyperinr.checking.program import Program, prepare
from hyperinr.checking.short_run import NUM_CODES, check_short_run
from hyperinr.checking.variety import check_variety
from hyperinr.datasets.base import Dataset
from hyperinr.errors import InputError
from hyperinr.training import devices as devices_lib
from hyperinr.training.experiment import Experiment
from hyperinr.types import Datapoint, InrWeights, MetaLearner

__all__ = ['STAGES', 'Options', 'check', 'training_length']

STAGES = ('the data', 'one INR alone', 'the hypernetwork on these datapoints', 'a short run')
MAX_UPDATES, MIN_UPDATES = 60, 24
"""Bounds of the updates of a short training. In 60 updates a good rate learns one datapoint from the start of any
published method. Below 24 updates warm-up and decay leave too few at the full rate."""
TRAINING_FLOPS = 6e11
"""Operations of the INRs in one short training: six to ten seconds on two cores. Slower updates are fewer."""
NUM_SHOWN = 8


@dataclasses.dataclass(frozen=True)
class Options:
    """Options of the checks.

    Attributes:
      stages: numbers from 1 to 4, in increasing order.
      target_psnr_db: mean PSNR that the second stage asks for; ``None``: half of what a SIREN of the default size
        reaches above the mean of each datapoint, in dB.
      memory_gib: memory that a training step may take; ``None``: the free memory of the devices or the control group.
      num_updates: updates of a short training; ``None``: `training_length`.

    Raises:
      InputError: a value is out of its range.
    """

    stages: tuple[int, ...] = (1, 2, 3, 4)
    target_psnr_db: float | None = None
    memory_gib: float | None = None
    num_updates: int | None = None

    def __post_init__(self) -> None:
        if not self.stages or list(self.stages) != sorted({1, 2, 3, 4} & set(self.stages)):
            raise InputError(f'stages must be some of 1 2 3 4 in increasing order, not {list(self.stages)}.')
        if self.target_psnr_db is not None and not math.isfinite(self.target_psnr_db):
            raise InputError(f'the target must be a finite PSNR in dB, not {self.target_psnr_db}.')
        if self.memory_gib is not None and not 0 < self.memory_gib < math.inf:
            raise InputError(f'the memory must be a positive number of GiB, not {self.memory_gib}.')
        if self.num_updates is not None and self.num_updates < 2:
            raise InputError(f'a short training has at least 2 updates, not {self.num_updates}.')


def training_length(learner: MetaLearner, dataset: Dataset, batch_size: int) -> int:
    """Return the updates of a short training: as many as `TRAINING_FLOPS` allow, the same on every machine."""
    operations = learner.flops(dataset.spec.zeros(batch_size))
    return int(np.clip(TRAINING_FLOPS / max(operations, 1.0), MIN_UPDATES, MAX_UPDATES))


def check(
    experiment: Experiment,
    dataset: Dataset,
    shortened: Callable[[int], Experiment],
    *,
    options: Options = Options(),
    picture: Path | None = None,
    say: Callable[[Stage], None] = lambda stage: None,
) -> tuple[Stage, ...]:
    """Check a run before it is trained.

    Args:
      experiment: the run to check.
      dataset: the opened dataset of the run.
      shortened: ``num_steps -> `` the same run with that many updates and a schedule of that length.
      options: see `Options`.
      picture: path of a PNG of the data; ``None``: no picture.
      say: called with every stage when it is done.

    Returns:
      The requested stages. Stages after the first failed one are not ``reached``.

    Raises:
      InputError: a factory refuses a value, or there is no permission to write.
      RunError: the disk is full.
    """
    checks = _Checks(experiment, dataset, shortened, options, picture, experiment.build(dataset.spec))
    stages: list[Stage] = []
    for number in options.stages:
        stage = Stage(number, STAGES[number - 1], reached=all(each.passed for each in stages))
        began = time.perf_counter()
        if stage.reached:
            try:
                (checks.data, checks.inr, checks.few_datapoints, checks.short_run)[number - 1](stage)
            except InputError as error:
                if number < 3:
                    raise  # Only the trainings of the last two stages refuse data.
                stage.find('data.refused', error=str(error).removesuffix('.'))
            stage.seconds = time.perf_counter() - began
        say(stage)
        stages.append(stage)
    return tuple(stages)


@dataclasses.dataclass
class _Checks:
    """The stages and their shared data, fits and compiled program, each made on first use."""

    _experiment: Experiment
    _dataset: Dataset
    _shortened: Callable[[int], Experiment]
    _options: Options
    _picture: Path | None
    _learner: MetaLearner

    @functools.cached_property
    def _seen(self) -> dict[str, list[Named]]:
        return read_splits(self._dataset)

    @functools.cached_property
    def _chosen(self) -> list[Named]:
        if not self._seen['train']:
            raise InputError(f'the training split of {self._dataset.spec.name!r} is empty.')
        return few(self._seen['train'], self._dataset.spec)

    @functools.cached_property
    def _alone(self) -> Alone:
        datapoints = [each.datapoint for each in self._chosen]
        return alone_on(self._learner.inr, datapoints, self._dataset.spec.data_range)

    @functools.cached_property
    def _starts(self) -> InrWeights:
        start = self._learner.inr.init(jax.random.key(self._experiment.seed), self._dataset.spec.coord_dims)
        return jax.tree.map(lambda leaf: np.stack([np.asarray(leaf)] * len(self._chosen)), dict(start))

    @functools.cached_property
    def _fit(self) -> Fit:
        return self._alone.fit(self._starts)

    @functools.cached_property
    def _program(self) -> Program:
        length = training_length(self._learner, self._dataset, self._experiment.batch_size)
        return prepare(self._shortened(self._options.num_updates or length), self._dataset)

    def data(self, stage: Stage) -> None:
        sound = check_data(self._dataset, self._seen, stage)
        if sound:
            check_variety(sound, stage)
        if self._picture is not None and self._seen['train']:
            draw_datapoints(self._picture, self._shown(stage), self._dataset.spec)

    def _shown(self, stage: Stage) -> list[Datapoint]:
        """Return what is drawn: first what findings name, then what the next stages judge on, then others."""
        texts = ' '.join(each.message for each in stage.findings)
        named = [each for members in self._seen.values() for each in members if texts and str(each) in texts]
        chosen = self._chosen if stage.passed else []
        order = {str(each): each.datapoint for each in (*named, *chosen, *evenly(self._seen['train'], NUM_SHOWN))}
        first, *others = order.values()
        return [first, *(each for each in others if each.values.shape == first.values.shape)][:NUM_SHOWN]

    def inr(self, stage: Stage) -> None:
        names, target = [str(each) for each in self._chosen], self._options.target_psnr_db
        check_inr(self._alone, self._starts, self._fit, stage, names=names, target_psnr_db=target)

    def few_datapoints(self, stage: Stage) -> None:
        if self._fits_memory(stage):
            datapoints = [each.datapoint for each in self._chosen]
            check_few_datapoints(self._program, datapoints, self._alone, lambda: self._fit, stage)

    def short_run(self, stage: Stage) -> None:
        if self._fits_memory(stage):
            datapoints = [each.datapoint for each in evenly(self._seen['train'], NUM_CODES)]
            check_short_run(self._program, datapoints, stage, num_steps=self._experiment.num_steps)

    def _fits_memory(self, stage: Stage) -> bool:
        """Return whether a training step fits into memory; otherwise add the finding."""
        program = self._program
        needed, limit = program.update.bytes_needed, self._options.memory_gib
        free = devices_lib.available_memory(program.devices) if limit is None else limit * devices_lib.GIBIBYTE
        if needed is None or free is None or needed <= free:
            return True
        stage.find(
            'memory.too_small',
            batch_size=self._experiment.batch_size,
            needed_gib=needed / devices_lib.GIBIBYTE,
            free_gib=free / devices_lib.GIBIBYTE,
            limit='free' if limit is None else 'allowed',
            times=math.ceil(needed / free),
        )
        return False
