"""Measure hyperinr on a GPU that is available for a quarter of an hour.

``python -m benchmarks.on_gpu --out DIR --minutes M`` runs five parts, the most important first (`parts.PARTS`). Each
part is a process with its own time limit and one JSON file, which is written after every row. ``docs/gpu.md`` describes
how to run it on a machine without network. To add a part, write one file with a function ``measure(record, options)``
and a row in `parts.PARTS`.
"""
