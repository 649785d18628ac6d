"""``metrics.jsonl`` and picture files."""

import json

import numpy as np
import pytest
from PIL import Image

from hyperinr.errors import RunError
from hyperinr.training.watching.evaluators import Findings
from hyperinr.training.watching.loggers import jsonl, picture_files
from hyperinr.training.watching.loggers.jsonl import read_metrics
from tests.training.watching.loggers.facts import FINDINGS, make_facts, make_record


def records(folder):
    return [json.loads(line) for line in (folder / 'metrics.jsonl').read_text().splitlines()]


def test_metrics_are_on_the_disk_at_once_and_valid_json(tmp_path):
    log = jsonl().open(make_facts(tmp_path))
    log.write(make_record())
    log.write(make_record(5, kind='train', findings=Findings({'loss': np.float32(0.5)})))
    expected = {'step': 4, 'kind': 'validation', 'psnr_db': 31.5, 'bad': None, 'curve': [1.0, None], 'seconds': 12.5}
    assert records(tmp_path) == [expected, {'step': 5, 'kind': 'train', 'loss': 0.5, 'seconds': 12.5}]
    log.close()


def test_resuming_drops_later_steps_and_a_line_cut_short(tmp_path):
    path = tmp_path / 'metrics.jsonl'
    lines = [json.dumps({'step': step, 'kind': 'train', 'seconds': 1.5}) for step in (1, 2, 3)]
    damaged = ['{"step": 1}', '{"step": "1", "kind": "train", "seconds": 1}', '[]', 'null', '{"st']
    path.write_text('\n'.join([*lines, *damaged]))
    assert [record['step'] for record in read_metrics(path, until_step=2)] == [1, 2]
    log = jsonl().open(make_facts(tmp_path, start=2))
    log.write(make_record(3, findings=Findings({})))
    log.close()
    assert [record['step'] for record in records(tmp_path)] == [1, 2, 3]
    assert records(tmp_path)[2]['kind'] == 'validation'


def test_no_file_holds_no_record(tmp_path):
    assert read_metrics(tmp_path / 'metrics.jsonl', until_step=9) == []


def test_a_file_that_cannot_grow_is_one_clear_line(tmp_path, file_size_limit):
    log = jsonl().open(make_facts(tmp_path))
    with file_size_limit(10), pytest.raises(RunError, match=r'metrics\.jsonl'):
        log.write(make_record())
    log.close()


def test_pictures_are_files_and_those_of_a_killed_session_go(tmp_path):
    for start, steps in ((0, (4, 8)), (4, (12,))):
        files = picture_files().open(make_facts(tmp_path, start=start))
        for step in steps:
            files.write(make_record(step))
        files.close()
    found = sorted(path.name for path in (tmp_path / 'training_pictures').iterdir())
    assert found == ['validation_grid_00000004.png', 'validation_grid_00000012.png']
    pixels = np.asarray(Image.open(tmp_path / 'training_pictures' / found[0]))
    np.testing.assert_allclose(pixels / 255, FINDINGS.images['grid'], atol=0.5 / 255 + 1e-9)
