"""Run commands in many processes and watch them: on this machine, on a Ray cluster, or as a Slurm job array.

Workers share their work through files and need no coordinator. So a launcher only runs command lines, in a place that
sees these files, and starts again what was killed. `base` has what the launchers share. Another launcher is one file
with a function that starts a command and says when it has ended; `base.watch` does the rest.
"""

from hyperinr.launching.base import worker_environment
from hyperinr.launching.local import launch_local
from hyperinr.launching.ray import launch_ray
from hyperinr.launching.slurm import launch_slurm

__all__ = ['launch_local', 'launch_ray', 'launch_slurm', 'worker_environment']
