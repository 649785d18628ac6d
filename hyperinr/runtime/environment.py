"""What must be in the environment before jax starts."""

import os

__all__ = ['num_cores', 'set_environment']


def num_cores() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, 'sched_getaffinity') else os.cpu_count() or 1


def set_environment(devices: int | None = None) -> None:
    """CPU devices with one thread each; what is set already stays.

    With more threads (``NPROC``) XLA cuts every small loop of an INR's step into pieces for its pool, which doubles the
    time of the step; that several devices deadlock in collectives does not matter, since training has none
    (docs/decisions.md).

    Args:
      devices: how many; ``None``: one for each core.
    """
    os.environ.setdefault('NPROC', '1')
    flags = os.environ.get('XLA_FLAGS', '')
    if '--xla_force_host_platform_device_count' not in flags:
        os.environ['XLA_FLAGS'] = f'{flags} --xla_force_host_platform_device_count={devices or num_cores()}'.strip()
