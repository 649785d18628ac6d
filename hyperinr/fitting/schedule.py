"""Cut a batch of any size into calls of one shape: chunks with a padded tail, or rows that are refilled.

Letters: ``B`` INRs, ``G`` devices, ``b`` rows of a call on each device.
"""

from collections.abc import Callable, Iterator
from typing import Any

import jax
import numpy as np

from hyperinr.fitting.loop import Fitted
from hyperinr.fitting.programs import FitBatch, FitNumbers, FitProgram, run_round, run_whole
from hyperinr.fitting.stopping import Status
from hyperinr.runtime.sharding import shard
from hyperinr.types import Array

__all__ = ['in_chunks', 'in_rounds']

Take = Callable[[np.ndarray, np.ndarray], FitBatch]
"""``(rows [n], active [n]) -> FitBatch`` with these rows of the batch."""


def in_chunks(
    program: FitProgram, take: Take, num_inrs: int, group_size: int, numbers: FitNumbers
) -> Iterator[tuple[np.ndarray, Fitted]]:
    """Take all steps of one chunk after the other; a chunk runs while the results of the last one are fetched.

    The lengths of two chunks differ by at most one INR. A chunk is dealt out to the devices in turn, so the loads of
    two devices differ by at most one INR as well. The tail is padded with rows that take no step.

    Yields:
      Rows ``[n]`` of the batch and their results, leaves ``[n, ...]``.
    """
    devices = len(program.devices)
    size = devices * group_size
    num_chunks = -(-num_inrs // size)
    edges = np.linspace(0, num_inrs, num_chunks + 1).round().astype(int)
    dealt = np.arange(size).reshape(group_size, devices).T.reshape(-1)
    pending = None
    for start, stop in zip(edges[:-1], edges[1:], strict=True):
        active = start + dealt < stop
        rows = np.minimum(start + dealt, stop - 1)
        running = run_whole(program, take(rows, active), numbers)
        if pending is not None:
            yield _arrived(*pending)
        pending = rows, active, running
    if pending is not None:
        yield _arrived(*pending)


def _arrived(rows: np.ndarray, wanted: np.ndarray, fitted: Fitted) -> tuple[np.ndarray, Fitted]:
    return rows[wanted], _select(fitted, wanted)


def _select(tree: Any, chosen: np.ndarray) -> Any:
    return jax.tree.map(lambda leaf: _joined(leaf)[chosen], tree)


def _joined(leaf: Array) -> np.ndarray:
    """Reshape ``[G, b, ...]`` to ``[G b, ...]`` on the host."""
    return np.asarray(leaf).reshape(leaf.shape[0] * leaf.shape[1], *leaf.shape[2:])


def in_rounds(
    program: FitProgram, take: Take, num_inrs: int, group_size: int, steps_per_round: int, numbers: FitNumbers
) -> Iterator[tuple[np.ndarray, Fitted]]:
    """Take some steps of all rows at a time; a waiting INR takes the row of a finished one.

    When no INR waits and half of the rows are idle, the running INRs move together into half as many rows.

    Yields:
      As for `in_chunks`, in the order in which the INRs finish.
    """
    devices = len(program.devices)
    size = devices * group_size
    rows, busy, fresh = np.arange(size), np.arange(size) < num_inrs, np.ones(size, bool)
    rows = np.minimum(rows, num_inrs - 1)
    waiting, state = min(size, num_inrs), None
    while busy.any():
        state, fitted = run_round(program, steps_per_round, state, take(rows, busy), fresh, numbers)
        running = _joined(state.status) == Status.RUNNING
        done = busy & ~(running & (_joined(state.num_steps) < program.rules.num_steps))
        fresh = np.zeros(len(rows), bool)
        if not done.any():
            continue
        yield _arrived(rows, done, fitted)
        busy = busy & ~done
        refilled = np.flatnonzero(~busy)[: num_inrs - waiting]
        rows[refilled] = waiting + np.arange(len(refilled))
        waiting += len(refilled)
        busy[refilled] = fresh[refilled] = True
        half = len(rows) // 2
        if waiting == num_inrs and 0 < busy.sum() <= half and half % devices == 0:
            kept = np.argsort(~busy, kind='stable')[:half]
            rows, busy, fresh = rows[kept], busy[kept], fresh[kept]
            state = shard(_select(state, kept), program.devices)
