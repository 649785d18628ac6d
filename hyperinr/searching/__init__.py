"""Search for the best values of bindings by trials of a config: ``sweep`` and ``tune``.

`space` describes the search space, and `space_file` reads it from TOML. `study` stores the trials (Optuna, in one
folder, for any number of processes). `search` opens a search and writes its results. `sweep` and `tune` are the two
commands: a trial of ``sweep`` trains a run, a trial of ``tune`` fits part of a neural dataset. `vmapped` trains several
trials of a sweep in one program. `hyperinr.inspection` draws the page. To add a kind of range, extend
`space.parameter`, `space.draw` and `Parameter.grid_values`.
"""
