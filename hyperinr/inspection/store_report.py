"""A neural dataset at a glance: PNGs and one HTML page that holds them all."""

import base64
import html
import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import jax
import numpy as np

from hyperinr import coordinates
from hyperinr.files import check_writable_folder, replacing
from hyperinr.inspection.pictures import _figure, _save, _show, _unit
from hyperinr.inspection.solid_report import draw_solids, volumetric_ious
from hyperinr.inspection.store_statistics import (
    TensorStatistics,
    cluster_agreement,
    principal_plane,
    psnr_summary,
    sample_rows,
    tensor_statistics,
)
from hyperinr.neural_datasets.signals import Signals
from hyperinr.neural_datasets.store import NeuralDataset

__all__ = ['inspect_store']

NUM_EXAMPLES = 4
"""Of the best, of those about the median, and of the worst."""
PAGE = """<!doctype html>
<html lang="en"><meta charset="utf-8"><title>{title}</title>
<style>
body {{ font: 15px/1.5 system-ui, sans-serif; max-width: 60rem; margin: 2rem auto; padding: 0 1rem; color: #222 }}
img {{ max-width: 100% }} table {{ border-collapse: collapse }}
td, th {{ padding: .15rem .8rem; text-align: right; border-bottom: 1px solid #ddd }}
td:first-child, th:first-child {{ text-align: left }}
</style>
<h1>{title}</h1>
{body}
</html>
"""


def inspect_store(
    store: NeuralDataset,
    out: str | os.PathLike,
    *,
    signals: Signals | None = None,
    most: int = 2000,
    seed: int = 0,
) -> tuple[Path, dict[str, Any]]:
    """Draws what a store holds.

    Args:
      store: with at least one INR.
      out: folder for ``index.html``, ``figures.json`` and the PNGs.
      signals: to put beside the reconstructions, and to measure the IoU of solids anew; ``None``: without originals.
      most: INRs that statistics and the projection look at.
      seed: of their choice.

    Returns:
      The page, and the figures on it.

    Raises:
      InputError: no INR to look at, no permission, or matplotlib or scikit-learn is missing.
    """
    rows = sample_rows(store, most=most, seed=seed)
    weights, labels = store.weights(rows), store.column('label')[rows]
    plane, share = principal_plane(weights)
    tensors = tensor_statistics(store, rows)
    figures = {
        'num_inrs': len(store),
        'of': store.description.size,
        'inr': dict(store.description.inr),
        'start': dict(store.description.start),
        'psnr': psnr_summary(store),
        'num_sampled': len(rows),
        'variance_of_plane': share.tolist(),
        'nmi': cluster_agreement(weights, labels, seed=seed),
        'tensors': [statistics._asdict() for statistics in tensors],
    }
    folder = check_writable_folder(out)
    pictures = [_draw_psnr(store, folder / 'psnr.png'), _draw_plane(plane, share, labels, folder / 'projection.png')]
    shape = store.description.spec.grid_shape
    if shape is not None and len(shape) == 2:
        pictures.append(_draw_examples(store, shape, signals, folder / 'reconstructions.png'))
    if store.description.spec.coord_dims == 3:
        picture, chamfers = draw_solids(store, _examples(store), folder, signals)
        pictures.append(picture)
        if chamfers:
            figures['chamfer'] = {'num': len(chamfers), 'median': float(np.median(chamfers)), 'most': max(chamfers)}
        ious = None if signals is None else volumetric_ious(store, signals, seed=seed)
        if ious is not None:
            figures['iou'] = {'num': len(ious), 'least': float(ious.min()), 'median': float(np.median(ious))}
    with replacing(folder / 'figures.json') as temporary:
        temporary.write_text(json.dumps(figures, indent=2), encoding='utf-8')
    page = folder / 'index.html'
    with replacing(page) as temporary:
        temporary.write_text(_page(store, figures, tensors, pictures), encoding='utf-8')
    return page, figures


def _draw_psnr(store: NeuralDataset, path: Path) -> Path:
    psnr = store.column('psnr_db')
    figure = _figure(6, 3)
    axes = figure.subplots()
    axes.hist(psnr[np.isfinite(psnr)], bins=60, color='tab:blue')
    axes.set_xlabel('PSNR (dB)')
    axes.set_ylabel('INRs')
    return _save(figure, path)


def _draw_plane(plane: np.ndarray, share: np.ndarray, labels: np.ndarray, path: Path) -> Path:
    figure = _figure(6, 5)
    axes = figure.subplots()
    classes = np.unique(labels)
    for number, label in enumerate(classes):
        chosen = labels == label
        name = 'no label' if label < 0 else str(label)
        axes.scatter(plane[chosen, 0], plane[chosen, 1], s=8, color=f'C{number % 10}', label=name)
    axes.set_xlabel(f'first principal component ({100 * share[0]:.1f} % of the variance)')
    axes.set_ylabel(f'second ({100 * share[1]:.1f} %)')
    if len(classes) <= 20:
        axes.legend(fontsize=8, markerscale=2)
    return _save(figure, path)


def _draw_examples(store: NeuralDataset, shape: Sequence[int], signals: Signals | None, path: Path) -> Path:
    groups = _examples(store)
    lines = 2 if signals is not None else 1
    figure = _figure(1.3 * NUM_EXAMPLES * 3, 1.6 * lines)
    axes = figure.subplots(lines, NUM_EXAMPLES * 3, squeeze=False)
    for each in axes.flat:
        each.set_axis_off()
    data_range, inr = store.description.spec.data_range, store.inr
    apply = jax.jit(inr.apply)
    for group, (name, rows) in enumerate(groups.items()):
        for number, row in enumerate(rows):
            column = group * NUM_EXAMPLES + number
            tree = jax.tree.map(lambda leaf: leaf[0], store.pytrees([row]))
            values = np.asarray(apply(tree, coordinates.grid(shape))).reshape(*shape, -1)
            title = f'{name} {store.column("psnr_db")[row]:.1f} dB'
            _show(axes[0, column], _unit(values, data_range), title)
            if signals is not None:
                original = np.asarray(signals.batch(store.column('source_index')[[row]]).values[0]).reshape(*shape, -1)
                _show(axes[1, column], _unit(original, data_range), 'original')
    return _save(figure, path)


def _examples(store: NeuralDataset) -> dict[str, np.ndarray]:
    """Rows of the best, of the middle and of the worst by IoU if there is one, else by PSNR; none that diverged."""
    rows = store.where(status=('ok', 'missed_target'))
    name = 'iou' if np.isfinite(store.column('iou')[rows]).any() else 'psnr_db'
    order = rows[np.argsort(store.column(name)[rows], kind='stable')]
    count = min(NUM_EXAMPLES, len(order))
    middle = max(0, len(order) // 2 - count // 2)
    return {'best': order[::-1][:count], 'median': order[middle : middle + count], 'worst': order[:count]}


def _page(
    store: NeuralDataset, figures: Mapping[str, Any], tensors: Sequence[TensorStatistics], pictures: Sequence[Path]
) -> str:
    psnr, nmi = figures['psnr'], figures['nmi']
    summary = [
        ('INRs', f'{figures["num_inrs"]:,} of {figures["of"]:,}'),
        ('source', store.description.spec.name),
        ('INR', ', '.join(f'{name} {value}' for name, value in figures['inr'].items())),
        ('start', str(figures['start'].get('kind'))),
        *((f'status {name.replace("_", " ")}', f'{psnr[name]:,}') for name in ('ok', 'diverged', 'missed_target')),
        *(
            (f'PSNR, {name.removesuffix("_db")}', 'unknown' if psnr[name] is None else f'{psnr[name]:.2f} dB')
            for name in ('least_db', 'median_db', 'mean_db', 'most_db')
        ),
        ('k-means against labels, NMI', 'no labels' if nmi is None else f'{nmi:.3f}'),
    ]
    if 'iou' in figures:
        iou = figures['iou']
        summary.append(('IoU, least and median', f'{iou["least"]:.4f}, {iou["median"]:.4f} of {iou["num"]} INRs'))
    if 'chamfer' in figures:
        chamfer = figures['chamfer']
        summary.append(('Chamfer distance, median and most', f'{chamfer["median"]:.4f}, {chamfer["most"]:.4f}'))
    columns = ('tensor', 'mean', 'std', 'least', 'most', 'std between INRs')
    numbers = [(each.path, *(f'{value:.4g}' for value in each[1:])) for each in tensors]
    parts = [_table(summary)]
    parts += [f'<h2>{picture.stem}</h2>{_image(picture)}' for picture in pictures]
    parts += [f'<h2>weights of {figures["num_sampled"]} INRs</h2>', _table(numbers, columns)]
    return PAGE.format(title=html.escape(store.folder.name), body='\n'.join(parts))


def _table(rows: Sequence[Sequence[str]], columns: Sequence[str] = ()) -> str:
    head = ''.join(f'<th>{html.escape(name)}</th>' for name in columns)
    body = ''.join('<tr>' + ''.join(f'<td>{html.escape(cell)}</td>' for cell in row) + '</tr>' for row in rows)
    return f'<table>{f"<tr>{head}</tr>" if head else ""}{body}</table>'


def _image(path: Path) -> str:
    data = base64.b64encode(path.read_bytes()).decode()
    return f'<img alt="{html.escape(path.stem)}" src="data:image/png;base64,{data}">'
