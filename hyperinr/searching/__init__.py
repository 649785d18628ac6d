"""Searching: what is drawn, the trials and who works on them, and many runs in one program.

`space` says what a search draws from, `study` keeps its trials (Optuna, in one folder, for any number of processes),
`lifting` makes one program of several that differ in numbers only, and `together` trains experiments by it. What a
trial of the command line *is* belongs to `hyperinr.sweeping` and `hyperinr.cli.tuning_commands`. Another kind of
range goes into `space.parameter`, `space.draw` and `Parameter.grid_values`.
"""
