"""Set the environment variables that jax needs before it starts."""

import os

__all__ = ['num_cores', 'set_environment']


def num_cores() -> int:
    """Return the number of cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, 'sched_getaffinity') else os.cpu_count() or 1


def set_environment(devices: int | None = None) -> None:
    """Configure CPU devices with one thread each; variables that are already set stay.

    With more threads (``NPROC``) XLA splits every small loop of an INR's step over its thread pool, which doubles the
    time of the step. With one thread several devices can deadlock in collectives. This does not matter here, because
    training has no collectives among the devices of a process (docs/decisions.md).

    Args:
      devices: number of devices; ``None``: one for each core.
    """
    os.environ.setdefault('NPROC', '1')
    flags = os.environ.get('XLA_FLAGS', '')
    if '--xla_force_host_platform_device_count' not in flags:
        os.environ['XLA_FLAGS'] = f'{flags} --xla_force_host_platform_device_count={devices or num_cores()}'.strip()
