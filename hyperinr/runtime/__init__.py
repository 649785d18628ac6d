"""Access to the machine that a command runs on: files and locks, devices and environment, caches, progress.

Nothing here depends on signals, INRs or training. A helper about the machine that two packages need belongs here.
"""
