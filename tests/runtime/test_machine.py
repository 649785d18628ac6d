"""Facts of the machine: files by name, the environment, overrides, and what they decide."""

import os
from argparse import Namespace
from pathlib import Path

import pytest

from hyperinr import config
from hyperinr.cli.device import device_configs, on_machine
from hyperinr.datasets import cache_folder
from hyperinr.errors import InputError
from hyperinr.runtime.machine import Machine, machine

EXPERIMENT = 'experiment/photo_patches_siren.gin'
LAB = """# The laboratory's machine.
include 'device/default.gin'
from __gin__ import dynamic_registration
from hyperinr.runtime import machine
machine.machine.data_root = '$LAB/data'
machine.machine.run_root = '~/runs'
machine.machine.workers = 3
"""


@pytest.fixture
def lab(tmp_path, monkeypatch):
    """A machine file of the user's own, in the working folder."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv('LAB', str(tmp_path / 'lab'))
    monkeypatch.setenv('HOME', str(tmp_path / 'home'))
    monkeypatch.delenv('HYPERINR_DEVICE', raising=False)
    Path('lab.gin').write_text(LAB)
    return Machine(tmp_path / 'lab' / 'data', tmp_path / 'home' / 'runs', workers=3)


def options(**values):
    return Namespace(**({'device': None, 'param': []} | values))


def test_nothing_chosen_is_any_machine(lab):
    before = os.environ.get('DATA_PATH')
    with on_machine(options()) as found:
        assert found == Machine() == machine()
        assert os.environ.get('DATA_PATH') == before


def test_a_file_of_ones_own_decides_where_data_live_while_the_command_runs(lab):
    before = dict(os.environ)
    with on_machine(options(device='lab.gin')) as found:
        assert found == lab
        assert cache_folder() == lab.data_root
        assert os.environ['HYPERINR_DEVICE'] == 'lab.gin'
    changed = {name for name in {*before, *os.environ} if before.get(name) != os.environ.get(name)}
    assert changed <= {'NPROC', 'XLA_FLAGS'}


def test_the_environment_chooses_and_the_command_line_wins(lab, monkeypatch):
    monkeypatch.setenv('HYPERINR_DEVICE', 'lab.gin')
    with on_machine(options()) as found:
        assert found == lab
    with on_machine(options(device='one_core')) as found:
        assert found == Machine(devices=1)
    with on_machine(options(param=['machine.workers = 7', 'SEED=3'])) as found:
        assert found == lab._replace(workers=7)


def test_the_devices_are_set_before_jax_starts(run_python):
    code = (
        'from argparse import Namespace\nfrom hyperinr.cli.device import on_machine\n'
        'with on_machine(Namespace(device=None, param=["machine.devices = 3"])):\n'
        '    import jax; print("devices", jax.local_device_count())'
    )
    done = run_python(code, XLA_FLAGS='')
    assert 'devices 3' in done.stdout, done.stderr


def test_the_machine_is_in_the_operative_config_and_apart_from_the_experiment(lab):
    plain = config.load_config(EXPERIMENT)
    here = config.load_config(EXPERIMENT, also=device_configs(options(device='lab.gin')))
    assert here.value('machine.machine.workers') == 3
    assert plain.value('machine.machine.data_root') is None
    from hyperinr.training.run_directory import changed_bindings

    assert here.text != plain.text
    assert changed_bindings(plain.text, here.text) == []


@pytest.mark.parametrize('name', [name for name in config.available() if name.startswith('device/')])
def test_every_machine_that_comes_along_can_be_chosen(lab, name):
    with on_machine(options(device=Path(name).stem)) as found:
        assert found.workers >= 1


def test_an_unknown_machine_is_an_error_that_names_the_nearest(lab):
    with (
        pytest.raises(InputError, match=r"no config 'device/one_cor'; did you mean 'device/one_core.gin'"),
        on_machine(options(device='one_cor')),
    ):
        pass


@pytest.mark.parametrize('values', [{'workers': 0}, {'devices': 0}])
def test_a_number_below_one_is_refused(values):
    with pytest.raises(InputError, match=f'{next(iter(values))}=0'):
        machine(**values)
