"""Checking a run before it is trained: the ladder that experienced people climb by hand.

`ladder.check` climbs it: `data` looks at the data (`layout`: the order of their axes, `sheet`: a picture), `alone` fits
one INR to one datapoint, `single` trains the hypernetwork on it, `short_run` trains on all for a short while. `trial`
holds the program of training that the last two share, `findings` what all of them return, `report` how it is shown.
Nothing here trains in earnest or stores a model. Another test is a code in `findings.CODES` and a condition in one of
the four files, whose threshold says why it is what it is; docs/checking.md has what each of them was measured to find.
"""

from hyperinr.checking.findings import CODES, Finding, Rung
from hyperinr.checking.ladder import Options, check
from hyperinr.checking.report import as_json, lines, raise_if_any

__all__ = ['CODES', 'Finding', 'Options', 'Rung', 'as_json', 'check', 'lines', 'raise_if_any']
