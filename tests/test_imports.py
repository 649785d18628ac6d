"""Imports point one way, and importing hyperinr stays cheap."""

import ast
from pathlib import Path

import pytest

PACKAGE = Path(__file__).resolve().parent.parent / 'hyperinr'

LAYERS = (
    ('errors', 'types'),
    ('annotations',),
    ('arguments', 'coordinates', 'metrics', 'runtime', 'weights'),
    ('files', 'launching'),
    ('kinds',),
    ('datasets', 'encoders', 'hypernetworks', 'inrs', 'panels'),
    ('fitting', 'meta_learning'),
    ('model',),
    ('evaluation', 'own_files'),
    ('training',),
    ('neural_datasets',),
    ('checking', 'inspection'),
    ('config',),
    ('library',),
    ('searching', 'without_gin'),
    ('__init__', '__main__', 'cli'),
)
"""A part may import from layers above its own in this list, and from its own layer where `WITHIN` says so."""

WITHIN = {
    ('meta_learning', 'fitting'),
    ('hypernetworks', 'encoders'),
    ('cli', '__init__'),
    ('__main__', 'cli'),
}

LAZY = {('__init__', 'library'), ('__init__', 'without_gin')}
"""Arrows that are followed when a name is used, not when the package is imported."""

OWNERS = {
    'haiku': {'encoders', 'hypernetworks'},
    'tensorflow_datasets': {'datasets'},
    'gin': {'config'},
    'jinja2': {'inspection'},
    'matplotlib': {'inspection'},
    'orbax': {'training'},
    'tensorflow': set(),
}
"""Packages that only some parts may import."""


def part_of(path: Path) -> str:
    relative = path.relative_to(PACKAGE)
    return relative.parts[0] if len(relative.parts) > 1 else relative.stem


def imported(path: Path) -> set[str]:
    """Dotted names that a file imports anywhere, ``from a import b`` as ``a.b``."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding='utf-8'))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f'{path} has a relative import'
            found |= {f'{node.module}.{alias.name}' for alias in node.names}
    return found


def arrows() -> set[tuple[str, str, str]]:
    """(importing part, imported part, file) of every import inside the package."""
    parts = {part for layer in LAYERS for part in layer}
    found = set()
    for path in PACKAGE.rglob('*.py'):
        for name in imported(path):
            head, _, rest = name.partition('.')
            if head == 'hyperinr':
                target = rest.partition('.')[0]
                found.add((part_of(path), target if target in parts else '__init__', path.name))
    return found


def test_every_part_has_a_layer():
    assert {part_of(path) for path in PACKAGE.rglob('*.py')} == {part for layer in LAYERS for part in layer}


def test_no_arrow_points_upward():
    level = {part: number for number, layer in enumerate(LAYERS) for part in layer}
    wrong = [
        arrow
        for arrow in sorted(arrows())
        if arrow[0] != arrow[1]
        and level[arrow[0]] <= level[arrow[1]]
        and arrow[:2] not in WITHIN
        and arrow[:2] not in LAZY
    ]
    assert not wrong


def test_the_walk_sees_arrows():
    assert ('model', 'meta_learning', 'model.py') in arrows()


@pytest.mark.parametrize('package', sorted(OWNERS))
def test_a_package_is_imported_by_its_owners_only(package):
    users = {
        part_of(path) for path in PACKAGE.rglob('*.py') if any(n.partition('.')[0] == package for n in imported(path))
    }
    assert users <= OWNERS[package]


def test_safetensors_are_written_in_one_place():
    """``safetensors.numpy.save`` writes a transposed array as garbage; `files.tensors.safetensors_bytes` does not."""
    root = PACKAGE.parent
    paths = [path for folder in ('hyperinr', 'experiments', 'benchmarks') for path in (root / folder).rglob('*.py')]
    writers = {path.name for path in paths if any(name.startswith('safetensors.numpy.save') for name in imported(path))}
    assert writers == {'tensors.py'}


HEAVY = (
    'av',
    'grain',
    'matplotlib',
    'mlxtend',
    'nibabel',
    'orbax',
    'skimage',
    'soundfile',
    'tensorboardX',
    'tensorflow',
    'tensorflow_datasets',
    'torch',
    'trimesh',
    'wandb',
    'xarray',
)


HELP = 'from hyperinr.cli import main\ntry: main(["--help"])\nexcept SystemExit: pass\n'
SUB_PACKAGES = (
    'cli',
    'datasets',
    'inspection',
    'kinds',
    'library',
    'neural_datasets',
    'evaluation.curves',
    'training.loop',
    'without_gin',
)


@pytest.mark.parametrize(
    'code',
    [
        'import hyperinr',
        HELP,
        '\n'.join(f'import hyperinr.{name}' for name in SUB_PACKAGES),
    ],
    ids=['hyperinr', 'help', 'sub-packages'],
)
def test_nothing_heavy_is_imported(code, run_python):
    done = run_python(f'{code}\nimport sys; print("HEAVY", [name for name in {HEAVY!r} if name in sys.modules])')
    assert done.returncode == 0, done.stderr
    assert 'HEAVY []' in done.stdout


def test_help_does_not_start_jax(run_python):
    assert run_python(f'{HELP}import sys; assert "jax" not in sys.modules').returncode == 0
