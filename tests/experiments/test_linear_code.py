"""The linear code against its definition, and its command line."""

import json

import numpy as np
import pytest

from experiments import linear_code


def test_codes_of_a_low_rank_signal_are_exact_from_its_rank_on():
    rng = np.random.default_rng(0)
    basis = rng.normal(size=(3, 20)).astype(np.float32)
    draw = lambda count: (rng.normal(size=(count, 3)) @ basis + 5).astype(np.float32)
    mean, axes = linear_code.components(draw(200))
    np.testing.assert_allclose(axes @ axes.T, np.eye(20), atol=1e-4)
    test = draw(7)
    psnr = linear_code.psnr_of_codes(test, mean, axes, [1, 3, 20], (0.0, 10.0))
    assert psnr.shape == (7, 3)
    assert psnr[:, 1:].min() > 90
    kept = axes[:1]
    error = np.mean(((test - mean) - (test - mean) @ kept.T @ kept) ** 2, axis=1)
    np.testing.assert_allclose(psnr[:, 0], 10 * np.log10(100 / error), rtol=1e-4)


def test_the_command_measures_held_out_patches(tmp_path, capsys):
    small = ['photo_patches.num_train=60', 'photo_patches.num_test=6', 'photo_patches.resolution=(8, 8)']
    params = [word for binding in small for word in ('-p', binding)]
    call = ['experiment/photo_patches_siren.gin', *params, '--datapoints', '6', '--out', str(tmp_path)]
    linear_code.main([*call, '--numbers', '2', '20'])
    two, twenty = json.loads((tmp_path / 'linear_code.json').read_text())['rows']
    assert 5 < two['psnr_db'] < twenty['psnr_db'] < 60
    assert f'| 2 | {two["psnr_db"]:.1f} | - |' in capsys.readouterr().out
    with pytest.raises(SystemExit):
        linear_code.main([*call, '--numbers', '193'])
    assert '192 values' in capsys.readouterr().err
