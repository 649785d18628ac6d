"""Faults against ``hyperinr train`` and ``hyperinr fit``, and what they lose: ``python -m benchmarks.faults``.

`processes` starts commands and disturbs them. `training` and `fitting` each have the faults of one command.
"""
