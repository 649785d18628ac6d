"""Searching: trials of a config with drawn values of some bindings, for the best figure. ``sweep`` and ``tune``.

`space` says what a search draws from, `space_file` reads it from TOML, `study` keeps the trials (Optuna, in one folder,
for any number of processes), and `search` opens a search and writes what it found. `sweep` and `tune` are the two
commands: a trial of the first trains a run, a trial of the second fits part of a neural dataset. `vmapped` trains
several trials of a sweep in one program. Another kind of range goes into `space.parameter`, `space.draw` and
`Parameter.grid_values`. The page is drawn in `hyperinr.inspection`.
"""
