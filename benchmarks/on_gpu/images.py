"""Train on photographs of 178 x 178 with a SIREN of 5 x 256: Meta-SGD and a low-rank hypernetwork.

The hypernetwork emits low-rank factors, so its parameters and the adapted code grow linearly with the INR's width.
Inner steps are recomputed in the backward pass, so the memory is that of one step.
"""

from collections.abc import Mapping
from typing import Any

from benchmarks.on_gpu.parts import Options
from benchmarks.on_gpu.record import Record
from benchmarks.on_gpu.training import Run, device_facts, prepare_by, timed_run

__all__ = ['measure', 'prepare']

SIZE, TINY_SIZE = 178, 16
SECONDS = 120.0
"""Seconds of training of each of the two."""

LARGE = (
    'siren.width=256',
    'siren.depth=5',
    'meta_learner.num_steps=3',
    'meta_learner.rematerialize=True',
    "held_out_psnr.every='10 seconds'",
)
SMALL = (
    'siren.width=16',
    'siren.depth=2',
    'meta_learner.num_steps=3',
    'meta_learner.rematerialize=True',
    "held_out_psnr.every='1 seconds'",
)
LEARNERS = {
    'Meta-SGD': ('experiment/photo_patches_maml.gin', ()),
    'low-rank hypernetwork': (
        'experiment/photo_patches_low_rank.gin',
        ('convolutional.num_stages=5',),
    ),
}
BATCH_SIZES = (8, 4, 2)
"""Batch sizes to try; the first that fits into memory is used."""


def measure(record: Record, options: Options) -> None:
    """Measure all rows of the part."""
    peak = device_facts(record, options)
    for number, (name, (config, own)) in enumerate(LEARNERS.items()):
        record.row(
            name,
            lambda config=config, own=own, number=number: largest_batch(
                record, options, config, own, peak=peak, timeout=(record.left() - 2) / (len(LEARNERS) - number)
            ),
            needs=10,
            shapes={'points': (TINY_SIZE if options.tiny else SIZE) ** 2, 'bindings': SMALL if options.tiny else LARGE},
            precision='the default',
        )


def largest_batch(
    record: Record, options: Options, config: str, own: tuple[str, ...], *, peak: float, timeout: float
) -> Mapping[str, Any]:
    """Call `timed_run` with the first of `BATCH_SIZES` that fits into the device's memory.

    Raises:
      MemoryError: no batch size fits.
    """
    sizes = (2,) if options.tiny else BATCH_SIZES
    own = tuple(binding.replace('=5', '=1') for binding in own) if options.tiny else own
    for size in sizes:
        bindings = (
            *(SMALL if options.tiny else LARGE),
            *own,
            *data(options),
            f'BATCH_SIZE={size}',
            f'held_out_psnr.num_datapoints={2 if options.tiny else 16}',
        )
        run = Run(config, bindings, record.folder(options.work), peak)
        try:
            found = timed_run(
                run, probe_steps=4 if options.tiny else 25, seconds=1 if options.tiny else SECONDS, timeout=timeout
            )
        except MemoryError:
            if size == sizes[-1]:
                raise
            continue
        found['figures']['batch_size'] = size
        return found
    raise AssertionError('every size was tried')


def data(options: Options) -> tuple[str, ...]:
    """Return the bindings of the dataset: the user's folder, or crops of scikit-image's photographs."""
    size = TINY_SIZE if options.tiny else SIZE
    if options.images is not None:
        return (
            'experiment.dataset=@datasets.image_folder',
            f"image_folder.path='{options.images.absolute()}'",
            f'image_folder.resolution=({size}, {size})',
        )
    counts = (8, 4, 4) if options.tiny else (2000, 32, 32)
    names = ('num_train', 'num_validation', 'num_test')
    own = tuple(f'photo_patches.{name}={count}' for name, count in zip(names, counts, strict=True))
    return (f'photo_patches.resolution=({size}, {size})', *own)


def prepare(options: Options) -> None:
    """Prepare the images on the CPU."""
    prepare_by(data(options))
