"""The measure of seams on errors whose jumps are known, and its command line."""

import numpy as np
import pytest

from experiments import tile_seams
from tests.tiny_runs import write_images


def test_a_seam_is_the_jump_across_edges_over_that_elsewhere():
    noise = np.random.default_rng(0).normal(size=(48, 60, 1))
    assert tile_seams.seam_ratio(noise, (8, 12), 0) == pytest.approx(1, abs=0.1)
    heights = np.cumsum([3.0 if row % 8 == 0 else 1.0 for row in range(48)])
    stairs = np.broadcast_to(heights[:, None, None], (48, 12, 1))
    # Along the rows, 5 edges with a jump of 3 and 42 others of 1; along the columns, one tile and 11 jumps of 0.
    elsewhere = 42 * 12 / (42 * 12 + 11 * 48)
    assert tile_seams.seam_ratio(stairs, (8, 12), 0) == pytest.approx(3 / elsewhere)


@pytest.mark.exhaustive
def test_the_command_prints_a_row_for_each_overlap(trained_run, tmp_path, capsys):
    (image,) = write_images(tmp_path, number=1, shape=(30, 40))
    tile_seams.main(['--run', str(trained_run), str(image), '--steps', '1', '--overlap', '0', '3'])
    rows = [line for line in capsys.readouterr().out.splitlines() if line.startswith('| 1 ')]
    assert [row.split('|')[2].strip() for row in rows] == ['0', '3']
    with pytest.raises(SystemExit):
        tile_seams.main(['--run', 'nowhere', str(image)])
    assert 'nowhere' in capsys.readouterr().err
