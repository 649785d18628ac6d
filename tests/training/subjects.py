"""What evaluators are tested on."""

import jax

from hyperinr.training import devices as devices_lib
from hyperinr.training.input_pipeline import Batches, Positions
from hyperinr.training.watching.evaluators import Subject

__all__ = ['make_state', 'make_subject']


def make_subject(learner, dataset, *, devices=None, batch_size=8) -> Subject:
    """Of a run of that learner on that dataset; one device where none are given."""
    splits = dataset.splits
    source = splits.get('train', next(iter(splits.values())))
    batches = Batches(source, dataset.spec, Positions(len(source), batch_size, 0))
    like = jax.eval_shape(learner.init, jax.random.key(0), source[0])
    return Subject(learner, dataset, batches, devices or jax.devices()[:1], like)


def make_state(subject: Subject, seed: int = 0):
    """A first state, packed and placed."""
    source = subject.batches.source
    return jax.device_put(devices_lib.pack(subject.learner.init(jax.random.key(seed), source[0])), subject.devices[0])
