"""What a command needs of the machine it runs on: files and locks, devices and environment, caches, progress.

Nothing here knows of signals, INRs or training. A helper about the machine that two packages need goes here.
"""
