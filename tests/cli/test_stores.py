"""`hyperinr fit` and `verify` by the command line: killed, run twice, run wrongly."""

import contextlib
import errno
import os
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from hyperinr import cli
from hyperinr.config import available, config_root, load_config
from hyperinr.fitting.optimizers import OPTIMIZERS
from hyperinr.launching import launch_local
from hyperinr.library import compose_job
from hyperinr.neural_datasets import open_store
from hyperinr.neural_datasets.identity import identity
from hyperinr.neural_datasets.shards import COLUMNS, list_shards, shard_path, write_shard
from hyperinr.neural_datasets.worker import worker_command
from hyperinr.runtime import files
from tests.neural_datasets.kill_test import run_kill_test
from tests.neural_datasets.tiny_store import CONFIG, SIZES, write_config

# Its logger keeps the stream of the moment, which must not be one that a test captures and closes.
with contextlib.suppress(ImportError):
    import submitit  # noqa: F401

ROOT = Path(__file__).resolve().parents[2]
PARAMS = [word for binding in SIZES for word in ('-p', binding)]


@pytest.fixture(scope='module')
def config(tmp_path_factory):
    return str(write_config(tmp_path_factory.mktemp('config')))


@pytest.fixture(scope='module')
def complete(tmp_path_factory, config):
    folder = tmp_path_factory.mktemp('stores') / 'complete'
    assert cli.main(['fit', config, '--store', str(folder), *PARAMS, '--debug']) == 0
    return folder


def content(folder):
    return {path.name: path.read_bytes() for path in sorted(folder.glob('weights-*'))}


def assert_one_line(result, status, *parts):
    code, _, err = result
    assert code == status, err
    lines = err.strip().splitlines()
    assert len(lines) == 1, err
    assert lines[0].startswith('hyperinr: error: ')
    for part in parts:
        assert part in lines[0], lines[0]


def test_a_store_is_fitted_verified_and_finished_once(run, complete, config):
    before = content(complete)
    assert len(before) == 6
    status, out, _ = run('verify', '--store', complete)
    assert status == 0
    assert '22 INRs, complete and sound' in out
    assert 'PSNR of 22 INRs measured again' in out
    status, out, _ = run('fit', '--store', complete)
    assert status == 0
    assert '22 of 22 INRs are there already' in out
    assert content(complete) == before


@pytest.mark.exhaustive
def test_killed_workers_and_killed_commands_end_bit_equal(complete, config, tmp_path):
    """A small version; ``python -m tests.neural_datasets.kill_test`` runs the full one."""
    killed = tmp_path / 'killed'
    report = run_kill_test(killed, config, [*PARAMS], num_kills=3, num_workers=2, seed=0, max_wait_seconds=1.0)
    assert report['kills'] == 3
    assert content(killed) == content(complete)
    assert cli.main(['verify', '--store', str(killed)]) == 0


def test_a_range_that_was_fitted_is_verified_alone(run, complete, tmp_path):
    folder = copy(complete, tmp_path)
    for begin in (0, 16):
        shard_path(folder, begin, begin + 4).unlink()
    status, out, _ = run('verify', '--store', folder, '--start', '5', '--end', '15')
    assert status == 0
    assert '12 INRs, complete and sound' in out
    assert 'PSNR of 12 INRs measured again' in out
    status, out, _ = run('verify', '--store', folder)
    assert status == 1
    assert f'8 INRs are missing: [0, 4), [16, 20); `hyperinr fit --store {folder}` makes them; ' in out
    assert f'`hyperinr verify --store {folder} --start 4 --end 16` verifies a part' in out


@pytest.mark.parametrize(('start', 'end'), [(5, 23), (-1, 22), (7, 7)])
def test_a_range_that_cannot_be_verified_is_one_line(run, complete, start, end):
    bounds = ('--start', str(start), '--end', str(end))
    assert_one_line(run('verify', '--store', complete, *bounds), 2, f'the range [{start}, {end})', '[0, 22)')


def test_a_relative_store_lies_below_nef_path(run, complete, monkeypatch):
    monkeypatch.setenv('NEF_PATH', str(complete.parent))
    assert '22 INRs, complete and sound' in run('verify', '--store', complete.name)[1]


@pytest.mark.parametrize('name', [name for name in available() if name.startswith('neural_dataset/')])
def test_every_config_says_how_to_run_it_and_resolves(name):
    text = (config_root() / name).read_text(encoding='utf-8')
    if name.endswith('/default.gin'):
        return
    verb = 'tune' if 'tune' in name else 'fit'
    assert f'hyperinr {verb} {name}' in text
    resolved = load_config(name)
    assert resolved.value('plan.neural_dataset.num_steps') > 0
    assert load_config(name, ['NUM_STEPS=3', 'siren.width=7']).value('inrs.siren.width') == 7


@pytest.mark.parametrize('optimizer', sorted(OPTIMIZERS))
def test_optimisers_and_schedules_combine(tmp_path, optimizer):
    """Every optimiser has a gin file, and moves the weights by what any schedule says: nothing at a factor of 0."""
    for schedule in ('constant', 'warmup', 'cosine'):
        text = CONFIG.replace('fit_optimizer/adam', f'fit_optimizer/{optimizer}')
        path = write_config(tmp_path, text.replace('fit_schedule/constant', f'fit_schedule/{schedule}'))
        resolved = load_config(str(path), SIZES)
        assert repr(resolved.value('plan.neural_dataset.optimizer')) == f'@optimizers.{optimizer}'
        expected = 'constant' if schedule == 'warmup' else schedule
        assert repr(resolved.value('plan.neural_dataset.schedule')) == f'@rate_schedules.{expected}'
    job = compose_job(resolved)
    size = sum(job.description.weights.sizes)
    bowl = lambda directions, **_: (jnp.sum(directions, axis=1), directions @ directions.T)
    told = optax.with_extra_args_support(job.optimizer)
    update, _ = told.update(jnp.ones(size), told.init(jnp.ones(size)), jnp.ones(size), model=bowl)
    assert np.isfinite(update).all()
    assert float(jnp.abs(update).max()) > 0


def test_steps_on_some_points_are_a_binding(tmp_path):
    header = 'from __gin__ import dynamic_registration\n'
    imports = 'from hyperinr.fitting import subsampling\nfrom hyperinr.neural_datasets import plan\n'
    bindings = 'plan.neural_dataset.subsampling = @subsampling.uniform\nsubsampling.uniform.num_points = 8\n'
    path = write_config(tmp_path, f'{CONFIG}{header}{imports}{bindings}')
    assert compose_job(load_config(str(path), SIZES)).plan.subsampling.num_points == 8


def test_a_changed_config_is_refused_with_the_difference(run, complete, config):
    before = content(complete)
    result = run('fit', config, '--store', complete, *PARAMS, '-p', 'siren.omega_0=20.0')
    assert_one_line(result, 2, 'inrs.siren.omega_0 was 30.0, is now 20.0')
    assert_one_line(run('fit', '--store', complete, '-p', 'SEEDS=(3,)'), 2, 'SEEDS was (3, 5), is now (3,)')
    assert content(complete) == before


@pytest.mark.parametrize(
    ('options', 'parts'),
    [
        (('--start', '5', '--end', '23'), ('[5, 23)', 'index space [0, 22)')),
        (('--start', '-1'), ('[-1, 22)',)),
        (('--start', '7', '--end', '7'), ('[7, 7) is empty',)),
        (('--workers', '0'), ('--workers 0',)),
        (('--launcher', 'cloud'), ("--launcher: invalid choice: 'cloud'", 'local', 'ray', 'slurm')),
        (('-p', 'neural_dataset.num_step=3'), ("did you mean 'num_steps'",)),
        (('-p', 'SEEDS=(1, 1)'), ('seeds (1, 1) must be different',)),
        (('-p', 'neural_dataset.shard_size=0'), ('shard_size >= 1',)),
        (('-p', 'TARGET_PSNR_DB=-3.0'), ('target_psnr_db must be above 0',)),
        (('-p', 'neural_dataset.target_iou=1.5'), ('target_iou must lie in (0, 1]',)),
        (('-p', 'neural_dataset.target_iou=0.9'), ('needs solids', 'target_psnr_db')),
        (('-p', 'neural_dataset.target_iou=0.9', '-p', 'TARGET_PSNR_DB=9.0'), ('give one target',)),
        (('-p', "neural_dataset.splits=('train', 'extra')"), ("'train', 'extra'", 'train, validation, test')),
        (('-p', 'adam.learning_rate=0.0'), ('learning_rate must be above 0',)),
    ],
)
def test_a_wrong_call_is_one_line_and_writes_nothing(run, config, tmp_path, options, parts):
    folder = tmp_path / 'store'
    assert_one_line(run('fit', config, '--store', folder, *PARAMS, *options), 2, *parts)
    assert not folder.exists()


def test_a_store_that_is_none_is_said(run, config, tmp_path):
    assert_one_line(run('fit', '--store', tmp_path / 'new'), 2, 'holds no neural dataset yet; give a CONFIG')
    assert_one_line(run('verify', '--store', tmp_path / 'new'), 2, 'holds no neural dataset')
    (tmp_path / 'file').write_text('mine')
    assert_one_line(run('fit', config, '--store', tmp_path / 'file', *PARAMS), 2, 'is a file')
    (tmp_path / 'full').mkdir()
    (tmp_path / 'full' / 'thesis.txt').write_text('mine')
    assert_one_line(run('fit', config, '--store', tmp_path / 'full', *PARAMS), 2, 'not empty', 'thesis.txt')
    assert [path.name for path in (tmp_path / 'full').iterdir()] == ['thesis.txt']


def test_a_foreign_file_in_a_store_harms_nothing(run, config, complete, tmp_path):
    folder = copy(complete, tmp_path)
    shard_path(folder, 4, 8).unlink()
    (folder / 'notes.txt').write_text('mine')
    assert run('fit', '--store', folder)[0] == 0
    assert content(folder) == content(complete)
    status, out, err = run('verify', '--store', folder)
    assert status == 1
    assert 'notes.txt: a foreign file' in out
    assert '1 problem.' in err
    assert (folder / 'notes.txt').read_text() == 'mine'


def test_a_shard_cut_short_stops_fit_and_is_repaired(run, complete, tmp_path):
    folder = copy(complete, tmp_path)
    path = shard_path(folder, 8, 12)
    path.write_bytes(path.read_bytes()[:-7])
    assert_one_line(run('fit', '--store', folder), 2, path.name, 'cut short', 'hyperinr verify --store')
    status, out, err = run('verify', '--store', folder, '--repair')
    assert status == 1
    assert 'dropped weights-8-12.safetensors' in out
    assert 'makes them again' in err
    assert run('fit', '--store', folder)[0] == 0
    assert content(folder) == content(complete)
    assert run('verify', '--store', folder)[0] == 0


def test_a_full_disk_loses_nothing(run, config, complete, tmp_path, monkeypatch):
    """The third shard meets a full disk; later there is room again."""
    real, written = files.os.fsync, []

    def fsync(handle):
        if stat_is_file(handle):
            written.append(handle)
            if len(written) == 4:
                raise OSError(errno.ENOSPC, 'No space left on device')
        real(handle)

    folder = tmp_path / 'store'
    with monkeypatch.context() as patch:
        patch.setattr(files.os, 'fsync', fsync)
        assert_one_line(run('fit', config, '--store', folder, *PARAMS), 1, 'the disk is full', 'weights-8-12')
    assert list_shards(folder) == [(0, 4), (4, 8)]
    assert not list(folder.glob('.weights*'))
    assert run('fit', '--store', folder)[0] == 0
    assert content(folder) == content(complete)


def stat_is_file(handle):
    import stat

    return stat.S_ISREG(os.fstat(handle).st_mode)


def test_a_read_only_store_is_said_before_any_work(run, config, complete, monkeypatch):
    def refuse(*arguments, **options):
        raise OSError(errno.EROFS, 'Read-only file system')

    before = content(complete)
    monkeypatch.setattr(files.tempfile, 'TemporaryFile', refuse)
    assert_one_line(run('fit', '--store', complete), 2, 'no permission to write')
    assert content(complete) == before


def test_more_workers_than_shards_start_no_more_than_shards(run, config, tmp_path, monkeypatch):
    started = []
    monkeypatch.setattr('hyperinr.launching.launch_local', lambda commands, **_: started.extend(commands))
    folder = tmp_path / 'store'
    assert run('fit', config, '--store', folder, *PARAMS, '--end', '8', '--workers', '9')[0] == 0
    assert [command[-1] for command in started] == ['0/2', '1/2']


def test_more_workers_than_work_all_end(complete, tmp_path):
    """Workers that find nothing to do, or everything claimed, end when the range is complete."""
    folder = copy(complete, tmp_path)
    shard_path(folder, 20, 22).unlink()
    launch_local([worker_command(folder, start=None, end=None, worker=k, num_workers=2, trust=False) for k in range(2)])
    assert content(folder) == content(complete)


def test_the_config_of_a_received_store_names_parts_of_hyperinr_alone(run, complete, tmp_path):
    folder, store = tmp_path / 'doctored', open_store(complete)
    text = 'import subprocess\nfrom hyperinr.training import loop\nloop.train.machine = @subprocess.getoutput()\n'
    folder.mkdir()
    description = store.description._replace(config=store.description.config + text)
    description.write(folder)
    columns = {name: store.column(name)[:4] for name in COLUMNS}
    write_shard(folder, store.weights(range(4)), columns, store=identity(description))
    for verb in ('verify', 'inspect', 'fit'):
        assert_one_line(run(verb, '--store', folder), 2, 'dataset.json:', "imports 'subprocess'", 'pass --trust')


def test_a_wrong_worker_number_is_refused(run, complete):
    for worker in ('3/2', 'x', '1/1'):
        assert_one_line(run('fit', '--store', complete, '--worker', worker), 2, 'k/K')


def test_slurm_where_there_is_none_is_said(run, complete):
    pytest.importorskip('submitit')
    assert_one_line(run('fit', '--store', complete, '--launcher', 'slurm'), 2, 'no Slurm here', '--launcher local')


@pytest.mark.exhaustive
@pytest.mark.filterwarnings('ignore')  # Ray's own, of its processes and their sockets
def test_ray_runs_two_workers(run, complete, tmp_path):
    pytest.importorskip('ray')
    folder = copy(complete, tmp_path)
    for begin, end in ((0, 4), (8, 12)):
        shard_path(folder, begin, end).unlink()
    assert run('fit', '--store', folder, '--launcher', 'ray', '--workers', '2')[0] == 0
    assert content(folder) == content(complete)


def copy(folder, tmp_path):
    import shutil

    return shutil.copytree(folder, tmp_path / 'store')


def test_describe_says_how_the_inrs_would_be_fitted(tmp_path, run):
    status, out, _ = run('describe', str(write_config(tmp_path)), *PARAMS)
    assert status == 0
    devices = f'{jax.local_device_count()} '
    assert f'22 INRs, 2 in a call: mapped in groups of 2 on {devices}device(s), xla; {devices}CPU device(s)' in out
