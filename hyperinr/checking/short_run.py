"""The fourth rung: a short run on all data. Does it learn, does everything take part, what will the whole run cost?"""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import numpy as np

from hyperinr.checking.findings import Finding, note, problem
from hyperinr.checking.single import name_cause
from hyperinr.checking.trial import GRADIENT, Course, Trial, module_of, modules, run
from hyperinr.training import devices as seam
from hyperinr.types import Code, Datapoint, InrWeights, Params, Start

__all__ = ['ShortLook', 'look_at_short_run']

LEAST_GAIN_DB = 0.3
"""Of the mean PSNR of the same batches before and after the run, which has no noise of sampling in it. An auto-decoder,
whose rows learn only when they are met, gained 0.9 dB (docs/checking.md)."""
NUM_PROBES = 2
"""Batches that it is measured on."""
DEAD_GRADIENT = 1e-8
"""Of the norm of the whole gradient: float32 has seven digits, so what is smaller is rounding, or nothing at all."""
DEAD_CODE = 1e-6
"""Of the code's own size: its spread over datapoints where only rounding tells them apart."""
FROZEN_RATES = 1e-5
"""Largest change of the logarithm of a step size that is none."""
NUM_CODES = 16
"""Datapoints whose codes are compared."""
WARM_UP = 2
"""Updates that are not timed."""


class ShortLook(NamedTuple):
    """What the fourth rung saw.

    Attributes:
      findings: problems and notes.
      numbers: JSON-serialisable but for numbers that are not finite.
    """

    findings: tuple[Finding, ...]
    numbers: dict[str, Any]


def look_at_short_run(trial: Trial, datapoints: Sequence[Datapoint], *, num_steps: int) -> ShortLook:
    """Trains on real batches, at shorter and longer steps too where it does not learn.

    Args:
      trial: prepared.
      datapoints: different ones, of equal shapes, whose codes are compared.
      num_steps: updates of the whole run, for its cost.

    Raises:
      InputError: a batch that training refuses.
    """
    updates = trial.experiment.num_steps
    probes = [trial.batches(updates + index) for index in range(NUM_PROBES)]
    probed = lambda state: _probe(trial, state, probes)
    before = probed(trial.fresh)
    course = run(trial, trial.batches.__call__)
    after = float('nan') if course.diverged else probed(course.state)
    seconds = float(np.median(course.update_seconds[min(WARM_UP, len(course.update_seconds) - 1) :]))
    waited = float(np.median(course.input_seconds[min(WARM_UP, len(course.input_seconds) - 1) :]))
    numbers: dict[str, Any] = {
        'num_updates': updates,
        'first_psnr_db': before,
        'psnr_db': after,
        'update_seconds': seconds,
        'input_seconds': waited,
        'num_steps': num_steps,
        'expected_seconds': num_steps * max(seconds, waited),
        'compile_seconds': trial.compile_seconds,
        'bytes_needed': trial.update.bytes_needed,
    }
    findings = _judge_learning(trial, course, before, after, numbers)
    if not course.diverged:
        findings += _judge_modules(trial, course, datapoints, numbers)
    if waited > seconds:
        findings.append(
            note(
                'training.waits_for_input',
                f'a batch takes {1000 * waited:.0f} ms to read and {1000 * seconds:.0f} ms to train on',
                'hold the data in memory, or make them cheaper to read',
                input_seconds=waited,
                update_seconds=seconds,
            )
        )
    return ShortLook(tuple(findings), numbers)


def _probe(trial: Trial, state: Any, probes: Sequence[Datapoint]) -> float:
    """Mean PSNR of the batches, in dB, by updates whose results are thrown away."""
    found = [trial.update.call(state, seam.shard(batch, trial.devices))[1]['psnr_db'] for batch in probes]
    return float(np.mean([float(value) for value in found]))


def _judge_learning(trial: Trial, usual: Course, before: float, after: float, numbers: dict[str, Any]) -> list[Finding]:
    if not usual.diverged and after >= before + LEAST_GAIN_DB:
        return []
    course_at = lambda factor: run(trial, trial.batches.__call__, step_factor=factor)
    cause, scores = name_cause(before, usual, course_at, LEAST_GAIN_DB)
    numbers['psnr_db_at_steps_times'] = {f'{factor:g}': value for factor, value in scores.items()}
    tried = ', '.join(f'{value:.1f} dB with steps times {factor:g}' for factor, value in sorted(scores.items()))
    what = f'{trial.experiment.num_steps} updates lead from {before:.1f} dB to {tried}'
    best = max(scores, key=lambda factor: scores[factor])
    if cause == 'rate_too_high':
        return [problem('training.rate_too_high', what, f'lower the outer learning rate about {1 / best:g} times')]
    if cause == 'rate_too_low':
        return [problem('training.rate_too_low', what, f'raise the outer learning rate about {best:g} times')]
    if cause == 'diverged':
        return [problem('training.diverged', what, 'clip the gradient, and check initialisation and inner step sizes')]
    return [
        problem(
            'training.not_falling',
            f'{what}; the same batches have {after:.1f} dB after the course',
            'make the third rung pass first; else the data have nothing in common, or the batch is too small',
        )
    ]


def _judge_modules(
    trial: Trial, course: Course, datapoints: Sequence[Datapoint], numbers: dict[str, Any]
) -> list[Finding]:
    """Gradients and movement of each module, the spread of codes, and the step sizes."""
    whole = float(course.metrics['gradient_norm'].max()) if 'gradient_norm' in course.metrics else None
    largest = {
        name.removeprefix(GRADIENT): float(values.max())
        for name, values in course.metrics.items()
        if name.startswith(GRADIENT)
    }
    whole = whole or max(largest.values())
    moved = {
        name: any(not np.array_equal(old, new) for old, new in zip(leaves, now, strict=True))
        for (name, leaves), now in zip(
            modules(trial.fresh.params).items(), modules(course.state.params).values(), strict=True
        )
    }
    numbers['gradient_share'] = {name: value / whole if whole else 0.0 for name, value in largest.items()}
    without = [name for name, value in largest.items() if value <= DEAD_GRADIENT * whole]
    frozen = [name for name in largest if name not in without and not moved[name]]
    emit = _emitter(trial, datapoints)
    emitted = emit(course.state.params)
    findings = _judge_encoder(course.state.params, emitted.start.code, without, numbers)
    dead_encoder = bool(findings)
    if trial.learner.num_steps and any(_of(name, 'rates') for name in largest):
        findings += _judge_rates(emit(trial.fresh.params).start.rates, emitted.start.rates, without, numbers)
    rest = [name for name in without if not _of(name, 'rates') and not (dead_encoder and _of(name, 'encoder'))]
    used = [name for name in rest if not _same(emitted, emit(_shifted(course.state.params, name)))]
    unused = [name for name in rest if name not in used]
    if used:
        findings.append(
            problem(
                'training.no_gradient',
                f'no gradient reaches {", ".join(used)} in {len(course.update_seconds)} updates, though the emitted '
                'weights depend on it',
                'look for stop_gradient, rounding, or steps without a derivative on its way to the loss',
                modules=used,
            )
        )
    if unused:
        findings.append(
            note(
                'training.unused_module',
                f'{", ".join(unused)} has no effect on what is emitted for these data, and gets no gradient',
                'right for what marks hidden points where none are hidden; else look for zeros and saturated units',
                modules=unused,
            )
        )
    if frozen:
        findings.append(
            problem(
                'training.frozen_module',
                f'{", ".join(frozen)} gets a gradient and has not moved in {len(course.update_seconds)} updates',
                'the outer optimiser leaves it out: look for a mask, or a rate of 0 for it',
                modules=frozen,
            )
        )
    return findings


def _of(name: str, part: str) -> bool:
    return name == part or name.startswith(f'{part}/')


class _Emitted(NamedTuple):
    """What a hypernetwork emits for several datapoints, leaves ``[M, ...]`` of NumPy."""

    start: Start
    weights: InrWeights


def _emitter(trial: Trial, datapoints: Sequence[Datapoint]) -> Callable[[Params], _Emitted]:
    hypernetwork = trial.learner.hypernetwork
    stacked = jax.tree.map(lambda *leaves: np.stack(leaves), *datapoints)

    def one(params: Params, datapoint: Datapoint) -> _Emitted:
        start = hypernetwork.encode(params, datapoint)
        return _Emitted(start, hypernetwork.decode(params, start.code))

    emit = jax.jit(jax.vmap(one, (None, 0)))
    return lambda params: jax.tree.map(np.asarray, emit(params, stacked))


def _shifted(params: Params, module: str) -> Params:
    """The parameters with 1 added to all of one module: far more than any module is in balance with."""
    return jax.tree_util.tree_map_with_path(lambda path, leaf: leaf + (module_of(path) == module), params)


def _same(first: Any, second: Any) -> bool:
    return all(np.array_equal(a, b) for a, b in zip(jax.tree.leaves(first), jax.tree.leaves(second), strict=True))


def _judge_encoder(params: Params, codes: Code, without: Sequence[str], numbers: dict[str, Any]) -> list[Finding]:
    own = [name for name in modules(params) if _of(name, 'encoder')]
    if not own:
        return []
    leaves = jax.tree.leaves(codes)
    if len(leaves[0]) < 2:
        return []
    sizes = [np.sqrt(np.mean(np.square(leaf))) for leaf in leaves]
    spreads = [leaf.std(axis=0).max() / max(size, 1e-30) for leaf, size in zip(leaves, sizes, strict=True)]
    spread = numbers['code_spread'] = float(max(spreads))
    remedy = 'look for dead units, zeros or stop_gradient in the encoder, or take encoders.constant'
    if spread <= DEAD_CODE:
        return [
            problem(
                'training.dead_encoder',
                f'the emitted code is the same for {len(leaves[0])} datapoints: it spreads by {spread:.1g} of its size',
                remedy,
                code_spread=spread,
            )
        ]
    if all(name in without for name in own):
        return [problem('training.dead_encoder', f'no gradient reaches the encoder: {", ".join(own)}', remedy)]
    return []


def _judge_rates(before: Code, after: Code, without: Sequence[str], numbers: dict[str, Any]) -> list[Finding]:
    def logarithms(rates: Code) -> np.ndarray:
        return np.concatenate([np.log(np.maximum(leaf, 1e-30)).ravel() for leaf in jax.tree.leaves(rates)])

    old, new = logarithms(before), logarithms(after)
    change = float(np.max(np.abs(new - old)))
    numbers |= {
        'rates_change': change,
        'median_rate': float(np.exp(np.median(new))),
        'median_rate_before': float(np.exp(np.median(old))),
    }
    if change > FROZEN_RATES:
        return []
    what = f'the step sizes stay at {numbers["median_rate"]:.3g} (median)'
    if any(_of(name, 'rates') for name in without):
        remedy = 'right for meta_gradient reptile(); else the loss does not depend on them'
        return [note('training.rates_constant', f'{what}: they get no gradient', remedy)]
    remedy = 'let the outer optimiser move them: look for a mask, or raise the gain of learned_rates'
    return [problem('training.rates_frozen', f'{what} although they get a gradient', remedy)]
