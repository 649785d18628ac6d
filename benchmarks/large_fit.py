"""PSNR against seconds of one large file: the library's own large fit, and a plain PyTorch SIREN that does the same.

``python -m benchmarks.large_fit FILE --seconds 300`` fits FILE by each system in a process of its own, one after the
other, on all cores. The INR, its start, Adam, the points of a step and the search for a learning rate are the same. The
seconds begin when the file is read, and include compilation and the search, but no measurement. PyTorch is run with a
constant rate, as its users write it, and with a rate that falls as the library's does.
"""

import argparse
import json
import math
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np

MEASURED = 2**16
"""Points that the PSNR is measured on, the same for all systems."""
MEASUREMENTS = 40
"""Measurements of a fit."""
TIMED_STEPS = 20
"""Steps that tell how many fit into the time."""


class Problem(NamedTuple):
    """A file, read, and what all systems share.

    Attributes:
      signal: a `hyperinr.kinds.Signal`.
      inr: the INR of its size.
      start: its start.
      points: points of a step.
      seconds: time of the fit.
    """

    signal: object
    inr: object
    start: dict
    points: object
    seconds: float


class Clock:
    """Seconds since the start, without those of `measure`."""

    def __init__(self, problem: Problem):
        import jax

        rows = np.linspace(0, math.prod(problem.signal.grid_shape) - 1, MEASURED).astype(int)
        self._coords, self._values, self._weight = problem.signal.at(rows)
        self._apply, self._range = jax.jit(problem.inr.apply), problem.signal.data_range
        self.curve: list[tuple[float, float]] = []
        self._began = time.perf_counter()

    @property
    def seconds(self) -> float:
        return time.perf_counter() - self._began

    def measure(self, weights: dict) -> None:
        """Add the seconds so far and the PSNR of these weights to the curve."""
        now = time.perf_counter()
        counted = self._weight > 0
        error = np.where(counted[:, None], np.asarray(self._apply(weights, self._coords)) - self._values, 0)
        mse = np.sum(error**2, dtype=np.float64) / (counted.sum() * error.shape[1])
        low, high = self._range
        self.curve.append((now - self._began, float(10 * np.log10((high - low) ** 2 / mse))))
        self._began += time.perf_counter() - now


def problem_of(file: str | os.PathLike, seconds: float, points_per_step: int | None) -> Problem:
    """Read a file, and choose the INR and the points as ``fit-one`` does."""
    import jax

    from hyperinr import inrs, kinds
    from hyperinr.inrs.initialisation import in_range
    from hyperinr.own_files.sizes import points_of_step, siren_size

    path = Path(file)
    signal = kinds.read_signal(path, kinds.kind_of(path, None))
    made = inrs.siren(channels=signal.values.shape[-1], **siren_size(signal)._asdict())
    inr = in_range(made, signal.data_range)
    start = jax.tree.map(np.asarray, inr.init(jax.random.key(0), signal.coord_dims))
    return Problem(signal, inr, start, points_of_step(points_per_step, math.prod(signal.grid_shape)), seconds)


def hyperinr(problem: Problem) -> dict:
    """Fit by the library's own large fit."""
    from hyperinr import fitting
    from hyperinr import weights as weights_lib
    from hyperinr.fitting import optimizers
    from hyperinr.own_files.single_run import Rule, large_rate
    from hyperinr.own_files.sizes import DRAWN_STEPS

    signal, points, spec = problem.signal, problem.points, weights_lib.spec_of(problem.start)
    large = fitting.LargeSignal(math.prod(signal.grid_shape), signal.at)
    family = lambda schedule: optimizers.family('adam', spec, schedule=schedule)
    clock = Clock(problem)
    rule = Rule('adam', family, 'search', DRAWN_STEPS, points, 0)
    rate = large_rate(problem.inr, problem.start, large, rule)

    def states(steps: int, every: int):
        optimizer = fitting.AtRate(rule.family_for(steps).make, rate)
        counts = {'num_points': points.drawn, 'num_measured': points.measured, 'measure_every': every}
        return fitting.fit_large(problem.inr, problem.start, large, optimizer=optimizer, num_steps=steps, **counts)

    timed = states(TIMED_STEPS, TIMED_STEPS)
    next(timed)
    began = time.perf_counter()
    next(timed)
    steps = max(1, int((problem.seconds - clock.seconds) * TIMED_STEPS / (time.perf_counter() - began)))
    for state in states(steps, max(1, steps // MEASUREMENTS)):
        clock.measure(weights_lib.unflatten(state.flat, spec))
    return {'rate': rate, 'steps': steps, 'curve': clock.curve}


def pytorch(problem: Problem, *, falls: bool = False) -> dict:
    """Fit by a plain loop in PyTorch over points that are gathered from tensors in memory."""
    import torch

    from hyperinr.fitting import optimizers
    from hyperinr.fitting.search import climbed
    from hyperinr.own_files.sizes import DRAWN_STEPS

    torch.set_num_threads(os.cpu_count() or 1)
    torch.manual_seed(0)
    about, datapoint = problem.inr.metadata, problem.signal.datapoint()
    coords, values = torch.from_numpy(datapoint.coords), torch.from_numpy(datapoint.values)
    weight = torch.from_numpy(datapoint.weight > 0)[:, None]
    omegas = [about['omega_0'], *[about['hidden_omega_0']] * (about['depth'] - 1)]

    class Fit:
        """One fit: its layers, and a step."""

        def __init__(self, rate: float, steps: int):
            self.layers = [
                [torch.from_numpy(np.array(layer[name])).requires_grad_() for name in ('w', 'b')]
                for layer in problem.start.values()
            ]
            self.optimizer = torch.optim.Adam([leaf for layer in self.layers for leaf in layer], lr=rate)
            fraction = lambda step: 0.01 + 0.99 * (1 + math.cos(math.pi * min(step / steps, 1))) / 2
            self.rate = torch.optim.lr_scheduler.LambdaLR(self.optimizer, fraction) if falls else None

        def step(self) -> None:
            rows = torch.randint(len(coords), (problem.points.drawn,))
            hidden = coords[rows]
            for omega, (w, b) in zip(omegas, self.layers[:-1], strict=True):
                hidden = torch.sin(omega * torch.addmm(b, hidden, w))
            w, b = self.layers[-1]
            loss = (weight[rows] * (torch.addmm(b, hidden, w) - values[rows]) ** 2).mean()
            self.optimizer.zero_grad(set_to_none=True)
            loss.backward()
            self.optimizer.step()
            if self.rate is not None:
                self.rate.step()

        def weights(self) -> dict:
            return {
                name: {'w': w.detach().numpy().copy(), 'b': b.detach().numpy().copy()}
                for name, (w, b) in zip(problem.start, self.layers, strict=True)
            }

    clock = Clock(problem)
    trial_steps = max(20, DRAWN_STEPS // 100)

    def score(rate: float) -> float:
        fit = Fit(rate, trial_steps)
        for _ in range(trial_steps):
            fit.step()
        clock.measure(fit.weights())
        _, found = clock.curve.pop()
        return found if math.isfinite(found) else -math.inf

    scores = climbed(optimizers.RATES['adam'][:2], score, max_extensions=6)
    rate = max(scores, key=scores.__getitem__)
    fit = Fit(rate, 1)
    began = time.perf_counter()
    for _ in range(TIMED_STEPS):
        fit.step()
    steps = max(1, int((problem.seconds - clock.seconds) * TIMED_STEPS / (time.perf_counter() - began)))
    fit = Fit(rate, steps)
    for step in range(steps + 1):
        if step % max(1, steps // MEASUREMENTS) == 0 or step == steps:
            clock.measure(fit.weights())
        if step < steps:
            fit.step()
    return {'rate': rate, 'steps': steps, 'curve': clock.curve}


SYSTEMS: dict[str, Callable[[Problem], dict]] = {
    'hyperinr': hyperinr,
    'PyTorch': pytorch,
    'PyTorch, falling rate': lambda problem: pytorch(problem, falls=True),
}


def seconds_to(curve: list[tuple[float, float]], psnr_db: float) -> float:
    """Return the seconds after which a curve first has a PSNR; infinity if it never has."""
    return next((seconds for seconds, found in curve if found >= psnr_db), math.inf)


def table(found: dict[str, dict]) -> str:
    """Return the table of all systems, as Markdown."""
    ours = found['hyperinr']['curve']
    lines = [
        '| system | rate | steps | final dB | seconds | hyperinr has it after | ratio |',
        '|---|---|---|---|---|---|---|',
    ]
    for name, result in found.items():
        seconds, psnr = result['curve'][-1]
        sooner = seconds_to(ours, psnr)
        ratio = f'{seconds / sooner:.2f}' if math.isfinite(sooner) else 'never'
        about = f'{result["rate"]:.3g} | {result["steps"]} | {psnr:.2f} | {seconds:.0f}'
        lines.append(f'| {name} | {about} | {sooner:.0f} s | {ratio} |')
    return '\n'.join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('file')
    parser.add_argument('--seconds', type=float, default=300.0)
    parser.add_argument('--points-per-step', type=int)
    parser.add_argument('--system', choices=SYSTEMS, help='fit by this one, and print its curve as JSON')
    parser.add_argument('--systems', nargs='+', choices=SYSTEMS, default=list(SYSTEMS))
    options = parser.parse_args()
    if options.system:
        if options.system == 'hyperinr':
            from hyperinr.runtime.environment import set_environment

            set_environment()
        from hyperinr.errors import InputError

        try:
            problem = problem_of(options.file, options.seconds, options.points_per_step)
        except InputError as error:
            parser.exit(2, f'{parser.prog}: error: {error}\n')
        print(json.dumps(SYSTEMS[options.system](problem)))
        return
    found = {}
    for name in dict.fromkeys(['hyperinr', *options.systems]):  # The others are compared with it.
        words = [options.file, '--seconds', str(options.seconds), '--system', name]
        words += ['--points-per-step', str(options.points_per_step)] if options.points_per_step else []
        command = [sys.executable, '-m', 'benchmarks.large_fit', *words]
        # Threads that wait for others must not take their cores.
        environment = {**os.environ, 'OMP_WAIT_POLICY': 'PASSIVE'}
        done = subprocess.run(command, stdout=subprocess.PIPE, text=True, env=environment)
        if done.returncode:
            raise SystemExit(done.returncode)
        found[name] = json.loads(done.stdout)
        print(
            name, *(f'{seconds:.0f} s {psnr:.2f}' for seconds, psnr in found[name]['curve'][::5]), sep='  ', flush=True
        )
    print(table(found))


if __name__ == '__main__':
    main()
