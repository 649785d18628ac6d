"""Measure the memory of one meta-gradient through many steps: exact, truncated, recomputed, and both.

``python -m benchmarks.meta_memory [--json FILE]`` compiles ``experiment/photo_patches_long.gin`` at 64 x 64, with all
datapoints of the batch together as on an accelerator, and reads the workspace from the compiler. Nothing is run. The
figures of the CPU compiler hold roughly for a GPU: the arrays are the same, their lifetimes differ.
"""

import argparse
import time
from pathlib import Path
from typing import Any

import jax
import numpy as np

from hyperinr import config, coordinates, library
from hyperinr.runtime.files import write_json
from hyperinr.types import Datapoint, DatasetSpec

__all__ = ['LIMIT_GIB', 'VARIANTS', 'bytes_of_gradient', 'main']

CONFIG = 'experiment/photo_patches_long.gin'
LIMIT_GIB = 24
VARIANTS = {
    'exact': ('meta_learner.second_order_steps = None', 'meta_learner.rematerialize = False'),
    'second order in the last 4': ('meta_learner.rematerialize = False',),
    'recomputed': ('meta_learner.second_order_steps = None',),
    'both (the config)': (),
}


def bytes_of_gradient(bindings: tuple[str, ...], *, size: int, num_steps: int, batch_size: int) -> int:
    """Return the bytes of arguments, results and workspace of the compiled gradient of one batch.

    Args:
      bindings: bindings of the config.
      size: side of an image in pixels.
      num_steps: K.
      batch_size: B.
    """
    spec = DatasetSpec('photo_patches', (size, size), size**2, 2, 3, (0.0, 1.0))
    steps = [f'meta_learner.num_steps = {num_steps}', f'meta_learner.group_size = {batch_size}']
    with config.applied(config.load_config(CONFIG, [*bindings, *steps])):
        learner = library.compose().build(spec)
    points = np.ones(size**2, np.float32)
    one = Datapoint(coordinates.grid((size, size)), np.ones((size**2, 3), np.float32), points, np.int32(0))
    state = jax.eval_shape(learner.init, jax.random.key(0), one)
    batch = jax.tree.map(lambda leaf: jax.ShapeDtypeStruct((batch_size, *np.shape(leaf)), leaf.dtype), one)
    compiled: Any = jax.jit(learner.gradient).lower(state, batch, batch).compile()
    analysis = compiled.memory_analysis()
    sizes = (analysis.temp_size_in_bytes, analysis.argument_size_in_bytes, analysis.output_size_in_bytes)
    return int(sum(sizes))


def main() -> None:
    parser = argparse.ArgumentParser(prog='python -m benchmarks.meta_memory', description=__doc__)
    parser.add_argument('--json', type=Path, help='also write the rows here')
    parser.add_argument('--size', type=int, default=64, help='pixels of a side (default: 64)')
    parser.add_argument('--num-steps', type=int, default=16, help='K (default: 16)')
    parser.add_argument('--batch-size', type=int, default=16)
    options = parser.parse_args()
    sizes = {'size': options.size, 'num_steps': options.num_steps, 'batch_size': options.batch_size}
    rows = []
    for name, bindings in VARIANTS.items():
        began = time.perf_counter()
        needed = bytes_of_gradient(bindings, **sizes)
        gib = needed / 2**30
        rows.append({'variant': name, 'bytes': needed, 'gib': gib})
        seconds = time.perf_counter() - began
        print(f'{name:28s} {gib:8.2f} GiB  {gib / LIMIT_GIB:5.0%} of {LIMIT_GIB} GiB  ({seconds:.0f} s to compile)')
    if options.json:
        write_json(options.json, {'platform': jax.default_backend(), 'jax': jax.__version__, **sizes, 'rows': rows})


if __name__ == '__main__':
    main()
