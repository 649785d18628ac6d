"""The fourth stage: a short run on all data. It checks the loss and each module, and estimates the cost of the run."""

from collections.abc import Callable, Sequence
from typing import Any

import jax
import numpy as np

from hyperinr.checking.few_datapoints import find_rate
from hyperinr.checking.findings import Stage
from hyperinr.checking.program import GRADIENT, Program, Training, train
from hyperinr.runtime import sharding
from hyperinr.runtime.progress import duration
from hyperinr.training import devices as devices_lib
from hyperinr.training.watching.evaluators.base import module_of, modules
from hyperinr.types import Code, Datapoint, InrWeights, Params, Start, TrainState

__all__ = ['check_rates', 'check_short_run', 'same', 'shifted']

LEAST_GAIN_DB = 0.3
"""Least PSNR gain of the run, measured on the same batches before and after it to avoid sampling noise. An
auto-decoder, whose rows learn only when they are in a batch, gained 0.9 dB (docs/checking.md)."""
NUM_MEASURED = 2
"""Batches on which this gain is measured."""
DEAD_GRADIENT = 1e-8
"""Share of the norm of the whole gradient below which a module gets no gradient: float32 has seven digits."""
DEAD_CODE = 1e-6
"""Spread of a code over datapoints, relative to its size, below which it is rounding error."""
FROZEN_RATES = 1e-5
"""Change of the logarithm of a step size below which the step size is unchanged."""
NUM_CODES = 16
"""Datapoints whose codes are compared."""
WARM_UP = 2
"""Updates that are not timed."""


def check_short_run(program: Program, datapoints: Sequence[Datapoint], stage: Stage, *, num_steps: int) -> None:
    """Train on real batches. If that does not learn, train also at shorter and longer steps.

    Args:
      program: the prepared program.
      datapoints: different datapoints of equal shapes, whose codes are compared.
      stage: gets findings, numbers and a summary.
      num_steps: updates of the whole run, for its cost.

    Raises:
      InputError: training refuses a batch.
    """
    updates, numbers = program.experiment.num_steps, stage.numbers
    measured = [program.batches(updates + index) for index in range(NUM_MEASURED)]
    before = _mean_psnr(program, program.fresh, measured)
    training_at = lambda factor: train(program, program.batches.__call__, step_factor=factor)
    training = training_at(1.0)
    after = float('nan') if training.diverged else _mean_psnr(program, training.state, measured)
    timed = slice(min(WARM_UP, len(training.update_seconds) - 1), None)
    seconds, waited = (float(np.median(each[timed])) for each in (training.update_seconds, training.input_seconds))
    needed = program.update.bytes_needed
    numbers |= {
        'num_updates': updates,
        'first_psnr_db': before,
        'psnr_db': after,
        'update_seconds': seconds,
        'input_seconds': waited,
        'num_steps': num_steps,
        'expected_seconds': num_steps * max(seconds, waited),
        'compile_seconds': program.compile_seconds,
        'bytes_needed': needed,
    }
    stage.summary = (
        f'{before:.1f} to {after:.1f} dB in {updates} updates of {1000 * seconds:.0f} ms; the whole run of {num_steps} '
        f'needs about {duration(numbers["expected_seconds"])} without validation'
    )
    if needed is not None:
        stage.summary += f' and {needed / devices_lib.GIBIBYTE:.2g} GiB for a step'
    if not after >= before + LEAST_GAIN_DB:
        cause, lead = find_rate(training, training_at, stage, LEAST_GAIN_DB)
        if cause in (None, 'stuck'):
            stage.find('training.not_falling', lead=lead, psnr_db=after)
    if not training.diverged:
        _check_modules(program, training, datapoints, stage)
    if waited > seconds:
        stage.find('training.waits_for_input', input_milliseconds=1000 * waited, update_milliseconds=1000 * seconds)


def _mean_psnr(program: Program, state: TrainState, batches: Sequence[Datapoint]) -> float:
    """Return the mean PSNR of the batches in dB. It comes from updates whose new states are dropped."""
    found = [program.update.call(state, sharding.shard(each, program.devices))[1]['psnr_db'] for each in batches]
    return float(np.mean([float(value) for value in found]))


def _check_modules(program: Program, training: Training, datapoints: Sequence[Datapoint], stage: Stage) -> None:
    """Check the gradient and the change of each module, the spread of codes, and the step sizes."""
    params, updates = training.state.params, len(training.update_seconds)
    largest = {name: float(training.metrics[f'{GRADIENT}{name}'].max()) for name in modules(params)}
    whole = float(training.metrics.get('gradient_norm', np.zeros(1)).max()) or max(largest.values())
    stage.numbers['gradient_share'] = {name: value / whole if whole else 0.0 for name, value in largest.items()}
    without = [name for name, value in largest.items() if value <= DEAD_GRADIENT * whole]
    old, new = modules(program.fresh.params), modules(params)
    frozen = [name for name in largest if name not in without and same(old[name], new[name])]
    emit = _emitter(program, datapoints)
    emitted = emit(params)
    explained = [name for name in without if _of(name, 'rates')]
    if _check_encoder(params, emitted[0].code, without, stage):
        explained += [name for name in without if _of(name, 'encoder')]
    if program.learner.num_steps and any(_of(name, 'rates') for name in largest):
        check_rates(emit(program.fresh.params)[0].rates, emitted[0].rates, without, stage)
    rest = [name for name in without if name not in explained]
    unused = [name for name in rest if same(emitted, emit(shifted(params, name)))]
    used = [name for name in rest if name not in unused]
    found = (('training.no_gradient', used), ('training.unused_module', unused), ('training.frozen_module', frozen))
    for code, names in found:
        if names:
            stage.find(code, names=', '.join(names), modules=names, num_updates=updates)


def _of(name: str, part: str) -> bool:
    return name == part or name.startswith(f'{part}/')


def _emitter(program: Program, datapoints: Sequence[Datapoint]) -> Callable[[Params], tuple[Start, InrWeights]]:
    """Compile the function ``params -> (start, weights)`` of M datapoints; its leaves are NumPy arrays ``[M, ...]``."""
    hypernetwork = program.learner.hypernetwork
    stacked = jax.tree.map(lambda *leaves: np.stack(leaves), *datapoints)

    def one(params: Params, datapoint: Datapoint) -> tuple[Start, InrWeights]:
        start = hypernetwork.encode(params, datapoint)
        return start, hypernetwork.decode(params, start.code)

    emit = jax.jit(jax.vmap(one, (None, 0)))
    return lambda params: jax.tree.map(np.asarray, emit(params, stacked))


def shifted(params: Params, module: str) -> Params:
    """Return the parameters with 1 added to all of one module: far more than a trained module changes."""
    return jax.tree_util.tree_map_with_path(lambda path, leaf: leaf + (module_of(path) == module), params)


def same(first: Any, second: Any) -> bool:
    """Return whether all leaves are equal."""
    return all(np.array_equal(a, b) for a, b in zip(jax.tree.leaves(first), jax.tree.leaves(second), strict=True))


def _check_encoder(params: Params, codes: Code, without: Sequence[str], stage: Stage) -> bool:
    """Return whether the encoder is dead: its code is the same for all datapoints, or it gets no gradient."""
    own, leaves = [name for name in modules(params) if _of(name, 'encoder')], jax.tree.leaves(codes)
    if not own or len(leaves[0]) < 2:
        return False
    sizes = [max(np.sqrt(np.mean(np.square(leaf))), 1e-30) for leaf in leaves]
    spread = float(max(leaf.std(axis=0).max() / size for leaf, size in zip(leaves, sizes, strict=True)))
    stage.numbers['code_spread'] = spread
    dead, cut = spread <= DEAD_CODE, all(name in without for name in own)
    if dead:
        stage.find('training.dead_encoder', num_datapoints=len(leaves[0]), code_spread=spread)
    elif cut:
        stage.find('training.dead_encoder/gradient', names=', '.join(own))
    return dead or cut


def check_rates(before: Code, after: Code, without: Sequence[str], stage: Stage) -> None:
    """Compare the step sizes before and after a training; ``without`` are the modules that got no gradient."""
    logarithms = [
        np.concatenate([np.log(np.maximum(leaf, 1e-30)).ravel() for leaf in jax.tree.leaves(rates)])
        for rates in (before, after)
    ]
    change = float(np.max(np.abs(logarithms[1] - logarithms[0])))
    medians = [float(np.exp(np.median(each))) for each in logarithms]
    stage.numbers |= {'rates_change': change, 'median_rate': medians[1], 'median_rate_before': medians[0]}
    if change <= FROZEN_RATES:
        constant = any(_of(name, 'rates') for name in without)
        stage.find('training.rates_constant' if constant else 'training.rates_frozen', median_rate=medians[1])
