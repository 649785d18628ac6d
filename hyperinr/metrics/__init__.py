"""Errors of a reconstruction against its signal. The range of the data is always an argument, never a guess.

One file for each kind of signal, and `points` for what is defined on any points. Which metrics suit a dataset is
decided in `hyperinr.evaluation.figures`.
"""

from hyperinr.metrics.fields import latitude_weighted_rmse
from hyperinr.metrics.images import ssim
from hyperinr.metrics.points import MOST_DB, mean_squared_error, psnr, psnr_from_mse, signal_to_noise_ratio
from hyperinr.metrics.shapes import chamfer_distance, intersection_over_union
from hyperinr.metrics.sounds import log_spectral_distance, spectra_db

__all__ = [
    'MOST_DB',
    'chamfer_distance',
    'intersection_over_union',
    'latitude_weighted_rmse',
    'log_spectral_distance',
    'mean_squared_error',
    'psnr',
    'psnr_from_mse',
    'signal_to_noise_ratio',
    'spectra_db',
    'ssim',
]
