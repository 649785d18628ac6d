"""The systems that `benchmarks.fitting` compares. Each runs in its own process with suitable threads.

A system is a function ``Cell -> (run, mse)``. ``run()`` makes all steps for all INRs from the start and returns when
they are done. ``mse() -> [B]`` returns the errors of the last run. ``python -m benchmarks.fitting_systems NAME`` reads
lines of JSON from standard input and answers each with one line. Only `benchmarks.fitting` calls it.
"""

import contextlib
import json
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

from benchmarks import fitting_problem as problem
from benchmarks.fitting_problem import CHANNELS, OMEGA, Cell

System = Callable[[Cell], tuple[Callable[[], object], Callable[[], np.ndarray]]]

MEMORY_FOR_ACTIVATIONS = 2**31
"""Bytes for the activations of one batch, in the systems that keep all activations."""


def at_once(cell: Cell) -> int:
    """Return the INRs in one batch of a system that keeps all activations: ``3 L`` arrays ``[B, N, W]``."""
    return max(1, min(cell.inrs, MEMORY_FOR_ACTIVATIONS // (12 * cell.depth * cell.points * cell.width)))


def hyperinr(cell: Cell, *, precision: str = 'float32', kernel: str | None = None):
    """Fit by this engine with its own batching; ``kernel``, if given, replaces that of `hyperinr.fitting.Batching`."""
    import optax

    from hyperinr import fitting, inrs
    from hyperinr.types import Datapoint

    inr = inrs.siren(channels=CHANNELS, width=cell.width, depth=cell.depth, omega_0=OMEGA, hidden_omega_0=OMEGA)
    weights = {
        f'layer_{number}': {'w': np.tile(w, (cell.inrs, 1, 1)), 'b': np.tile(b, (cell.inrs, 1))}
        for number, (w, b) in enumerate(problem.shared_start(cell))
    }
    datapoints = Datapoint(
        np.tile(problem.grid(cell.points), (cell.inrs, 1, 1)),
        problem.targets(cell),
        np.ones((cell.inrs, cell.points), np.float32),
        np.arange(cell.inrs, dtype=np.int32),
    )
    optimizer, last, batching = optax.adam(cell.learning_rate), [], None
    if kernel is not None:
        rules = fitting.FitRules(cell.steps, precision=precision)
        batching = fitting.automatic_batching(inr, weights, datapoints, rules=rules)._replace(kernel=kernel)

    def run():
        last[:] = [
            fitting.fit(
                inr,
                weights,
                datapoints,
                optimizer=optimizer,
                num_steps=cell.steps,
                precision=precision,
                batching=batching,
            )
        ]

    return run, lambda: last[0].mse[:, -1]


def usual_jax(cell: Cell, *, precision: str = 'float32', size: int | None = None):
    """Fit by a Python loop over a jitted, vmapped step with ``jnp.sin``, points first; ``size`` INRs at once."""
    import jax
    import jax.numpy as jnp
    import optax

    from hyperinr.fitting.precision import bfloat16_products

    coords, values, optimizer = problem.grid(cell.points), problem.targets(cell), optax.adam(cell.learning_rate)

    def loss(layers, values):
        hidden = coords
        for w, b in layers[:-1]:
            hidden = jnp.sin(OMEGA * (hidden @ w + b))
        w, b = layers[-1]
        return jnp.mean((hidden @ w + b - values) ** 2)

    both = jax.value_and_grad(loss)
    both = bfloat16_products(both) if precision == 'bfloat16' else both

    @jax.jit
    @jax.vmap
    def step(layers, state, values):
        error, gradient = both(layers, values)
        updates, state = optimizer.update(gradient, state, layers)
        return optax.apply_updates(layers, updates), state, error

    size, start, last = size or at_once(cell), problem.shared_start(cell), []

    def run():
        last.clear()
        for first in range(0, cell.inrs, size):
            batch = jnp.asarray(values[first : first + size])
            layers = [(jnp.tile(w, (len(batch), 1, 1)), jnp.tile(b, (len(batch), 1))) for w, b in start]
            state = jax.vmap(optimizer.init)(layers)
            for _ in range(cell.steps):
                layers, state, _ = step(layers, state, batch)
            jax.block_until_ready(layers)
            last.append(np.asarray(jax.vmap(loss)(layers, batch)))

    return run, lambda: np.concatenate(last)


def torch_system(
    cell: Cell, *, compiled: bool, device: str = 'cpu', precision: str = 'float32', size: int | None = None
):
    """Fit by batched products in PyTorch. Compiled: forward and backward by inductor, Adam as one fused kernel.

    Args:
      cell: the problem.
      compiled: whether to use `torch.compile`.
      device: ``'cpu'`` or ``'cuda'``.
      precision: ``'float32'``, ``'tf32'`` or ``'bfloat16'``, the last by PyTorch's mixed precision.
      size: number of INRs at once; ``None``: `at_once`.
    """
    import torch

    torch.set_float32_matmul_precision('high' if precision == 'tf32' else 'highest')
    coords = torch.from_numpy(problem.grid(cell.points)).to(device)
    values, size, last = torch.from_numpy(problem.targets(cell)), size or at_once(cell), []
    start = problem.shared_start(cell)

    def loss(layers, values):
        hidden = coords.expand(len(values), *coords.shape)
        for w, b in layers[:-1]:
            hidden = torch.sin(OMEGA * torch.baddbmm(b, hidden, w))
        w, b = layers[-1]
        return ((torch.baddbmm(b, hidden, w) - values) ** 2).mean(dim=(1, 2))

    # PyTorch caches compiled functions by source code, and stops compiling after eight variants of one source.
    torch.compiler.reset()
    evaluate = torch.compile(loss, dynamic=False) if compiled else loss
    mixed = lambda: torch.autocast(device, torch.bfloat16, enabled=precision == 'bfloat16')

    def run():
        last.clear()
        for first in range(0, cell.inrs, size):
            batch = values[first : first + size].to(device)
            layers = [
                tuple(
                    torch.from_numpy(np.tile(leaf, (len(batch), 1, 1))).to(device).requires_grad_()
                    for leaf in (w, b[None])
                )
                for w, b in start
            ]
            flat = [leaf for layer in layers for leaf in layer]
            optimizer = torch.optim.Adam(flat, lr=cell.learning_rate, fused=compiled)
            for _ in range(cell.steps):
                optimizer.zero_grad(set_to_none=True)
                with mixed():
                    errors = evaluate(layers, batch)
                errors.sum().backward()
                optimizer.step()
            with torch.no_grad():
                last.append(loss(layers, batch).cpu().numpy())

    return run, lambda: np.concatenate(last)


SYSTEMS: dict[str, System] = {
    'hyperinr': hyperinr,
    'usual JAX': usual_jax,
    'PyTorch eager': lambda cell: torch_system(cell, compiled=False),
    'torch.compile': lambda cell: torch_system(cell, compiled=True),
}

ENVIRONMENT: dict[str, dict[str, str]] = {
    # hyperinr gets one thread for each CPU device, as it sets itself. The others use their default, all cores.
    'hyperinr': {'NPROC': '1', 'XLA_FLAGS': f'--xla_force_host_platform_device_count={os.cpu_count()}'},
    'PyTorch eager': {'OMP_WAIT_POLICY': 'PASSIVE'},
    'torch.compile': {'OMP_WAIT_POLICY': 'PASSIVE'},
}
"""System -> environment variables that its process needs before any import."""


def ceiling_gflops(system: str) -> float:
    """Return the GFLOP/s of a large product on all cores, with the library of this process."""
    if 'orch' not in system:
        import jax

        from hyperinr.training.watching.throughput import matrix_product_gflops

        return matrix_product_gflops(jax.local_devices())
    import torch

    matrix, seconds = torch.rand(2048, 2048), []
    for _ in range(6):
        began = time.perf_counter()
        matrix @ matrix
        seconds.append(time.perf_counter() - began)
    return 2 * 2048**3 / sorted(seconds)[len(seconds) // 2] / 1e9


def peak_memory_mb() -> float | None:
    """Return the peak memory of this process since `reset_peak_memory`; ``None`` if the system does not report it."""
    with contextlib.suppress(OSError):
        for line in Path('/proc/self/status').read_text().splitlines():
            if line.startswith('VmHWM:'):
                return int(line.split()[1]) / 1024
    return None


def reset_peak_memory() -> None:
    with contextlib.suppress(OSError):
        Path('/proc/self/clear_refs').write_text('5')


def main() -> None:
    name = sys.argv[1]
    answers, sys.stdout = sys.stdout, sys.stderr
    run = mse = None
    for line in sys.stdin:
        asked = json.loads(line)
        answer: dict[str, object] = {}
        if asked['do'] == 'prepare':
            reset_peak_memory()
            run, mse = SYSTEMS[name](Cell(**asked['cell']))
            began = time.perf_counter()
            run()
            first = time.perf_counter() - began
            began = time.perf_counter()
            run()
            answer = {'compile_s': max(0.0, first - (time.perf_counter() - began))}
        elif asked['do'] == 'run':
            began = time.perf_counter()
            run()
            answer = {'seconds': time.perf_counter() - began}
        elif asked['do'] == 'ceiling':
            answer = {'gflops': ceiling_gflops(name)}
        elif asked['do'] == 'finish':
            answer = {'psnr_db': problem.psnr_db(mse()), 'peak_memory_mb': peak_memory_mb()}
        print(json.dumps(answer), file=answers, flush=True)


if __name__ == '__main__':
    main()
