"""Offline: nothing leaves the machine. Needs the extra `wandb`, which `make test` does not install."""

import json

import pytest

from hyperinr.errors import InputError
from hyperinr.training.loggers import wandb
from tests.training.loggers.facts import make_facts, make_record


def test_an_unknown_mode_is_refused():
    with pytest.raises(InputError, match="must be 'online' or 'offline', not 'nowhere'"):
        wandb(mode='nowhere')


def test_without_the_package_the_remedy_is_named(monkeypatch):
    monkeypatch.setattr('importlib.util.find_spec', lambda name: None)
    with pytest.raises(InputError, match=r"pip install 'hyperinr\[wandb\]'"):
        wandb()


def history(run_dir):
    """Rows and config that the run's own file holds."""
    from wandb.proto.wandb_internal_pb2 import Record
    from wandb.sdk.internal.datastore import DataStore

    rows, config = [], {}
    for path in sorted(run_dir.glob('wandb/offline-run-*/*.wandb')):
        store = DataStore()
        store.open_for_scan(str(path))
        while (data := store.scan_data()) is not None:
            record = Record.FromString(data)
            for item in record.run.config.update:
                config[item.key] = json.loads(item.value_json)
            if record.HasField('history'):
                items = record.history.item
                rows.append({(item.key or '/'.join(item.nested_key)): json.loads(item.value_json) for item in items})
    return rows, config


@pytest.mark.filterwarnings('default')
def test_offline_runs_hold_figures_pictures_histograms_and_the_config(tmp_path):
    pytest.importorskip('wandb')
    for start, step in ((0, 4), (4, 8)):
        run = wandb(mode='offline').open(make_facts(tmp_path, start=start))
        run.write(make_record(step))
        run.close()
    rows, config = history(tmp_path)
    assert config['siren.width'] == 64
    assert [row['step'] for row in rows] == [4, 8]
    assert rows[0]['validation/psnr_db'] == 31.5
    assert rows[0]['validation/histogram/rates']['_type'] == 'histogram'
    assert rows[0]['validation/grid']['_type'] == 'image-file'
    names = {path.name.rpartition('-')[2] for path in tmp_path.glob('wandb/offline-run-*')}
    assert names == {(tmp_path / 'wandb_id').read_text().strip()}
