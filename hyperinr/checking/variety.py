"""Check what training datapoints have in common: constants, copies, labels, points that no datapoint shows."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from hyperinr.checking.data import Named
from hyperinr.checking.findings import Stage

__all__ = ['check_variety']

CONSTANT_SPAN = 1 / 255
"""Share of the span of all datapoints below which a datapoint is constant: one level of an 8-bit picture."""
NOTED_SHARE = 0.05
"""Share of constant or repeated datapoints above which something is said."""


def check_variety(sound: Sequence[Named], stage: Stage) -> None:
    """Check the sound datapoints of both splits; the stage has the numbers of their range."""
    train, validation = ([each for each in sound if each.split == split] for split in ('train', 'validation'))
    if not train:
        return
    whole = stage.numbers['largest'] - stage.numbers['smallest']
    flat = lambda each: np.ptp(each.counted, axis=0).max() <= CONSTANT_SPAN * whole
    constant = [flat(each) for each in train]
    share = float(np.mean(constant))
    spreads = [np.ptp(each.counted, axis=0).max() for each in train]
    stage.numbers |= {'constant_share': share, 'median_spread': float(np.median(spreads))}
    if share > NOTED_SHARE:
        numbers = {'share': share, 'num_datapoints': len(train), 'example': str(train[int(np.argmax(constant))])}
        stage.find('data.constant' if share > 0.5 else 'data.constant/some', **numbers)
    if share <= 0.5:
        varied = [each for each, is_flat in zip(train, constant, strict=True) if not is_flat]
        _check_copies(varied, [each for each in validation if not flat(each)], len(train), stage)
    labels = {None if each.datapoint.label is None else int(each.datapoint.label) for each in train}
    if len(train) > 1 and len(labels) == 1 and None not in labels:
        stage.find('data.one_label', num_datapoints=len(train), label=labels.pop())
    shown = np.any([each.datapoint.weight > 0 for each in train], axis=0)
    fixed = all(np.array_equal(each.datapoint.coords, train[0].datapoint.coords) for each in train)
    if fixed and not shown.all():
        stage.find('data.unseen_points', num_hidden=int(np.sum(~shown)), num_points=len(shown))


def _check_copies(train: Sequence[Named], validation: Sequence[Named], num_read: int, stage: Stage) -> None:
    """Check for equal datapoints: within the training split, and in both splits. None of them is constant."""
    first: dict[bytes, Named] = {}
    copies = [(first.setdefault(_content(each), each), each) for each in train]
    copies = [(one, other) for one, other in copies if one is not other]
    if num_read > 1 and len(copies) == num_read - 1:
        stage.find('data.identical', num_datapoints=num_read)
    elif len(copies) > NOTED_SHARE * num_read:
        stage.find('data.repeated', num_datapoints=num_read, **_said(copies, num_read))
    leaks = [(first[_content(each)], each) for each in validation if _content(each) in first]
    if leaks:
        name = 'data.leak' if len(leaks) > NOTED_SHARE * len(validation) else 'data.leak/some'
        stage.find(name, num_datapoints=len(validation), **_said(leaks, len(validation)))


def _said(pairs: Sequence[tuple[Named, Named]], num_datapoints: int) -> dict[str, Any]:
    """Return the numbers of a finding about pairs of equal datapoints."""
    return {'share': len(pairs) / num_datapoints, 'where': str(pairs[0][1]), 'first': str(pairs[0][0])}


def _content(each: Named) -> bytes:
    """Return bytes that are equal for equal points and values."""
    return each.datapoint.coords.tobytes() + each.datapoint.values.tobytes()
