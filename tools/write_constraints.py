"""Write constraints.txt: exact versions of everything that any extra of setup.cfg brings, for every supported Python.

Run by ``make constraints``, which installs uv for it. One resolution covers all Pythons; environment markers say where
versions differ (jax dropped Python 3.11 after 0.10). Torch has no version where its plain package is a CUDA build of
several gigabytes, so only Python 3.11 gets one, and CUDA packages none.
"""

import configparser
import pathlib
import re
import subprocess
import sys
import tempfile

ROOT = pathlib.Path(__file__).resolve().parent.parent
PYTHONS = '3.11'
EXTRAS = (
    'data', 'viz', 'wandb', 'hdf5', 'ray', 'slurm', 'tune', 'shapes', 'sound', 'video', 'volume', 'field', 'grib',
    'analysis', 'prepare', 'test', 'dev'
)  # fmt: skip
TORCH = (
    'torch==2.13.0 ; python_version < "3.12"',
    'siren-pytorch==0.1.7',
)
TORCH_NEEDS = ('einops', 'filelock', 'fsspec', 'jinja2', 'networkx', 'sympy')


def requirements() -> list[str]:
    """Of the package and of all extras but torch's, as setup.cfg states them, with what torch needs beside."""
    config = configparser.ConfigParser()
    config.read(ROOT / 'setup.cfg', encoding='utf-8')
    blocks = [config['options']['install_requires'], *(config['options.extras_require'][extra] for extra in EXTRAS)]
    return [line for block in blocks for line in block.split('\n') if line] + list(TORCH_NEEDS)


def main() -> int:
    with tempfile.TemporaryDirectory() as folder:
        source = pathlib.Path(folder, 'requirements.in')
        source.write_text('\n'.join(requirements()) + '\n', encoding='utf-8')
        command = ['uv', 'pip', 'compile', '--universal', '--python-version', PYTHONS, '--no-header', '--no-annotate']
        done = subprocess.run([sys.executable, '-m', *command, '--quiet', str(source)], capture_output=True, text=True)
    if done.returncode:
        sys.stderr.write(done.stderr)
        return done.returncode
    pins = [line for line in done.stdout.splitlines() if re.match(r'[A-Za-z0-9]', line)]
    lines = sorted([*pins, *TORCH], key=str.lower)
    (ROOT / 'constraints.txt').write_text('\n'.join(lines) + '\n', encoding='utf-8')
    return 0


if __name__ == '__main__':
    sys.exit(main())
