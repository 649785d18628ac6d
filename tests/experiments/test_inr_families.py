"""The comparison of families: equal sizes, signals of known content, and a shrunken table."""

import json

import numpy as np
import pytest

from experiments import inr_families
from hyperinr import inrs
from hyperinr.errors import InputError
from tests.exhaustive import thin


@pytest.mark.parametrize(
    'kind', thin(inrs.FAMILIES, lambda kind: kind in ('siren', 'wire', 'feature_grid', 'hash_grid'))
)
def test_families_are_of_one_size(kind):
    """As near as whole widths allow; a cube's grid changes by a third from one resolution to the next."""
    _, parameters = inr_families.sized(kind, channels=3, coord_dims=2, count=5000)
    assert abs(parameters - 5000) < 300


def test_signals_hold_what_they_say():
    torus = inr_families.torus(32)
    np.testing.assert_allclose(np.mean(torus > 0), 2 * np.pi**2 * 0.6 * 0.25**2 / 8, rtol=0.05)
    tone = inr_families.sound(1024)
    assert np.abs(tone).max() <= 1
    assert np.abs(tone[:256]).mean() > 2 * np.abs(tone[-256:]).mean()


@pytest.mark.exhaustive
def test_a_shrunken_table(tmp_path, figures):
    """Every fit lowers its error; the same call computes nothing again."""
    scale = inr_families.SCALES['tiny']._replace(num_steps=60)
    kinds = ['siren', 'feature_grid']
    path = inr_families.run(scale, tmp_path, kinds=kinds)
    found = inr_families.draw(path)
    assert set(found) == {'chelsea', 'coffee', 'sound', 'torus'}
    rows = json.loads(path.read_text())['rows']
    assert all(row['mse'][-1] < row['mse'][0] for row in rows)
    for axes in figures[0].axes:
        assert [line.get_label() for line in axes.lines] == kinds
        assert all(line.get_ydata()[-1] > line.get_ydata()[0] for line in axes.lines)
    assert inr_families.run(scale, tmp_path, kinds=kinds) == path
    assert json.loads(path.read_text())['rows'] == rows
    with pytest.raises(InputError, match='sirne'):
        inr_families.run(scale, tmp_path / 'b', kinds=['sirne'])
