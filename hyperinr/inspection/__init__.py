"""Looking at results: pictures of reconstructions and their errors, curves, and reports that put them together.

Nothing here measures: what is drawn comes from `hyperinr.evaluation.curves` and the like. Another picture is one
function that writes one file. Matplotlib is imported when something is drawn (``pip install hyperinr[viz]``).
"""

from hyperinr.inspection.pictures import draw_comparison, draw_curves, draw_errors, draw_fit
from hyperinr.inspection.report import draw, print_table, show

__all__ = ['draw', 'draw_comparison', 'draw_curves', 'draw_errors', 'draw_fit', 'print_table', 'show']
