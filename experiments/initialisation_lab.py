"""Compare starts of a SIREN: 38 hand-made ones, each at its best rate and at a common rate, and learned ones.

``python -m experiments.initialisation_lab --scale small [--run DIR ...]``. A SIREN fits the central square of a
photograph, values in [-1, 1], by AdamW on all pixels. There are three marks of the mean squared error: 0.08 (low
frequencies), 0.02 (most structure) and 0.0008 (looks like the original). The best rate of a start has the lowest error,
averaged over steps on a logarithmic scale, in short fits of the first photograph with the first seed. The held-out
error is that of a fit to every second row and column at this rate, tested on all other pixels. ``--run`` adds starts
from trained runs of the same INR shape. Their adaptation steps are counted, and AdamW continues as
`meta_learning.finetune` does, with a warm-up and the metric of the learned rates.
"""

import argparse
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax

from experiments.initialisation_report import draw
from experiments.study import Rows, device_seconds, machine, photograph, rounded, steps_to, write_study
from hyperinr import coordinates, fitting, inrs, meta_learning
from hyperinr import weights as weights_lib
from hyperinr.errors import InputError
from hyperinr.fitting.freezing import frozen_mask
from hyperinr.inrs.initialisation import compose, fan_in_biases, sine_weights
from hyperinr.inrs.siren_variants import SIREN_VARIANTS, SirenVariant
from hyperinr.inrs.variance_informed import variance_informed
from hyperinr.runtime.environment import set_environment
from hyperinr.types import Datapoint, Inr

__all__ = ['SCALES', 'Scale', 'main', 'run']

MARKS = (0.08, 0.02, 0.0008)
COMMON_RATE = 1e-3
EXTRA = {
    'weight_scaling_2': SirenVariant(compose(weights=sine_weights(scale=2.0), biases=fan_in_biases())),
    'variance_informed': SirenVariant(variance_informed(preactivation_deviation=1 / 30)),
}
"""Starts in addition to the study's 38."""


class Scale(NamedTuple):
    """The size of a study.

    Attributes:
      size: side of a photograph in pixels.
      width, depth: width and depth of the SIREN.
      num_steps: steps of a fit.
      search_steps: steps of a fit that tries a rate.
      rates: rates to try.
      seeds: seeds of each start.
      photographs: names of photographs of scikit-image; rates are chosen on the first.
      chunk: number of fits in one compiled call on each device; a kill loses at most these.
    """

    size: int
    width: int
    depth: int
    num_steps: int
    search_steps: int
    rates: tuple[float, ...]
    seeds: int
    photographs: tuple[str, ...]
    chunk: int


SCALES = {
    'small': Scale(64, 64, 3, 600, 200, (5e-4, 1e-3, 2e-3, 4e-3, 8e-3, 1.6e-2), 3, ('chelsea', 'coffee'), 3),
    'full': Scale(256, 256, 3, 2000, 500, (1e-4, 2.5e-4, 5e-4, 1e-3, 2e-3, 4e-3, 8e-3), 3, ('chelsea', 'coffee'), 6),
    'tiny': Scale(16, 16, 2, 60, 20, (1e-3, 8e-3), 2, ('chelsea',), 1),
}
"""``small``: 64 x 64, a quarter of the width of ``full``. ``tiny`` is for the tests."""


class Fit(NamedTuple):
    """One row to compute: start, photograph and rate."""

    photograph: str
    variant: str
    seed: int
    rate: float


class LearnedStart(NamedTuple):
    """The start that a trained run gives for a photograph.

    Attributes:
      weights: weights of the SIREN, whose output is in [-1, 1].
      step_scale: ``[P]`` factors of `meta_learning.learned_metric`.
    """

    weights: Any
    step_scale: np.ndarray


Starts = dict[str, tuple[SirenVariant, Callable[[np.ndarray], LearnedStart] | None]]
"""Name -> variant, and for a learned start the function ``[H, W, 3]`` in [-1, 1] -> `LearnedStart`."""

LEARNED_WARMUP = 20
"""Steps over which the rate of a learned start grows."""


def run(scale: Scale, out: Path, *, runs: Sequence[str] = (), variants: Sequence[str] | None = None) -> Path:
    """Compute the missing rows and write ``out/initialisation_lab.json``.

    Args:
      scale: one of `SCALES`, or another scale.
      out: output folder.
      runs: directories of trained runs.
      variants: names of hand-made starts; ``None``: all.

    Raises:
      InputError: a variant is unknown, ``out`` has rows of another protocol, or a run has another INR.
    """
    hand_made = {**SIREN_VARIANTS, **EXTRA}
    unknown = set(variants or ()) - hand_made.keys()
    if unknown:
        raise InputError(f'no start {", ".join(sorted(unknown))}; there are {", ".join(hand_made)}.')
    starts: Starts = {name: (hand_made[name], None) for name in variants or hand_made}
    adaptation = {}
    for directory in runs:
        name = f'run:{Path(directory).name}'
        starts[name], adaptation[name] = _learned(scale, directory)
    protocol = {
        **scale._asdict(),
        'marks': MARKS,
        'common_rate': COMMON_RATE,
        'optimizer': 'adamw',
        'starts': [*starts],
    }
    began = time.perf_counter()
    rows = Rows(out / 'initialisation_lab.rows.jsonl', protocol)
    seconds_before = sum(row.get('wall_seconds', 0.0) for row in rows)

    first = scale.photographs[0]
    trials = [Fit(first, name, 0, rate) for name in starts for rate in scale.rates]
    for fit, mse, _, seconds in _fitted(scale, starts, trials, rows, 'search', scale.search_steps, half=False):
        score = float(np.mean(np.log(np.maximum(mse[1:], 1e-12)))) if np.isfinite(mse).all() else None
        rows.add(_key('search', fit), {'score': score, 'wall_seconds': seconds, **fit._asdict()})
    best = {name: _best_rate(rows, name) for name in starts}

    everywhere = [(p, name, seed) for p in scale.photographs for name in starts for seed in range(scale.seeds)]
    wanted = [Fit(*each, rate) for each in everywhere for rate in sorted({COMMON_RATE, best[each[1]]})]
    for fit, mse, rebuilt, seconds in _fitted(scale, starts, wanted, rows, 'fit', scale.num_steps, half=False):
        extra = adaptation.get(fit.variant, 0)
        reached = {str(mark): steps_to(mse, mark) for mark in MARKS}
        centred = rebuilt - rebuilt.mean(axis=(0, 1))
        odd = (centred - centred[::-1, ::-1]) / 2
        rows.add(_key('fit', fit), {
            **fit._asdict(),
            'protocol': [kind for kind, at in (('common', COMMON_RATE), ('best', best[fit.variant])) if at == fit.rate],
            'steps_to': {mark: None if step is None else step + extra for mark, step in reached.items()},
            'seconds_to': {
                mark: None if step is None else (step + extra) * seconds / scale.num_steps
                for mark, step in reached.items()
            },
            'final_mse': float(mse[-1]) if np.isfinite(mse[-1]) else None,
            'odd_share': float(np.sum(odd**2) / max(np.sum(centred**2), 1e-12)),
            'adaptation_steps': extra,
            'curve': rounded(mse[[*_curve_steps(scale.num_steps)]]),
            'wall_seconds': seconds,
        })  # fmt: skip

    halves = [Fit(*each, best[each[1]]) for each in everywhere]
    for fit, _, rebuilt, seconds in _fitted(scale, starts, halves, rows, 'half', scale.num_steps, half=True):
        error = np.square(rebuilt - photograph(fit.photograph, scale.size)).mean(axis=-1)
        error[::2, ::2] = np.nan
        psnr = float(10 * np.log10(4 / np.nanmean(error)))
        row = {**fit._asdict(), 'heldout_psnr_db': psnr if np.isfinite(psnr) else None, 'wall_seconds': seconds}
        rows.add(_key('half', fit), row)
    return _finish(out, protocol, rows, {'seconds': time.perf_counter() - began, 'seconds_before': seconds_before})


def _curve_steps(num_steps: int) -> list[int]:
    return [0, *np.unique(np.geomspace(1, num_steps, 60).astype(int)).tolist()]


def _finish(out: Path, protocol: dict[str, Any], rows: Rows, timing: dict[str, float]) -> Path:
    heldout = {(r['photograph'], r['variant'], r['seed']): r['heldout_psnr_db'] for r in rows if 'heldout_psnr_db' in r}
    final = []
    for row in rows:
        if 'protocol' in row:
            held = heldout.get((row['photograph'], row['variant'], row['seed'])) if 'best' in row['protocol'] else None
            final.append({name: value for name, value in row.items() if name != 'key'} | {'heldout_psnr_db': held})
    path = out / 'initialisation_lab.json'
    about = {
        'machine': machine(),
        'protocol': protocol,
        'timing': timing,
        'curve_steps': _curve_steps(protocol['num_steps']),
    }
    write_study(path, about, final)
    return path


def _key(kind: str, fit: Fit) -> str:
    return f'{kind} {fit.photograph} {fit.variant} {fit.seed} {fit.rate:g}'


def _best_rate(rows: Rows, name: str) -> float:
    tried = [row for row in rows if row['variant'] == name and row.get('score') is not None]
    return min(tried, key=lambda row: row['score'])['rate'] if tried else COMMON_RATE


def _inr(scale: Scale, variant: SirenVariant) -> Inr:
    return inrs.siren(
        channels=3,
        width=scale.width,
        depth=scale.depth,
        omega_0=variant.omega,
        hidden_omega_0=variant.omega,
        output_bias=0.0,
        initialisation=variant.initialisation,
    )


def _fitted(
    scale: Scale, starts: Starts, fits: Sequence[Fit], rows: Rows, kind: str, num_steps: int, *, half: bool
) -> Iterator[tuple[Fit, np.ndarray, np.ndarray, float]]:
    """Yield each missing fit with its error at every step, its picture ``[H, W, 3]`` and its seconds.

    Starts with the same omega and input deviation share a compiled call. Its arguments are the weights, rates, data and
    frozen weights.
    """
    groups: dict[tuple[float, float], list[Fit]] = {}
    for fit in fits:
        if _key(kind, fit) not in rows:
            variant = starts[fit.variant][0]
            groups.setdefault((variant.omega, variant.initialisation.input_deviation), []).append(fit)
    devices = jax.local_device_count()
    for group in groups.values():
        inr = _inr(scale, starts[group[0].variant][0])
        call, size = None, devices * scale.chunk
        for begin in range(0, len(group), size):
            part = group[begin : begin + size]
            padded = [part[index % len(part)] for index in range(size)]
            arguments = jax.tree.map(
                lambda *leaves: np.stack(leaves).reshape(devices, scale.chunk, *np.shape(leaves[0])),
                *[_arguments(scale, starts, fit, half) for fit in padded],
            )
            call = call or jax.pmap(_program(inr, scale, num_steps)).lower(*arguments).compile()
            began = device_seconds()
            mse, rebuilt = jax.device_get(call(*arguments))
            seconds = (device_seconds() - began) / scale.chunk
            pictures = np.asarray(rebuilt).reshape(size, scale.size, scale.size, 3)
            for fit, errors, picture in zip(part, np.asarray(mse).reshape(size, -1), pictures, strict=False):
                yield fit, errors, picture, seconds


def _program(inr: Inr, scale: Scale, num_steps: int) -> Callable[..., Any]:
    coords = coordinates.grid((scale.size, scale.size))

    def one(
        weights: Any, scale: jax.Array, rate: jax.Array, warmup: jax.Array, datapoint: Datapoint
    ) -> tuple[jax.Array, jax.Array]:
        inner = optax.adamw(lambda count: rate * jnp.minimum(1, (count + 1) / warmup))

        def update(gradient, state, params=None):
            updates, state = inner.update(gradient * (scale > 0), state, params)
            return updates * scale, state

        optimizer = optax.GradientTransformation(inner.init, update)
        fitted = fitting.fit_one(inr, weights, datapoint, optimizer=optimizer, num_steps=num_steps)
        return fitted.mse, inr.apply(fitted.weights, jnp.asarray(coords))

    return lambda *batch: fitting.map_datapoints(one, *batch)


def _arguments(scale: Scale, starts: Starts, fit: Fit, half: bool) -> tuple[Any, ...]:
    """Return weights, factors of their steps (0: frozen), rate, warm-up and datapoint of one fit."""
    variant, learned = starts[fit.variant]
    image, coords = photograph(fit.photograph, scale.size), coordinates.grid((scale.size, scale.size))
    every = 2 if half else 1
    if learned:
        # The learned start sees the fitted half: 32 x 32 pixels resampled, shifted by half a pixel of the whole image.
        weights, factor = learned(image[::every, ::every])
    else:
        weights = _inr(scale, variant).init(jax.random.fold_in(jax.random.key(fit.seed), 0), 2)
        factor = 1 - frozen_mask(variant.frozen, weights_lib.spec_of(weights)).astype(np.float32)
    kept = np.zeros((scale.size, scale.size), bool)
    kept[::every, ::every] = True
    values, points = image.reshape(-1, 3)[kept.ravel()], coords[kept.ravel()]
    datapoint = Datapoint(points, values, np.ones(len(points), np.float32), np.zeros((), np.int32))
    warmup = np.float32(LEARNED_WARMUP if learned else 1)
    return jax.device_get(weights), factor, np.float32(fit.rate), warmup, datapoint


def _learned(scale: Scale, directory: str) -> tuple[tuple[SirenVariant, Callable[[np.ndarray], LearnedStart]], int]:
    """Return the start of a trained run, with its output mapped to [-1, 1], and its number of adaptation steps."""
    import hyperinr
    from hyperinr.kinds import Signal
    from hyperinr.own_files import datapoint_of, start_from_model

    model = hyperinr.load(directory)
    inr = _inr(scale, SIREN_VARIANTS['paper'])
    low, high = model.spec.data_range
    last = f'layer_{scale.depth}'

    def start(image: np.ndarray) -> LearnedStart:
        signal = Signal((image + 1) / 2, (0.0, 1.0))
        weights = start_from_model(inr, model, signal)
        factor = 2 / (high - low)
        output = {'w': factor * weights[last]['w'], 'b': factor * (weights[last]['b'] - low) - 1}
        batch = jax.tree.map(lambda leaf: leaf[None], datapoint_of(model, signal))
        metric = meta_learning.learned_metric(model.learner, model.params, batch)
        spec = weights_lib.spec_of(weights)
        if metric is None:
            scales = np.ones(weights_lib.count(spec), np.float32)
        else:
            scales = np.asarray(weights_lib.flatten(jax.tree.map(lambda leaf: leaf[0], metric), spec))
        return LearnedStart({**weights, last: output}, scales)

    start(photograph(scale.photographs[0], scale.size))
    return (SIREN_VARIANTS['paper'], start), model.learner.num_steps


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line."""
    set_environment()
    parser = argparse.ArgumentParser(prog='python -m experiments.initialisation_lab', description=__doc__)
    parser.add_argument('--scale', choices=SCALES, default='small')
    parser.add_argument('--run', action='append', default=[], metavar='DIR', help='a trained run; repeatable')
    parser.add_argument('--variant', action='append', metavar='NAME', help='these hand-made starts alone; repeatable')
    parser.add_argument('--out', type=Path, default=Path('docs/results'))
    parser.add_argument('--draw', action='store_true', help='draw the JSON that is there')
    options = parser.parse_args(arguments)
    path = options.out / 'initialisation_lab.json'
    try:
        if not options.draw:
            path = run(SCALES[options.scale], options.out, runs=options.run, variants=options.variant)
        draw(path)
    except InputError as error:
        parser.exit(2, f'{parser.prog}: error: {error}\n')


if __name__ == '__main__':
    main()
