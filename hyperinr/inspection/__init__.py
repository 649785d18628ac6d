"""Show results: pictures of reconstructions and their errors, curves, and reports that combine them.

This package does not measure: the numbers come from modules such as `hyperinr.evaluation.curves`. To add a picture,
write one function that writes one file. Matplotlib is imported on first use (``pip install hyperinr[viz]``).
"""

from hyperinr.inspection.pictures import draw_comparison, draw_curves, draw_errors, draw_fit
from hyperinr.inspection.report import draw, print_table, show

__all__ = ['draw', 'draw_comparison', 'draw_curves', 'draw_errors', 'draw_fit', 'print_table', 'show']
