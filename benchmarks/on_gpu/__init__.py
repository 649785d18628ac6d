"""What a GPU is worth to hyperinr, measured in a borrowed quarter of an hour.

``python -m benchmarks.on_gpu --out DIR --minutes M`` runs five parts, the most telling first (`parts.PARTS`). Each part
is a process with a time limit of its own and one JSON file, which is written after every row. ``docs/gpu.md`` says how
to get it onto a machine without network. A further part is one file with a function ``measure(record, options)`` and a
row in `parts.PARTS`.
"""
