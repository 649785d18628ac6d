"""A run of the real parts that takes seconds; also a program, for tests that need a process of their own."""

import argparse
import functools
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import optax

from hyperinr import encoders, hypernetworks, inrs, meta_learning
from hyperinr.datasets.base import Dataset
from hyperinr.datasets.image_source import Images, ImageSource, Record
from hyperinr.training.experiment import Experiment, experiment
from hyperinr.training.loop import train
from hyperinr.training.watching.evaluators import held_out_psnr
from hyperinr.types import Datapoint, DatasetSpec

__all__ = ['SHAPE', 'tiny_dataset', 'tiny_experiment']

SHAPE = (6, 5)


class SlowSource(ImageSource):
    """Takes its time for a batch, so that a kill finds the run in its middle."""

    delay = 0.0

    def batch(self, indices: np.ndarray, epoch: np.ndarray | None = None) -> Datapoint:
        time.sleep(self.delay)
        return super().batch(indices, epoch)


def tiny_dataset(delay: float = 0.0) -> Dataset:
    """20 + 6 + 6 random images of 6 x 5 pixels."""
    spec = DatasetSpec('tiny', SHAPE, SHAPE[0] * SHAPE[1], 2, 3, (0.0, 1.0))
    rng = np.random.default_rng(0)
    splits = {}
    for name, number in {'train': 20, 'validation': 6, 'test': 6}.items():
        pixels = rng.integers(0, 256, (number, *SHAPE, 3), dtype=np.uint8)
        records = [Record(image, (0, 0, *SHAPE), f'{name} {i}') for i, image in enumerate(pixels)]
        splits[name] = SlowSource(Images(number, records.__getitem__), shape=SHAPE, augment=False)
        splits[name].delay = delay if name == 'train' else 0.0
    return Dataset(spec, splits)


def tiny_experiment(
    *,
    num_steps: int = 6,
    batch_size: int = 8,
    seed: int = 0,
    delay: float = 0.0,
    optimizer: Callable[..., optax.GradientTransformation] = meta_learning.adam_cosine,
) -> Experiment:
    """A hypernetwork through one inner step; the source of its data waits ``delay`` seconds for each batch."""
    return experiment(
        dataset=functools.partial(tiny_dataset, delay),
        inr=functools.partial(inrs.siren, width=4, depth=1),
        encoder=functools.partial(encoders.convolutional, embedding_dims=4, base_channels=2, num_stages=1),
        hypernetwork=functools.partial(hypernetworks.weight_heads, trunk=(8,)),
        learner=functools.partial(
            meta_learning.meta_learner, num_steps=1, context_points=meta_learning.uniform_points(num_points=10)
        ),
        optimizer=optimizer,
        num_steps=num_steps,
        batch_size=batch_size,
        seed=seed,
    )


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument('run_dir', type=Path)
    parser.add_argument('--num-steps', type=int, default=6)
    parser.add_argument('--checkpoint-every', type=int, default=2)
    parser.add_argument('--delay', type=float, default=0.0)
    args = parser.parse_args()
    train(
        tiny_experiment(num_steps=args.num_steps, delay=args.delay),
        args.run_dir,
        log_every=1,
        checkpoint_every=args.checkpoint_every,
        evaluators=[held_out_psnr(every='5 steps', num_datapoints=2)],
    )


if __name__ == '__main__':
    main()
