"""Checking a run before it is trained, in four stages that each stand on the one before.

`stages.check` runs them: `data` reads the data (`layout`: the order of their axes; `picture`: how they look), `inr_fit`
fits one INR to one datapoint, `one_datapoint` trains the hypernetwork on it, `short_run` trains on all for a while.
`program` is the program of training that the last two share, `findings` what a stage says, `report` how it is shown.
Nothing here trains in earnest or stores a model. To add a finding, write a row of ``findings.toml`` and a condition in
one of the four files, with the reason of its threshold; docs/checking.md says what each was measured to find.
"""

from hyperinr.checking.findings import CODES, Finding, Stage
from hyperinr.checking.report import as_json, lines, raise_if_any
from hyperinr.checking.stages import Options, check

__all__ = ['CODES', 'Finding', 'Options', 'Stage', 'as_json', 'check', 'lines', 'raise_if_any']
