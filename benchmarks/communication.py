"""Measure the cost of averaging the gradient between processes, against the rest of a step.

``python -m benchmarks.communication --processes 2`` measures the milliseconds for vectors of several sizes, summed by
`Group.total` among processes on the loopback interface. It also gives the bandwidth that the ring all-reduce of
docs/scaling.md would need for the same time. Process 0 prints a table and one line of JSON. ``--compute`` prints
instead the tables of docs/scaling.md, from the formula and the assumptions stated there.
"""

import argparse
import json
import os
import socket
import subprocess
import sys
import time

from hyperinr.runtime.environment import set_environment

SIZES = (1_000, 10_000, 100_000, 1_000_000, 4_000_000)

NETWORKS = {'100 Gbit/s Ethernet': (12.5e9, 20e-6), '400 Gbit/s InfiniBand': (50e9, 5e-6)}
"""Assumptions: bytes per second of each process, seconds of each hop."""
GPUS = (8, 16, 32, 64, 128, 256, 512)
PARAMETERS = (1_000_000, 10_000_000, 100_000_000)
STEP_MS = (20.0, 100.0)
"""Assumed step times of one GPU whose batch has a fixed size for each GPU."""
FIXED_STEP_MS = (1_000.0, 10_000.0)
"""Assumed step times of one GPU with the whole batch, whose total size is fixed."""


def ring_ms(num_floats: float, num_processes: int, bandwidth: float, latency: float) -> float:
    """Return the milliseconds of a ring all-reduce: 2 (n - 1) consecutive messages, each of 1 / n of the vector.

    Patarasuk and Yuan, "Bandwidth optimal all-reduce algorithms for clusters of workstations" (2009), section 4.

    Args:
      num_floats: P floats of 4 bytes.
      num_processes: n.
      bandwidth: bytes per second of each process.
      latency: seconds of each message.
    """
    steps = 2 * (num_processes - 1)
    return 1e3 * steps * (4 * num_floats / num_processes / bandwidth + latency)


def computed() -> None:
    """Print the three tables."""
    for name, network in NETWORKS.items():
        for size in PARAMETERS:
            costs = [ring_ms(size, gpus, *network) for gpus in GPUS]
            label = f'{name}, {size / 1e6:.0f} M floats'
            print(f'{label:<38} ms        ', ''.join(f'{cost:8.2f}' for cost in costs))
            for step in STEP_MS:
                shares = ''.join(f'{step / (step + cost):8.0%}' for cost in costs)
                print(f'{"":<28}{step:6.0f} ms a step: of time', shares)
            for step in FIXED_STEP_MS:
                gains = ''.join(f'{step / (step / gpus + cost):8.0f}' for gpus, cost in zip(GPUS, costs, strict=True))
                print(f'{"":<28}{step:6.0f} ms alone:  times  ', gains)


def measure(repetitions: int, group) -> list[dict[str, float]]:
    """Time `Group.total` for each size; every process calls it."""
    import jax
    import numpy as np

    rows = []
    for size in SIZES:
        row = jax.device_put(np.ones((1, size), np.float32), jax.local_devices()[0])
        times = []
        for _ in range(repetitions + 2):
            group.wait_for_all()
            began = time.perf_counter()
            jax.block_until_ready(group.total(row))
            times.append(time.perf_counter() - began)
        times = sorted(times[2:])
        best, median = times[0], times[len(times) // 2]
        sent = 2 * (group.count - 1) / group.count * 4 * size
        rows.append({'floats': size, 'least_ms': 1e3 * best, 'median_ms': 1e3 * median, 'gbytes_s': sent / best / 1e9})
    return rows


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--processes', type=int, default=2)
    parser.add_argument('--repetitions', type=int, default=30)
    parser.add_argument('--process', type=int, help='started by the benchmark itself')
    parser.add_argument('--coordinator', help='started by the benchmark itself')
    parser.add_argument('--compute', action='store_true', help='print what the formula says, measure nothing')
    options = parser.parse_args()
    if options.compute:
        computed()
        return 0
    if options.process is None:
        return _start_all(options)
    set_environment()
    os.environ.setdefault('TF_CPP_MIN_LOG_LEVEL', '2')
    from hyperinr.training.distributed import Rank, joined

    with joined(Rank(options.coordinator, options.processes, options.process)) as group:
        rows = measure(options.repetitions, group)
    if group.leads:
        print(f'{"floats":>10} {"least ms":>10} {"median ms":>10} {"GB/s":>8}')
        for row in rows:
            print('{floats:>10} {least_ms:>10.2f} {median_ms:>10.2f} {gbytes_s:>8.2f}'.format(**row))
        print(json.dumps({'processes': group.count, 'rows': rows}))
    return 0


def _start_all(options: argparse.Namespace) -> int:
    with socket.socket() as free:
        free.bind(('127.0.0.1', 0))
        coordinator = f'127.0.0.1:{free.getsockname()[1]}'
    command = [sys.executable, '-m', 'benchmarks.communication', '--coordinator', coordinator]
    command += ['--processes', str(options.processes), '--repetitions', str(options.repetitions)]
    numbers = range(options.processes)
    started = [subprocess.Popen([*command, '--process', str(number)]) for number in numbers]
    return max(process.wait() for process in started)


if __name__ == '__main__':
    sys.exit(main())
