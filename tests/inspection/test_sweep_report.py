"""The page of a search holds its pictures and every trial, the best first."""

import pytest

from hyperinr.inspection.sweep_report import write_page


@pytest.mark.parametrize('maximize', [True, False])
def test_the_page_stands_alone_and_has_every_trial(tmp_path, maximize):
    pytest.importorskip('matplotlib')
    rows = [
        {
            'number': number,
            'state': 'fail' if number == 3 else 'complete',
            'value': None if number == 3 else 10.0 + number,
            'drawn': {'rate': 10.0**-number, 'inr': '@inrs.siren', **({'depth': 2} if number else {})},
            'reports': {'2': 9.0, '4': 10.0 + number},
            'seconds': 1.5,
            'reason': 'loss is <nan>' if number == 3 else None,
        }
        for number in range(4)
    ]
    page = write_page(
        tmp_path / 'index.html',
        title='a < b',
        objective='psnr_db',
        maximize=maximize,
        kinds={'rate': 'log', 'inr': 'choice', 'depth': 'integer'},
        rows=rows,
        importance={'rate': 0.7, 'inr': 0.3} if maximize else {},
        best=2 if maximize else 0,
    ).read_text()
    assert page.count('src="data:image/png;base64,') == (4 if maximize else 3)
    assert 'http' not in page
    assert 'a &lt; b' in page
    assert 'loss is &lt;nan&gt;' in page
    order = [page.index(f'<tr><td>{number}</td>') for number in range(4)]
    assert sorted(range(4), key=order.__getitem__) == ([2, 1, 0, 3] if maximize else [0, 1, 2, 3])
