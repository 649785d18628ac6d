"""What a wheel brings, and that the files around the code agree with each other."""

import configparser
import re
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
import setuptools

import hyperinr
from hyperinr import config

ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture(scope='module')
def settings():
    parser = configparser.ConfigParser()
    parser.read(ROOT / 'setup.cfg', encoding='utf-8')
    return parser


@pytest.fixture(scope='module')
def wheel(tmp_path_factory):
    """A wheel built from a copy of what is needed, so that nothing is left in the repository."""
    import shutil

    source, out = tmp_path_factory.mktemp('source'), tmp_path_factory.mktemp('wheel')
    for name in ('setup.cfg', 'pyproject.toml', 'README.md', 'LICENSE'):
        shutil.copy(ROOT / name, source)
    for name in ('hyperinr', 'gin_configs'):
        shutil.copytree(ROOT / name, source / name, ignore=shutil.ignore_patterns('__pycache__'))
    build = [sys.executable, '-m', 'pip', 'wheel', '--quiet', '--no-deps', '--no-build-isolation', '--no-index']
    subprocess.run([*build, '--wheel-dir', str(out), str(source)], check=True, capture_output=True, timeout=120)
    (built,) = out.glob('*.whl')
    return built


def test_every_package_is_listed(settings):
    found = setuptools.find_packages(str(ROOT), include=['hyperinr', 'hyperinr.*'])
    assert settings['options']['packages'].split() == sorted([*found, 'hyperinr.gin_configs'])


@pytest.mark.exhaustive
def test_a_wheel_brings_every_module_and_config(wheel):
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
    modules = {str(path.relative_to(ROOT)) for path in (ROOT / 'hyperinr').rglob('*.py')}
    configs = {f'hyperinr/gin_configs/{name}' for name in config.available()}
    assert modules | configs | {'hyperinr/py.typed'} <= names
    beside = {
        str(path.relative_to(ROOT)) for kind in ('toml', 'html') for path in (ROOT / 'hyperinr').rglob(f'*.{kind}')
    }
    assert {'hyperinr/checking/findings.toml', 'hyperinr/inspection/templates/base.html'} <= beside <= names
    assert not [name for name in names if name.startswith(('tests/', 'gin_configs/'))]


@pytest.mark.exhaustive
def test_an_installed_wheel_finds_its_configs_from_anywhere(wheel, tmp_path):
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(tmp_path / 'site')
    code = (
        'import sys; sys.path.insert(0, sys.argv[1])\nfrom hyperinr import cli, config\n'
        'assert str(config.config_root()).startswith(sys.argv[1]), config.config_root()\n'
        'cli.main(["configs"]); sys.exit(cli.main(["describe", "experiment/photo_patches_siren"]))'
    )
    (tmp_path / 'elsewhere').mkdir()
    done = subprocess.run(
        [sys.executable, '-P', '-c', code, str(tmp_path / 'site')],
        cwd=tmp_path / 'elsewhere',
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    assert all(name in done.stdout for name in config.available())


def test_the_version_is_in_one_place(settings, wheel):
    assert settings['metadata']['version'] == 'attr: hyperinr.__version__'
    assert wheel.name.startswith(f'hyperinr-{hyperinr.__version__}-')
    assert f'## {hyperinr.__version__}' in (ROOT / 'CHANGELOG.md').read_text(encoding='utf-8')


def test_all_names_every_extra(settings):
    extras = set(settings['options.extras_require']) - {'all'}
    (inside,) = re.findall(r'\[(.*)\]', settings['options.extras_require']['all'])
    assert set(inside.split(',')) == extras
    assert extras >= {'data', 'viz', 'torch', 'wandb', 'prepare', 'test', 'dev'}


def test_constraints_pin_every_requirement_and_nothing_else_than_versions(settings):
    lines = (ROOT / 'constraints.txt').read_text(encoding='utf-8').splitlines()
    pattern = re.compile(r'^[A-Za-z0-9._-]+==[A-Za-z0-9.]+( ; [a-z_]+ (<|>=|==|!=) [\'"][A-Za-z0-9.]+[\'"])?$')
    assert [line for line in lines if not pattern.match(line)] == []
    pinned = {re.split('==', line)[0].replace('_', '-').lower() for line in lines}
    blocks = [settings['options']['install_requires'], *settings['options.extras_require'].values()]
    names = {re.split(r'[\[<>=~!]', line)[0].replace('_', '-').lower() for block in blocks for line in block.split()}
    assert names - {'hyperinr'} <= pinned


def recipe(target: str) -> list[str]:
    """The commands that make would run, and no more."""
    command = ['make', '--dry-run', '--always-make', target]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout.splitlines()


@pytest.mark.parametrize('document', ['README.md', 'CONTRIBUTING.md', '.ci/run'])
def test_the_make_commands_of_the_documents_run_something(document):
    text = (ROOT / document).read_text(encoding='utf-8')
    named = set(re.findall(r'(?:^|`)make ([a-z][a-z-]*)', text, re.MULTILINE))
    assert named
    assert all(recipe(target) for target in named)


def test_test_all_runs_what_test_leaves_out():
    kept, exhaustive, as_users = (line for line in recipe('test-all') if '-m pytest' in line)
    assert "-m 'not exhaustive'" in kept
    assert '-m exhaustive' in exhaustive
    assert as_users.startswith('HYPERINR_TEST_AS_USERS=1')
    named = re.findall(r'tests/[\w/]+\.py', as_users)
    folders = {path.parent.relative_to(ROOT) for path in ROOT.glob('tests/**/test_*.py')}
    top = {folder for folder in folders if len(folder.parts) <= 2} - {Path('tests/gpu')}
    assert {Path(path).parent for path in named} == top
