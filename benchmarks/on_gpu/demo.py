"""Train the demo as configured, then for two minutes under a schedule of that length."""

from benchmarks.on_gpu.parts import Options
from benchmarks.on_gpu.record import Record
from benchmarks.on_gpu.training import TINY_PHOTOGRAPHS, Run, device_facts, figures_of, timed_run, train

__all__ = ['measure']

CONFIG = 'experiment/photo_patches_siren.gin'
SECONDS = 120.0
TINY = (
    *TINY_PHOTOGRAPHS,
    'siren.width=16',
    'convolutional.num_stages=1',
    'held_out_psnr.num_datapoints=2',
    'BATCH_SIZE=2',
)


def measure(record: Record, options: Options) -> None:
    """Measure all rows of the part."""
    peak = device_facts(record, options)
    own = TINY if options.tiny else ()

    def as_configured():
        run = Run(CONFIG, own, record.folder(options.work), peak)
        whole = train(run, num_steps=4 if options.tiny else 2600, seconds=None, timeout=0.5 * record.left())
        return {**figures_of(run), 'process_s': whole}

    def for_seconds():
        bindings = (*own, "held_out_psnr.every='10 seconds'")
        return timed_run(
            Run(CONFIG, bindings, record.folder(options.work), peak),
            probe_steps=4 if options.tiny else 100,
            seconds=1 if options.tiny else SECONDS,
            timeout=record.left() - 2,
        )

    shapes = {'config': CONFIG, 'batch_size': 2 if options.tiny else 16}
    record.row('2,600 updates', as_configured, needs=10, shapes=shapes, precision='the default')
    record.row('two minutes', for_seconds, needs=10, shapes=shapes, precision='the default')
