"""Draw an overview of a neural dataset: PNGs and one HTML page that holds them all."""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import jax
import numpy as np

from hyperinr import coordinates
from hyperinr.inspection.page import render
from hyperinr.inspection.pictures import new_axes, new_figure, save_figure, show_image
from hyperinr.inspection.solid_report import draw_solids, volumetric_ious
from hyperinr.inspection.store_statistics import (
    cluster_agreement,
    principal_plane,
    psnr_summary,
    sample_rows,
    tensor_statistics,
)
from hyperinr.kinds.solids import is_solid
from hyperinr.neural_datasets.signals import Signals
from hyperinr.neural_datasets.store import NeuralDataset
from hyperinr.panels import panel
from hyperinr.runtime.files import check_writable_folder, plain
from hyperinr.runtime.outputs import check_outputs, write_json_output

__all__ = ['inspect_store']

OUTPUTS = ('index.html', 'figures.json', 'psnr.png', 'projection.png', 'reconstructions.png', 'solids.png')
NUM_EXAMPLES = 4
"""Examples each of the best INRs, of those about the median, and of the worst."""
MOST = 2000
"""Most INRs in the statistics and the projection."""


def inspect_store(
    store: NeuralDataset, out: str | os.PathLike, *, signals: Signals | None = None
) -> tuple[Path, dict[str, Any]]:
    """Draw the content of a store.

    Args:
      store: store with at least one INR.
      out: folder for ``index.html``, ``figures.json`` and the PNGs.
      signals: originals to draw beside the reconstructions and to measure the IoU of solids again; ``None``: none.

    Returns:
      The page, and the figures on it.

    Raises:
      InputError: all INRs diverged or there are none, another program wrote a file of these names, or a permission,
        matplotlib or scikit-learn is missing.
    """
    folder = Path(out)
    check_outputs(folder / name for name in OUTPUTS)
    rows = sample_rows(store, most=MOST)
    weights, labels = store.weights(rows), store.column('label')[rows]
    plane, share = principal_plane(weights)
    figures = {
        'num_inrs': len(store),
        'of': store.description.size,
        'inr': dict(store.description.inr),
        'start': dict(store.description.start),
        'psnr': psnr_summary(store),
        'num_sampled': len(rows),
        'variance_of_plane': share.tolist(),
        'nmi': cluster_agreement(weights, labels),
        'tensors': tensor_statistics(store, rows),
    }
    check_writable_folder(folder)
    pictures = [_draw_psnr(store, folder / 'psnr.png'), _draw_plane(plane, share, labels, folder / 'projection.png')]
    spec = store.description.spec
    if (shape := spec.grid_shape) is not None:
        pictures.append(_draw_examples(store, shape, signals, folder / 'reconstructions.png'))
    if is_solid(spec):
        picture, chamfers = draw_solids(store, _examples(store), folder, signals)
        pictures.append(picture)
        if chamfers:
            figures['chamfer'] = {'num': len(chamfers), 'median': float(np.median(chamfers)), 'most': max(chamfers)}
        ious = None if signals is None else volumetric_ious(store, signals)
        if ious is not None:
            figures['iou'] = {'num': len(ious), 'least': float(ious.min()), 'median': float(np.median(ious))}
    write_json_output(folder / 'figures.json', plain(figures))
    page = render(
        folder / 'index.html',
        'store.html',
        title=store.folder.name,
        source=store.description.spec.name,
        figures=figures,
        pictures={picture.stem: picture.read_bytes() for picture in pictures},
    )
    return page, figures


def _draw_psnr(store: NeuralDataset, path: Path) -> Path:
    psnr = store.column('psnr_db')
    figure, axes = new_axes(6.0, 3.0, 'PSNR (dB)', 'INRs')
    axes.hist(psnr[np.isfinite(psnr)], bins=60, color='tab:blue')
    return save_figure(figure, path)


def _draw_plane(plane: np.ndarray, share: np.ndarray, labels: np.ndarray, path: Path) -> Path:
    first = f'first principal component ({100 * share[0]:.1f} % of the variance)'
    figure, axes = new_axes(6.0, 5.0, first, f'second ({100 * share[1]:.1f} %)')
    classes = np.unique(labels)
    for number, label in enumerate(classes):
        chosen = labels == label
        name = 'no label' if label < 0 else str(label)
        axes.scatter(plane[chosen, 0], plane[chosen, 1], s=8, color=f'C{number % 10}', label=name)
    if len(classes) <= 20:
        axes.legend(fontsize=8, markerscale=2)
    return save_figure(figure, path)


def _draw_examples(store: NeuralDataset, shape: Sequence[int], signals: Signals | None, path: Path) -> Path:
    groups = _examples(store)
    lines = 2 if signals is not None else 1
    figure = new_figure(1.3 * NUM_EXAMPLES * 3, 1.6 * lines)
    axes = figure.subplots(lines, NUM_EXAMPLES * 3, squeeze=False)
    for each in axes.flat:
        each.set_axis_off()
    spec, apply = store.description.spec, jax.jit(store.inr.apply)
    for group, (name, rows) in enumerate(groups.items()):
        for number, row in enumerate(rows):
            column = group * NUM_EXAMPLES + number
            tree = jax.tree.map(lambda leaf: leaf[0], store.pytrees([row]))
            values = np.asarray(apply(tree, coordinates.grid(shape, spec.layout))).reshape(*shape, -1)
            title = f'{name} {store.column("psnr_db")[row]:.1f} dB'
            show_image(axes[0, column], panel(values, spec), title)
            if signals is not None:
                original = np.asarray(signals.batch(store.column('source_index')[[row]]).values[0]).reshape(*shape, -1)
                show_image(axes[1, column], panel(original, spec), 'original')
    return save_figure(figure, path)


def _examples(store: NeuralDataset) -> dict[str, np.ndarray]:
    """Return rows of the best, middle and worst INRs by IoU, or by PSNR without IoU; diverged INRs are left out."""
    rows = store.where(status=('ok', 'missed_target'))
    name = 'iou' if np.isfinite(store.column('iou')[rows]).any() else 'psnr_db'
    order = rows[np.argsort(store.column(name)[rows], kind='stable')]
    count = min(NUM_EXAMPLES, len(order))
    middle = max(0, len(order) // 2 - count // 2)
    return {'best': order[::-1][:count], 'median': order[middle : middle + count], 'worst': order[:count]}
