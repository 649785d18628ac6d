"""Offline: nothing leaves the machine. Needs the extra `wandb`, which `make test` does not install."""

import json
import struct

import pytest

from hyperinr.errors import InputError
from hyperinr.training.watching.loggers import wandb
from tests.training.watching.loggers.facts import make_facts, make_record


def test_an_unknown_mode_is_refused():
    with pytest.raises(InputError, match="must be 'online' or 'offline', not 'nowhere'"):
        wandb(mode='nowhere')


def test_without_the_package_the_remedy_is_named(monkeypatch):
    monkeypatch.setattr('importlib.util.find_spec', lambda name: None)
    with pytest.raises(InputError, match=r"pip install 'hyperinr\[wandb\]'"):
        wandb()


def stored(path):
    """Records of a run's own file: blocks of 32 KiB as LevelDB's log has them, after a header of seven bytes."""
    data, position, parts = path.read_bytes(), 7, []
    while position + 7 <= len(data):
        size, kind = struct.unpack('<HB', data[position + 4 : position + 7])
        if kind == 0:
            position += 32768 - position % 32768
            continue
        parts.append(data[position + 7 : position + 7 + size])
        position += 7 + size
        if 32768 - position % 32768 < 7:
            position += 32768 - position % 32768
        if kind in (1, 4):
            yield b''.join(parts)
            parts = []


def history(run_dir):
    """Rows and config of all sessions."""
    from wandb.proto.wandb_internal_pb2 import Record

    rows, config = [], {}
    for path in sorted(run_dir.glob('wandb/offline-run-*/*.wandb')):
        for data in stored(path):
            record = Record.FromString(data)
            for item in record.run.config.update:
                config[item.key] = json.loads(item.value_json)
            if record.HasField('history'):
                items = record.history.item
                rows.append({(item.key or '/'.join(item.nested_key)): json.loads(item.value_json) for item in items})
    return rows, config


@pytest.mark.filterwarnings('default')
def test_offline_runs_hold_figures_pictures_histograms_and_the_config(tmp_path):
    package = pytest.importorskip('wandb')
    for start, step in ((0, 4), (4, 8)):
        run = wandb(mode='offline').open(make_facts(tmp_path, start=start))
        run.write(make_record(step))
        run.close()
    package.teardown()  # its own process writes the files
    rows, config = history(tmp_path)
    assert config['siren.width'] == 64
    assert [row['step'] for row in rows] == [4, 8]
    assert rows[0]['validation/psnr_db'] == 31.5
    assert rows[0]['validation/histogram/rates/_type'] == 'histogram'
    assert rows[0]['validation/grid/_type'] == 'image-file'
    names = {path.name.rpartition('-')[2] for path in tmp_path.glob('wandb/offline-run-*')}
    assert names == {(tmp_path / 'wandb_id').read_text().strip()}
