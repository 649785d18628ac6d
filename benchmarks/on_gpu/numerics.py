"""Compare this device's results with float64 on the CPU: sine, fits, meta-gradients and the fused kernel.

Errors are relative, ``|found - reference| / |reference|`` of the whole vector. The reference is the same function,
traced again with 64-bit numbers on the CPU, where `hyperinr.inrs.sine` uses the platform's sine.
"""

import os
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax

from benchmarks.on_gpu.device import PRECISIONS, facts, on_gpu, products
from benchmarks.on_gpu.meta_training import noise_batch, siren_learner
from benchmarks.on_gpu.parts import Options
from benchmarks.on_gpu.record import Record, SkippedError
from hyperinr import fitting, inrs
from hyperinr import weights as weights_lib
from hyperinr.fitting.kernels.siren import siren_shape, siren_value_and_gradient
from hyperinr.fitting.loss import points_of, value_and_gradient
from hyperinr.inrs.sine import sine
from hyperinr.types import Datapoint, Inr

__all__ = ['fit_errors', 'in_float64', 'kernel_errors', 'measure', 'meta_gradient_error', 'sine_error']

RATE = 1e-3


def measure(record: Record, options: Options) -> None:
    """Measure all rows of the part."""
    record.save(**facts())
    record.row('sine', lambda: {'figures': {'absolute_error': sine_error()}}, points=100_000)
    widths = (16,) if options.tiny else (64, 32, 16)
    points, steps = (64, 5) if options.tiny else (1024, 100)
    for width in widths:
        record.row(
            f'kernel of width {width}',
            lambda width=width: {'figures': kernel_errors(width, num_points=points, interpret=options.tiny)},
            inrs=4,
            points=points,
            needs=15,
        )
    for precision in PRECISIONS:
        record.row(
            f'fit in {precision}',
            lambda precision=precision: {'figures': fit_errors(precision, num_points=points, num_steps=steps)},
            needs=15,
            precision=precision,
            points=points,
            steps=steps,
        )
    for precision in PRECISIONS[:2]:
        record.row(
            f'meta-gradient in {precision}',
            lambda precision=precision: {
                'figures': {'relative_error': meta_gradient_error(precision, side=8 if options.tiny else 32)}
            },
            needs=15,
            precision=precision,
        )
    record.row('tests marked gpu', lambda: run_tests(max(10.0, record.left() - 5)), needs=15)


def in_float64(function: Callable[..., Any], *arguments: Any) -> Any:
    """Call ``function`` with the same numbers, compiled for the CPU in 64 bits; return a NumPy tree."""
    with jax.enable_x64(True), jax.default_device(jax.devices('cpu')[0]):
        return jax.device_get(jax.jit(function)(*jax.tree.map(_wide, arguments)))


def _wide(leaf: Any) -> Any:
    if isinstance(leaf, jax.Array) and jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key):
        return jax.random.wrap_key_data(np.asarray(jax.random.key_data(leaf)))
    leaf = np.asarray(leaf)
    return leaf.astype(np.float64) if leaf.dtype == np.float32 else leaf


def relative_error(found: Any, reference: Any) -> float:
    """Return the relative error of all leaves as one vector."""
    flat = lambda tree: np.concatenate([np.asarray(leaf, np.float64).ravel() for leaf in jax.tree.leaves(tree)])
    found, reference = flat(found), flat(reference)
    return float(np.linalg.norm(found - reference) / np.linalg.norm(reference))


def sine_error() -> float:
    """Return the largest error of `sine` for arguments up to 100 in magnitude."""
    x = np.random.default_rng(0).uniform(-100, 100, 100_000).astype(np.float32)
    return float(np.abs(np.asarray(jax.jit(sine)(x), np.float64) - np.sin(x.astype(np.float64))).max())


def _problem(width: int, depth: int, num_points: int, number: int = 4) -> tuple[Inr, Any, Datapoint]:
    inr = inrs.siren(channels=3, width=width, depth=depth)
    weights = jax.vmap(lambda key: inr.init(key, 2))(jax.random.split(jax.random.key(0), number))
    side = round(num_points**0.5)
    return inr, jax.device_get(weights), noise_batch(number, (side, side))


def fit_errors(precision: str, *, num_points: int, num_steps: int) -> dict[str, float]:
    """Return the errors of an Adam fit from the same start: first gradient, loss curve, final weights and PSNR."""
    inr, weights, datapoints = _problem(64, 3, num_points)
    spec = weights_lib.spec_of(jax.tree.map(lambda leaf: leaf[0], weights))
    optimizer = optax.adam(RATE)

    def reference(weights, datapoint):
        both, points = value_and_gradient(inr.apply, spec), points_of(datapoint)

        def step(carry, _):
            flat, state = carry
            (loss, _), gradient = both(flat, points)
            updates, state = optimizer.update(gradient, state, flat)
            return (optax.apply_updates(flat, updates), state), loss

        flat = weights_lib.flatten(weights, spec)
        (last, _), losses = jax.lax.scan(step, (flat, optimizer.init(flat)), None, num_steps)
        final = both(last, points)[0][0]
        return both(flat, points)[1], last, jnp.append(losses, final)

    gradient, last, errors = in_float64(jax.vmap(reference), weights, datapoints)
    own = 'bfloat16' if precision == 'bfloat16' else 'float32'
    with products(precision):
        first = jax.jit(jax.vmap(value_and_gradient(inr.apply, spec, precision=own)))
        found_gradient = first(weights_lib.flatten(weights, spec), jax.vmap(points_of)(datapoints))[1]
        batching = fitting.Batching('vmapped', len(datapoints.index), 1)
        fitted = fitting.fit(
            inr, weights, datapoints, optimizer=optimizer, num_steps=num_steps, precision=own, batching=batching
        )
    psnr = lambda mse: -10 * np.log10(np.asarray(mse, np.float64)[:, -1])
    return {
        'gradient_relative_error': relative_error(found_gradient, gradient),
        'weights_relative_error': relative_error(np.asarray(weights_lib.flatten(fitted.weights, spec)), last),
        'mse_relative_error': relative_error(fitted.mse, errors),
        'psnr_db': float(psnr(fitted.mse).mean()),
        'psnr_cost_db': float((psnr(errors) - psnr(fitted.mse)).mean()),
    }


def kernel_errors(width: int, *, num_points: int, interpret: bool) -> dict[str, float]:
    """Return the errors of the fused kernel and of automatic differentiation in float32, both against float64.

    Raises:
      SkippedError: the device is no GPU, and ``interpret`` is False.
    """
    if not on_gpu() and not interpret:
        raise SkippedError('the kernel is compiled for GPUs only')
    inr, weights, datapoints = _problem(width, 3, num_points)
    spec = weights_lib.spec_of(jax.tree.map(lambda leaf: leaf[0], weights))
    fused = siren_value_and_gradient(siren_shape(inr.metadata, spec), spec, interpret=not on_gpu())
    plain = value_and_gradient(inr.apply, spec)

    def gradient(both):
        return lambda weights, datapoint: both(weights_lib.flatten(weights, spec), points_of(datapoint))[1]

    reference = in_float64(jax.vmap(gradient(plain)), weights, datapoints)
    with products('float32'):
        found = {name: jax.jit(jax.vmap(gradient(both)))(weights, datapoints) for name, both in
                 (('kernel', fused), ('xla', plain))}  # fmt: skip
    return {f'{name}_relative_error': relative_error(each, reference) for name, each in found.items()}


def meta_gradient_error(precision: str, *, side: int) -> float:
    """Return the error of the outer gradient through three inner steps, second order."""
    batch = noise_batch(4, (side, side))
    learner = siren_learner(width=64, depth=3, grid_shape=(side, side), group_size=4)
    state = learner.init(jax.random.key(0), jax.tree.map(lambda leaf: leaf[0], batch))

    def gradient(params: Any, batch: Datapoint) -> Any:
        return learner.gradient(state._replace(params=params, opt_state=None, average=None), batch, batch)[0]

    with products(precision):
        found = jax.jit(gradient)(state.params, batch)
    return relative_error(found, in_float64(gradient, state.params, batch))


def run_tests(seconds: float) -> Mapping[str, Any]:
    """Run ``pytest -m gpu`` with the GPU visible, which the tests' configuration hides.

    Raises:
      RuntimeError: a test failed; the message has the end of pytest's output.
    """
    command = [
        sys.executable,
        '-m',
        'pytest',
        '-q',
        '-p',
        'no:cacheprovider',
        '-W',
        'default',
        '-m',
        'gpu',
        'tests/gpu',
    ]
    visible = {**os.environ, 'JAX_PLATFORMS': 'cuda,cpu'} if on_gpu() else os.environ
    root = Path(__file__).resolve().parents[2]
    done = subprocess.run(command, cwd=root, env=visible, capture_output=True, text=True, timeout=seconds, check=False)
    lines = done.stdout.splitlines()
    if done.returncode:
        raise RuntimeError('\n'.join([lines[-1] if lines else 'pytest said nothing', *lines[-40:], done.stderr[-500:]]))
    return {'figures': {'said': lines[-1]}}
