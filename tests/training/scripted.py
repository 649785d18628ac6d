"""Evaluators that find what a test wants, and what a run wrote about them."""

import json
from collections.abc import Callable

from hyperinr.training.watching.evaluators import Evaluator, Findings, Measurement
from hyperinr.training.watching.spans import span

__all__ = ['records', 'scripted']


def scripted(
    value: Callable[[int], float], *, every: str = '1 step', name: str = 'score', figure: str = 'value'
) -> Evaluator:
    """Finds ``value(step)``."""

    def prepare(subject):
        return Measurement((figure,), lambda state: Findings({figure: float(value(int(state.step)))}))

    return Evaluator(name, span(every), prepare)


def records(run_dir, kind):
    """Lines of ``metrics.jsonl`` of one kind."""
    lines = [json.loads(line) for line in (run_dir / 'metrics.jsonl').read_text().splitlines()]
    return [line for line in lines if line['kind'] == kind]
