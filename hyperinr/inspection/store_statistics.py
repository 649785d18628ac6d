"""Statistics of a neural dataset: PSNR, weights of each tensor, a projection, clusters against labels."""

from typing import Any

import numpy as np

from hyperinr.errors import InputError
from hyperinr.neural_datasets.store import NeuralDataset
from hyperinr.runtime.extras import import_extra

__all__ = [
    'cluster_agreement',
    'principal_plane',
    'psnr_summary',
    'sample_rows',
    'tensor_statistics',
]


def sample_rows(store: NeuralDataset, *, most: int) -> np.ndarray:
    """Draw at most ``most`` rows of INRs that did not diverge, in ascending order.

    Raises:
      InputError: there are no such INRs.
    """
    rows = store.where(status=('ok', 'missed_target'))
    if len(rows) == 0:
        raise InputError(f'{store.folder} holds no INR that did not diverge; fit some first.')
    return np.sort(np.random.default_rng(0).choice(rows, min(most, len(rows)), replace=False))


def psnr_summary(store: NeuralDataset) -> dict[str, Any]:
    """Return counts by status and quantiles of the finite PSNRs in dB; ``None`` for the quantiles of no INRs."""
    psnr = store.column('psnr_db')[store.where(status=('ok', 'missed_target'))].astype(float)
    psnr = psnr[np.isfinite(psnr)]
    found: dict[str, Any] = {name: len(store.where(status=name)) for name in ('ok', 'diverged', 'missed_target')}
    found['mean_db'] = float(psnr.mean()) if len(psnr) else None
    for name, share in (('least_db', 0), ('median_db', 0.5), ('most_db', 1)):
        found[name] = float(np.quantile(psnr, share)) if len(psnr) else None
    return found


def tensor_statistics(store: NeuralDataset, rows: np.ndarray) -> list[dict[str, Any]]:
    """Return the statistics of every tensor over the INRs at ``rows``.

    Returns:
      For each tensor its ``path``, like ``'layer_0/w'``; ``mean``, ``std``, ``low`` and ``high``: mean, standard
      deviation, smallest and largest of all entries; ``between``: standard deviation between INRs, as the root mean
      square over entries, 0 if all INRs agree.
    """
    spec, found = store.description.weights, []
    parts = np.split(store.weights(rows).astype(np.float64), np.cumsum(spec.sizes)[:-1], axis=1)
    for path, part in zip(spec.paths, parts, strict=True):
        figures = (part.mean(), part.std(), part.min(), part.max(), np.sqrt(part.var(axis=0).mean()))
        names = ('mean', 'std', 'low', 'high', 'between')
        found.append({'path': path, **dict(zip(names, map(float, figures), strict=True))})
    return found


def principal_plane(weights: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Project centred rows on their first two principal components.

    Args:
      weights: ``[n, P]``, n >= 1.

    Returns:
      ``[n, 2]`` coordinates in the plane of largest variance, and the share ``[2]`` of the variance along each axis.
      Missing components are zeros.
    """
    centred = weights.astype(np.float64) - weights.mean(axis=0, dtype=np.float64)
    left, singular, _ = np.linalg.svd(centred, full_matrices=False)
    plane, share = np.zeros((len(weights), 2)), np.zeros(2)
    total = float((singular**2).sum())
    count = min(2, len(singular))
    if total > 0:
        plane[:, :count] = left[:, :count] * singular[:count]
        share[:count] = singular[:count] ** 2 / total
    return plane, share


def cluster_agreement(weights: np.ndarray, labels: np.ndarray, *, seed: int = 0) -> float | None:
    """Return the normalised mutual information between the labels and k-means clusters of the weights.

    k is the number of labels. Strehl and Ghosh, "Cluster ensembles" (2002), with arithmetic normalisation. 0 means
    independent, 1 the same partition.

    Args:
      weights: ``[n, P]``; each weight is standardised first.
      labels: ``[n]``; rows with -1 have no label and are left out.
      seed: seed of k-means.

    Returns:
      ``None`` with fewer than two labels.

    Raises:
      InputError: scikit-learn is missing.
    """
    import_extra('sklearn', needed_by='a cluster', package='scikit-learn', extra='analysis')
    from sklearn.cluster import KMeans
    from sklearn.metrics import normalized_mutual_info_score

    known = labels >= 0
    classes = np.unique(labels[known])
    if len(classes) < 2:
        return None
    rows = weights[known].astype(np.float64)
    spread = rows.std(axis=0)
    rows = (rows - rows.mean(axis=0)) / np.where(spread > 0, spread, 1)
    clusters = KMeans(n_clusters=len(classes), n_init=4, random_state=seed).fit_predict(rows)
    return float(normalized_mutual_info_score(labels[known], clusters))
