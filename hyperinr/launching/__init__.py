"""Run commands in many processes and watch them: on this machine, on a Ray cluster, or as a Slurm job array.

Workers share their work through files and need no coordinator. So a launcher only runs command lines on machines that
see these files, and restarts killed commands. `base` has the code that all launchers share. To add a launcher, write
one file with a function that starts a command and reports when it has ended; `base.watch` does the rest.
"""

from hyperinr.launching.base import worker_environment
from hyperinr.launching.local import launch_local
from hyperinr.launching.ray import launch_ray
from hyperinr.launching.slurm import launch_slurm

__all__ = ['launch_local', 'launch_ray', 'launch_slurm', 'worker_environment']
