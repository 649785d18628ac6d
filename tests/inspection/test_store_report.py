"""What is said of a neural dataset is true, and the page needs nothing beside it."""

import json
import re

import numpy as np
import pytest

from hyperinr.errors import InputError
from hyperinr.inspection import store_statistics
from hyperinr.neural_datasets import open_store
from tests.neural_datasets.tiny_store import default_job, fit_tiny, tiny_dataset, tiny_job


@pytest.fixture(scope='module')
def store(tmp_path_factory):
    dataset = tiny_dataset()
    for source in dataset.splits.values():
        source.labels = np.arange(len(source)) % 2
    folder = tmp_path_factory.mktemp('stores') / 'store'
    fit_tiny(folder, tiny_job(dataset=dataset))
    return open_store(folder)


def test_tensor_statistics_are_those_of_a_loop(store):
    rows = np.array([0, 3, 7])
    trees = store.pytrees(rows)
    for each in store_statistics.tensor_statistics(store, rows):
        layer, name = each['path'].split('/')
        leaf = np.asarray(trees[layer][name], np.float64)
        expected = (leaf.mean(), leaf.std(), leaf.min(), leaf.max(), np.sqrt(leaf.var(axis=0).mean()))
        np.testing.assert_allclose(list(each.values())[1:], expected, rtol=1e-6)


def test_the_plane_is_that_of_largest_variance():
    rng = np.random.default_rng(0)
    hidden = rng.normal(size=(50, 2)) * [5.0, 2.0]
    basis = np.linalg.qr(rng.normal(size=(9, 2)))[0]
    rows = hidden @ basis.T + 3
    plane, share = store_statistics.principal_plane(rows.astype(np.float32))
    np.testing.assert_allclose(np.abs(np.corrcoef(plane[:, 0], hidden[:, 0])[0, 1]), 1, atol=0.02)
    np.testing.assert_allclose(share.sum(), 1, atol=1e-5)
    variances = np.sort(np.linalg.eigvalsh(np.cov(rows.T)))[::-1]
    np.testing.assert_allclose(share[0], variances[0] / variances.sum(), rtol=1e-4)
    plane, share = store_statistics.principal_plane(np.ones((4, 3), np.float32))
    assert not plane.any()
    assert not share.any()


def test_clusters_agree_with_labels_that_are_clusters_and_not_with_noise():
    pytest.importorskip('sklearn')
    rng = np.random.default_rng(0)
    labels = np.repeat([0, 1, 2], 30)
    rows = rng.normal(size=(90, 6)) + 20 * np.eye(6)[labels]
    assert store_statistics.cluster_agreement(rows, labels) == pytest.approx(1)
    assert store_statistics.cluster_agreement(rows, rng.permutation(labels)) < 0.2
    assert store_statistics.cluster_agreement(rows, np.where(labels == 0, 0, -1)) is None


@pytest.mark.parametrize('name', ['index.html', 'psnr.png', 'figures.json'])
def test_a_file_of_the_user_is_not_replaced(store, tmp_path, monkeypatch, name):
    from hyperinr.inspection import store_report

    (tmp_path / name).write_text("the user's")
    monkeypatch.setattr(store_report, 'sample_rows', lambda *arguments, **options: pytest.fail('the work began'))
    with pytest.raises(InputError, match=f'{name} exists and was not written by hyperinr'):
        store_report.inspect_store(store, tmp_path)
    assert [each.read_text() for each in tmp_path.iterdir()] == ["the user's"]


def test_the_page_holds_its_pictures_and_the_figures(store, tmp_path):
    pytest.importorskip('matplotlib')
    pytest.importorskip('sklearn')
    from hyperinr.inspection.store_report import inspect_store

    page, figures = inspect_store(store, tmp_path / 'page', signals=default_job().signals)
    text = page.read_text()
    assert not re.findall(r'(?:src|href)="(?!data:)', text)
    assert len(re.findall(r'src="data:image/png;base64,[\w+/=]{1000,}"', text)) == 3
    names = sorted(path.name for path in (tmp_path / 'page').iterdir())
    assert names == ['figures.json', 'index.html', 'projection.png', 'psnr.png', 'reconstructions.png']
    assert json.loads((tmp_path / 'page' / 'figures.json').read_text()) == {'written_by': 'hyperinr', **figures}
    psnr = store.column('psnr_db')
    assert figures['psnr']['median_db'] == pytest.approx(np.median(psnr))
    assert f'{psnr.min():.2f} dB' in text
    assert 0 <= figures['nmi'] <= 1


def test_reconstructions_stand_as_their_signals_do(store, tmp_path, monkeypatch):
    """What is drawn is [5 rows, 7 columns]: the image of the source, not its transpose."""
    pytest.importorskip('matplotlib')
    from hyperinr.inspection import store_report

    shown = []
    monkeypatch.setattr(store_report, 'show_image', lambda axes, image, title: shown.append((title, image)))
    store_report._draw_examples(store, (5, 7), default_job().signals, tmp_path / 'a.png')
    best = int(np.argmax(store.column('psnr_db')))
    signals = [source.image(i) for source in tiny_dataset().splits.values() for i in range(len(source))]
    assert shown[1][0] == 'original'
    np.testing.assert_array_equal(shown[1][1], signals[store.column('source_index')[best]])
    mse = np.mean((shown[0][1] - np.clip(shown[1][1], 0, 1)) ** 2)
    assert mse <= store.column('mse')[best] * 1.001


def test_an_empty_store_is_said(tmp_path):
    default_job().description.write(tmp_path)
    with pytest.raises(InputError, match='holds no INR that did not diverge'):
        store_statistics.sample_rows(open_store(tmp_path), most=3)


@pytest.mark.exhaustive
def test_solids_are_drawn_written_and_measured(tmp_path, figures):
    """The recorded IoU is found again at other points, to the accuracy of both."""
    pytest.importorskip('matplotlib')
    pytest.importorskip('skimage')
    pytest.importorskip('sklearn')
    from hyperinr import datasets
    from hyperinr.inspection import solid_report
    from hyperinr.inspection.store_report import inspect_store

    dataset = datasets.solids(num_train=2, num_validation=1, num_test=1, num_points=256)
    job = tiny_job(seeds=(0,), dataset=dataset, num_steps=60, width=8)
    fit_tiny(tmp_path / 'store', job)
    solids_store = open_store(tmp_path / 'store')
    found = solid_report.volumetric_ious(solids_store, job.signals)
    np.testing.assert_allclose(found, solids_store.column('iou'), atol=0.05)
    assert not np.array_equal(found, solids_store.column('iou'))
    assert solid_report.volumetric_ious(solids_store, default_job().signals) is None
    page, measured = inspect_store(solids_store, tmp_path / 'page', signals=job.signals)
    assert measured['iou']['num'] == 4
    assert 0 < measured['chamfer']['median'] < 0.5
    assert 'IoU, least and median' in page.read_text()
    (drawn,) = (figure for figure in figures if figure.axes[0].name == '3d')
    assert all(len(axes.collections[0].get_facecolor()) > 100 for axes in drawn.axes)
    assert list((tmp_path / 'page').glob('solid_*.obj'))
