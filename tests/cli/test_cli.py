"""The command line's manners: one line for each mistake, the right exit status, nothing half-written."""

import os

import pytest

import hyperinr
from hyperinr import cli, config
from hyperinr.cli import describing, own_files, stores, training
from hyperinr.errors import InputError, RunError
from hyperinr.kinds import KINDS

SIREN = 'experiment/photo_patches_siren.gin'


@pytest.fixture
def run(tmp_path, monkeypatch, capfd):
    """Runs a command in an empty folder: ``run(*arguments) -> (status, stdout, stderr)``."""
    monkeypatch.chdir(tmp_path)

    def run(*arguments):
        try:
            status = cli.main(arguments)
        except SystemExit as stop:
            status = stop.code
        return status, *capfd.readouterr()

    return run


def assert_one_line(result, status, *parts):
    code, _, err = result
    assert code == status, err
    lines = err.strip().splitlines()
    assert len(lines) == 1, err
    assert lines[0].startswith('hyperinr: error: ')
    for part in parts:
        assert part in lines[0]


def test_configs_lists_every_config_with_its_summary(run):
    status, out, _ = run('configs')
    assert status == 0
    lines = out.strip().splitlines()
    assert [line.split()[0] for line in lines] == config.available()
    assert all(len(line.split(maxsplit=1)) == 2 for line in lines)


def test_describe_names_file_and_line_of_every_value(run):
    status, out, _ = run('describe', SIREN, '-p', 'siren.width=16')
    assert status == 0
    rows = {line.split()[0]: line for line in out.strip().splitlines()}
    assert rows['inrs.siren.width'].split()[1:] == ['16', '-p', 'siren.width=16']
    assert 'inr/siren.gin:' in rows['inrs.siren.depth']
    assert '(%NUM_STEPS)' in rows['experiment.experiment.num_steps']
    assert rows['meta_learning.meta_learner.first_order'].split()[-1] == 'default'


def test_version_and_help(run):
    assert run('--version')[1].strip() == f'hyperinr {hyperinr.__version__}'
    verbs = (
        'train',
        'check',
        'evaluate',
        'generate',
        'finetune',
        'fit-one',
        'decode',
        'fit',
        'verify',
        'inspect',
        'export',
    )
    for verb in (*verbs, 'export', 'import', 'sweep', 'tune', 'prepare', 'configs', 'describe'):
        assert f' {verb} ' in run('--help')[1]
        status, out, _ = run(verb, '--help')
        assert status == 0
        assert '--debug' in out


def test_the_help_names_the_kinds_of_files_that_are_read(run):
    assert ', '.join(KINDS) == own_files.KINDS
    for verb in ('generate', 'finetune', 'fit-one'):
        assert own_files.KINDS in ' '.join(run(verb, '--help')[1].split())


@pytest.mark.parametrize(
    ('arguments', 'parts'),
    [
        ((), ('COMMAND',)),
        (('trian', SIREN), ("'trian'", 'train')),
        (('train',), ('CONFIG',)),
        (('train', 'photo_patches_siern'), ('no config', 'experiment/photo_patches_siren.gin')),
        (('train', SIREN, '-p', 'siren.widht=3'), ('-p siren.widht=3', "did you mean 'width'")),
        (('train', SIREN, '-p', 'NUM_STPES=3'), ("did you mean 'NUM_STEPS'",)),
        (('train', SIREN, '-p', 'NUM_STEPS=0'), ('num_steps is 0',)),
        (('train', SIREN, '--num-processes', '2'), ('--num-processes', 'add --distributed')),
        (('train', SIREN, '--distributed', '--process', '0'), ('--coordinator (or JAX_COORDINATOR_ADDRESS)',)),
        (('describe', SIREN, '-p', 'siren.widht=3'), ("did you mean 'width'",)),
        (('evaluate',), ('--run',)),
        (('evaluate', '--run', 'nowhere'), ('nowhere', 'hyperinr train')),
        (('generate', '--run', 'nowhere', 'a.png'), ('nowhere',)),
        (('finetune', '--run', 'nowhere', 'a.png', '--num-steps', 'many'), ("'many'",)),
        (('generate', '--run', 'nowhere'), ('FILE',)),
        (('fit-one', 'nowhere.png'), ('nowhere.png',)),
        (('fit-one', 'a.png', '--inr', 'sirne'), ('sirne', 'inr/siren.gin')),
        (('fit-one', 'a.png', '--initialisation', 'papre'), ("'papre'", 'weight_scaling')),
        (('fit-one', 'a.png', '--initialisation', 'a.npz'), ('a.png',)),
        (('fit-one', 'a.png', '--inr', 'gabor_net', '--initialisation', 'plain'), ('gabor_net', 'but its own')),
        (('fit-one', 'a.png', '--rate', 'fast'), ("'fast'",)),
        (('fit-one', 'a.png', '--num-steps', '0'), ('num_steps is 0',)),
        (('fit-one', 'a.png', '-p', 'siren.width=0'), ('width=0',)),
        (('fit-one', 'a.png', '--format', 'h5'), ("'h5'",)),
        (('fit-one', 'a.png', '--data-range', '5,5'), ('--data-range must be two finite numbers', 'not 5,5')),
        (
            ('fit-one', 'a.png', '--data-range', '-1,1'),
            ('--data-range: expected one argument; a value', 'written --data-range=VALUE'),
        ),
        (('fit-one', '.'), ("'.' is a folder: give a file in it",)),
        (('fit-one', '/dev/zero'), ('--as KIND',)),
        (('fit-one', '/dev/zero', '--as', 'image'), ('a pipe, a socket or a device',)),
        (('fit-one', 'a.png', '--as', 'smell'), ("'smell'", 'image')),
        (('decode', 'a.npz'), ('a.npz',)),
        (('decode', 'a.npz', '--shape', '3,x'), ('--shape', 'not 3,x')),
        (('fit-one', 'a.png', '--data-range', '0,x'), ('--data-range', 'not 0,x')),
        (('generate', '--run', 'nowhere', 'a.png', '--data-range=-3'), ('--data-range', 'not -3')),
        (('finetune', '--run', 'nowhere', 'a.png', '--data-range', '0,inf'), ('--data-range', 'not 0,inf')),
        (('finetune', '--run', 'nowhere', 'a.png', '--num-steps', '1e3'), ('--num-steps', 'whole number', "'1e3'")),
        (('fit-one', 'a.png', '--rate', 'nan'), ('rate', 'nan')),
        (('fit-one', 'a.png', '--seed', '-1'), ('seed must be at least 0, not -1',)),
        (('fit-one', 'a.png', '--seed', '9' * 5000), ('--seed', 'whole number of 32 bits')),
        (('fit-one', 'a.png', '--longest-side', '1'), ('longest_side is 1; it must be at least 2',)),
        (('check', SIREN, '--memory', 'inf'), ('--memory', 'finite number')),
        (('tune', SIREN, '--study', 'a', '--trials', '0'), ('--trials is 0; it must be at least 1',)),
        (('describe', 'a' * 5000), ('no config',)),
        (('describe', 'a\nb\x1b[31m'), ("'a\\nb\\x1b[31m'",)),
        (('configs', 'a\nb'), ('unrecognized arguments: a b',)),
        (('prepare', 'no_such_dataset'), ()),
    ],
)
def test_a_wrong_call_is_one_line_and_writes_nothing(run, tmp_path, arguments, parts):
    assert_one_line(run(*arguments), 2, *parts)
    assert not list(tmp_path.iterdir())


def test_an_error_of_the_system_is_one_line(run, monkeypatch):
    from hyperinr import config

    def load_config(*_):
        raise OSError(36, 'File name too long', 'a\nb')

    monkeypatch.setattr(config, 'load_config', load_config)
    assert run('describe', SIREN) == (1, '', 'hyperinr: error: File name too long: a b.\n')


@pytest.mark.parametrize(
    ('error', 'status', 'text'),
    [
        (InputError('no such thing.'), 2, 'hyperinr: error: no such thing.\n'),
        (RunError('the disk is full.'), 1, 'hyperinr: error: the disk is full.\n'),
        (InputError('two\nlines.'), 2, 'hyperinr: error: two lines.\n'),
        (KeyboardInterrupt('saved after 3 steps'), 130, 'hyperinr: saved after 3 steps\n'),
        (KeyboardInterrupt(), 130, 'hyperinr: interrupted\n'),
        (
            ZeroDivisionError('by zero'),
            1,
            'hyperinr: error: unexpected ZeroDivisionError: by zero (--debug shows the traceback)\n',
        ),
    ],
)
def test_errors_become_a_line_and_a_status(run, monkeypatch, error, status, text):
    def fail(options):
        raise error

    monkeypatch.setattr(describing, '_configs', fail)
    code, _, err = run('configs')
    assert (code, err) == (status, text)


@pytest.mark.parametrize(
    ('words', 'verb', 'part'),
    [
        (('fit-one', 'a.png'), (own_files, '_fit_one'), 'lower --points-per-step'),
        (('generate', '--run', 'a', 'a.png'), (own_files, '_generate'), 'smaller files'),
        (('train', SIREN), (training, '_train'), 'lower BATCH_SIZE'),
        (('evaluate', '--run', 'a'), (training, '_evaluate'), 'lower evaluate.num_datapoints'),
        (('fit', '--store', 'a'), (stores, '_fit'), 'lower neural_dataset.num_parallel'),
        (('configs',), (describing, '_configs'), 'close other programs'),
    ],
)
def test_where_memory_runs_out_the_line_says_what_to_lower(run, monkeypatch, words, verb, part):
    import jax

    for error in (jax.errors.JaxRuntimeError('RESOURCE_EXHAUSTED: Out of memory allocating 9 bytes.'), MemoryError()):

        def fail(options, error=error):
            raise error

        monkeypatch.setattr(*verb, fail)
        code, _, err = run(*words)
        assert code == 1
        assert err.startswith('hyperinr: error: out of memory: ')
        assert part in err
        assert err.count('\n') == 1


def test_debug_shows_the_traceback(run):
    with pytest.raises(InputError, match='no config'):
        run('describe', 'nothing', '--debug')


def test_what_gin_adds_to_an_error_is_not_shown(run):
    assert_one_line(run('train', SIREN, '-p', 'NUM_STEPS=-1'), 2)


ENVIRONMENT = """
import os, sys
from hyperinr.cli import main
main(["configs"])
import jax
print("DEVICES", jax.device_count(), os.environ["NPROC"], os.environ["XLA_FLAGS"])
"""


def test_one_cpu_device_for_each_core_with_one_thread(run_python):
    done = run_python(
        'import os; [os.environ.pop(name, None) for name in ("NPROC", "XLA_FLAGS")]\n' + ENVIRONMENT,
        JAX_PLATFORMS='cpu',
    )
    count, threads = done.stdout.split('DEVICES ')[1].split()[:2]
    assert int(count) == len(os.sched_getaffinity(0))
    assert int(threads) == 1


def test_the_users_own_device_count_is_respected(run_python):
    flags = '--xla_force_host_platform_device_count=3'
    done = run_python(ENVIRONMENT, JAX_PLATFORMS='cpu', XLA_FLAGS=flags, NPROC='11')
    assert done.stdout.split('DEVICES ')[1].split() == ['3', '11', flags]
