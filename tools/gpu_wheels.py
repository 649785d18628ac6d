"""Collects what a GPU machine without network lacks: ``python tools/gpu_wheels.py [FOLDER]`` (default: ``wheels``).

What such a machine has (`INSTALLED`) is not collected, so that its own jax stays. Wheels are for Python 3.12 on Linux,
of the versions in constraints.txt. ``requirements.txt`` in the folder names them without versions, so that pip passes
over what is there.
"""

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent

INSTALLED = (
    'chex', 'h5py', 'jax', 'jaxlib', 'jinja2', 'numpy', 'optax', 'orbax-checkpoint', 'pillow', 'pytest', 'safetensors',
    'scikit-image', 'torch',
)  # fmt: skip
"""What docs/gpu.md expects there."""

NEEDED = {
    'hypernetworks': ('dm-haiku', 'jmp', 'tabulate'),
    'structural similarity': ('dm-pix',),
    'configs': ('gin-config',),
    'data sets, and what tensorflow-datasets imports': (
        'array-record', 'tensorflow-datasets', 'tensorflow-metadata', 'dm-tree', 'immutabledict', 'importlib-resources',
        'requests', 'simple-parsing', 'docstring-parser', 'six', 'termcolor', 'toml', 'tqdm', 'wrapt',
    ),
    'progress and logs': ('rich', 'markdown-it-py', 'mdurl', 'tensorboardx'),
    'locks': ('filelock',),
    'tests': ('hypothesis', 'sortedcontainers'),
}  # fmt: skip
"""Packages by what they are for; none brings its own requirements along."""

SOURCE_ONLY = ('promise',)
"""No wheel is published; pure Python, so one built here fits there."""

PLATFORMS = ('manylinux_2_28_x86_64', 'manylinux_2_24_x86_64', 'manylinux_2_17_x86_64', 'manylinux2014_x86_64')
LIMIT_MB = 64


def main() -> None:
    folder = Path(sys.argv[1] if len(sys.argv) > 1 else 'wheels')
    pip = [sys.executable, '-m', 'pip', '--disable-pip-version-check', '--quiet']
    same = ['--no-deps', '-c', str(ROOT / 'constraints.txt')]
    target = ['--python-version', '3.12', '--implementation', 'cp', '--only-binary=:all:']
    for platform in PLATFORMS:
        target += ['--platform', platform]
    packages = [name for names in NEEDED.values() for name in names]
    subprocess.run([*pip, 'download', *same, *target, '--dest', str(folder), *packages], check=True)
    subprocess.run([*pip, 'wheel', *same, '--wheel-dir', str(folder), *SOURCE_ONLY], check=True)
    (folder / 'requirements.txt').write_text('\n'.join([*packages, *SOURCE_ONLY]) + '\n')
    sizes = [path.stat().st_size for path in folder.glob('*.whl')]
    megabytes = sum(sizes) / 1e6
    print(f'{len(sizes)} wheels, {megabytes:.1f} MB, in {folder}')
    if megabytes > LIMIT_MB:
        raise SystemExit(f'more than {LIMIT_MB} MB: take a folder that is empty, or fewer packages.')


if __name__ == '__main__':
    main()
