"""Check a run before it is trained, in four stages. Each stage needs the one before.

`stages.check` runs them. `data` reads the data, with `layout` for the order of the axes, `variety` for copies and
constants, and `picture` to draw them. `difficulty` chooses a few datapoints; `inr_fit` fits INRs to them and compares
with `reference`, `few_datapoints` trains the hypernetwork on them, and `short_run` trains briefly on all data. The last
two share the compiled training in `program`. `findings` holds the results of a stage and
prints them. Nothing here trains a whole run or stores a model. To add a finding, write a row of ``findings.toml`` and a
condition in one of the four files, with the reason of its threshold. docs/checking.md has the measured detections.
"""

from hyperinr.checking.findings import CODES, Finding, Stage, as_json, lines, raise_if_any
from hyperinr.checking.stages import Options, check

__all__ = ['CODES', 'Finding', 'Options', 'Stage', 'as_json', 'check', 'lines', 'raise_if_any']
