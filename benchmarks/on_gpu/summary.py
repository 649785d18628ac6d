"""Summarise all parts on one Markdown page."""

from collections.abc import Iterable, Mapping
from typing import Any

__all__ = ['summary']

FACTS = ('device', 'platform', 'jax', 'torch', 'python', 'default_precision')


def summary(parts: Iterable[Mapping[str, Any]]) -> str:
    """Return the page: a section for each part, with its facts and a table. Names of figures end with their unit."""
    lines = ['# On a GPU', '', 'By `python -m benchmarks.on_gpu`; the JSON files beside this page hold everything.', '']
    for part in parts:
        facts = ', '.join(f'{name} {part[name]}' for name in FACTS if part.get(name))
        lines += [f'## {part["part"]}: {part["status"]} in {part.get("part_seconds", 0):.0f} s', '', facts, '']
        if 'peak_tflops' in part:
            peaks = ', '.join(f'{name} {value:.3g}' for name, value in part['peak_tflops'].items() if value)
            lines += [f'Measured peaks of large matrix products, TFLOP/s: {peaks}.', '']
        if 'error' in part:
            lines += ['```', part['error'], '```', '']
        lines += ['| row | status | figures |', '|---|---|---|']
        lines += [f'| {name} | {row["status"]} | {_figures(row)} |' for name, row in part['rows'].items()]
        lines.append('')
    return '\n'.join(lines)


def _figures(row: Mapping[str, Any]) -> str:
    """Return all single numbers of a row's figures, or the reason why there are none."""
    said = row.get('error') or row.get('reason')
    if said:
        return said.splitlines()[0][:120].replace('|', '/')
    return ', '.join(f'{name} {_short(value)}' for name, value in row.get('figures', {}).items())


def _short(value: Any) -> str:
    if isinstance(value, list):
        return ' / '.join(_short(item) for item in value)
    return f'{value:.4g}' if isinstance(value, float) else str(value)
