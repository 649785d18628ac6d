"""The smallest neural datasets: functions on a grid that is not square, fitted by a SIREN of a few weights."""

import functools

import optax

from hyperinr import datasets, inrs
from hyperinr.neural_datasets import starts
from hyperinr.neural_datasets.plan import Plan, make_job
from hyperinr.neural_datasets.signals import Signals
from hyperinr.neural_datasets.worker import fit_range, open_for_fitting

__all__ = ['CONFIG', 'NUM_SIGNALS', 'SIZES', 'default_job', 'fit_tiny', 'tiny_job', 'write_config']

NUM_SIGNALS = 11
OPTIMIZER = optax.adam(1e-2)

CONFIG = """
SEEDS = (3, 5)
NUM_STEPS = 4
TARGET_PSNR_DB = None
include 'dataset/continuous_function.gin'
include 'inr/siren.gin'
include 'fit_optimizer/adam.gin'
include 'fit_schedule/constant.gin'
include 'fit_start/random.gin'
include 'neural_dataset/default.gin'
"""
SIZES = (
    'continuous_function.resolution=(5, 7)',
    'continuous_function.num_train=6',
    'continuous_function.num_validation=3',
    'continuous_function.num_test=2',
    "continuous_function.sampling='grid'",
    'siren.width=6',
    'siren.depth=2',
    'neural_dataset.num_parallel=2',
    'neural_dataset.shard_size=4',
)


def write_config(folder, text=CONFIG):
    """A config for the command line; add `SIZES` with ``-p``."""
    path = folder / 'tiny.gin'
    path.write_text(text)
    return path


def tiny_dataset():
    return datasets.continuous_function(resolution=(5, 7), num_train=6, num_validation=3, num_test=2)


@functools.cache
def tiny_inr(channels, width, hidden_omega_0):
    """One object for each size, so that it is compiled once."""
    return inrs.siren(channels=channels, width=width, depth=2, omega_0=6.0, hidden_omega_0=hidden_omega_0)


@functools.cache
def default_job():
    return tiny_job()


def tiny_job(
    *,
    seeds=(3, 5),
    start=None,
    num_steps=4,
    target_psnr_db=None,
    target_iou=None,
    steps_per_look=25,
    subsampling=None,
    num_parallel=2,
    shard_size=4,
    width=6,
    hidden_omega_0=3.0,
    dataset=None,
    optimizer=OPTIMIZER,
    load_model=None,
):
    """A `Job`: 11 signals x 2 seeds in shards of 4, of which the last has 2."""
    dataset = dataset or tiny_dataset()
    plan = Plan(
        optimizer=lambda spec: optimizer,
        start=start or starts.random(),
        seeds=tuple(seeds),
        splits=('train', 'validation', 'test'),
        num_steps=num_steps,
        target_psnr_db=target_psnr_db,
        target_iou=target_iou,
        steps_per_look=steps_per_look,
        subsampling=subsampling,
        num_parallel=num_parallel,
        shard_size=shard_size,
    )
    return make_job(
        plan,
        tiny_inr(dataset.spec.channels, width, hidden_omega_0),
        Signals(dataset, plan.splits),
        config_text='',
        load_model=load_model,
    )


def fit_tiny(folder, job=None, **range_and_worker):
    """Fit a `tiny_job` in this process; return it with the number of INRs fitted."""
    job = job or default_job()
    open_for_fitting(folder, job.description)
    return job, fit_range(folder, job, **range_and_worker)
