"""The table of interchangeable parts: a new INR, encoder, hypernetwork or learner is one row of it.

`test_every_inr.py` and its like test what the rows promise.

All parts are tiny: 16-wide INRs on 6 x 8 grids. The tests of single options build theirs with the same two functions,
`make_hypernetwork` and `make_learner`.
"""

import functools
from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax

from hyperinr import encoders, hypernetworks, inrs, meta_learning
from hyperinr.datasets.base import stack
from hyperinr.types import (
    Datapoint,
    DatasetSpec,
    Encoder,
    Hypernetwork,
    Inr,
    Key,
    MetaLearner,
    Metrics,
    Params,
    TrainState,
)
from tests import tiny

__all__ = [
    'ENCODERS', 'HYPERNETWORKS', 'INRS', 'LEARNERS', 'SPEC', 'datapoints', 'gradient', 'make_hypernetwork',
    'make_learner',
]  # fmt: skip

SPEC = tiny.make_spec(grid_shape=(6, 8))._replace(num_datapoints=4, num_labels=3)

INRS: Mapping[str, Callable[..., Inr]] = {
    'siren': lambda channels=3: inrs.siren(channels=channels, width=16, depth=2, omega_0=10.0, hidden_omega_0=10.0),
    'siren of one hidden layer': lambda channels=3: inrs.siren(channels=channels, width=8, depth=1),
    'relu_mlp': lambda channels=3: inrs.relu_mlp(channels=channels, width=16, depth=2, num_frequencies=3),
    'relu_mlp of bare coordinates': lambda channels=3: inrs.relu_mlp(
        channels=channels, width=8, depth=1, num_frequencies=0
    ),
    'gelu_mlp': lambda channels=3: inrs.gelu_mlp(channels=channels, width=16, depth=2, num_frequencies=3),
    'fourier_mlp': lambda channels=3: inrs.fourier_mlp(
        channels=channels, width=16, depth=2, num_features=8, feature_deviation=1.0
    ),
    'finer': lambda channels=3: inrs.finer(channels=channels, width=16, depth=2, omega_0=5.0, hidden_omega_0=5.0),
    'wire': lambda channels=3: inrs.wire(channels=channels, width=12, depth=2, omega=5.0, scale=3.0),
    'real_wire': lambda channels=3: inrs.real_wire(channels=channels, width=16, depth=2, omega=5.0, scale=3.0),
    'gaussian': lambda channels=3: inrs.gaussian(channels=channels, width=16, depth=2, deviation=0.3),
    'super_gaussian': lambda channels=3: inrs.super_gaussian(
        channels=channels, width=16, depth=2, deviation=0.5, exponent=1.5
    ),
    'laplacian': lambda channels=3: inrs.laplacian(channels=channels, width=16, depth=2, scale=0.5),
    'quadratic': lambda channels=3: inrs.quadratic(channels=channels, width=16, depth=2, sharpness=4.0),
    'multi_quadratic': lambda channels=3: inrs.multi_quadratic(channels=channels, width=16, depth=2, sharpness=6.0),
    'exp_sin': lambda channels=3: inrs.exp_sin(channels=channels, width=16, depth=2, omega=4.0),
    'sinc': lambda channels=3: inrs.sinc(channels=channels, width=16, depth=2, omega=8.0),
    'hosc': lambda channels=3: inrs.hosc(channels=channels, width=16, depth=2, omega_0=5.0, hidden_omega_0=5.0),
    'adaptive_hosc': lambda channels=3: inrs.adaptive_hosc(
        channels=channels, width=16, depth=2, omega_0=5.0, hidden_omega_0=5.0
    ),
    'fourier_net': lambda channels=3: inrs.fourier_net(channels=channels, width=16, depth=2, input_scale=10.0),
    'gabor_net': lambda channels=3: inrs.gabor_net(channels=channels, width=16, depth=1, input_scale=10.0),
    'feature_grid': lambda channels=3: inrs.feature_grid(channels=channels, resolution=5),
    'hash_grid': lambda channels=3: inrs.hash_grid(
        channels=channels, width=8, depth=1, num_levels=3, log2_table_size=4, coarsest=2, finest=8
    ),
}

ENCODERS: Mapping[str, Callable[[DatasetSpec], Encoder]] = {
    'convolutional': lambda spec: encoders.convolutional(spec=spec, embedding_dims=8, base_channels=4, num_stages=1),
    'dense': lambda spec: encoders.dense(spec=spec, embedding_dims=8, num_blocks=1),
    'set_encoder': lambda spec: encoders.set_encoder(spec=spec, embedding_dims=8, width=8, depth=1),
    'residual': lambda spec: encoders.residual(spec=spec, embedding_dims=8, stage_channels=(4,), blocks_per_stage=1),
    'patch_transformer': lambda spec: encoders.patch_transformer(
        spec=spec, embedding_dims=24, patch_size=2, width=8, depth=1, num_heads=2
    ),
    'set_transformer': lambda spec: encoders.set_transformer(
        spec=spec, embedding_dims=8, num_tokens=4, width=8, depth=1, num_heads=2, num_frequencies=2
    ),
    'table': lambda spec: encoders.table(spec=spec, embedding_dims=8),
    'label_embedding': lambda spec: encoders.label_embedding(spec=spec, embedding_dims=8),
    'constant': lambda spec: encoders.constant(spec=spec),
}


def _inr(inr: str | Inr, spec: DatasetSpec) -> Inr:
    return INRS[inr](spec.channels) if isinstance(inr, str) else inr


TINY: Mapping[str, Mapping[str, Any]] = {
    'weight_heads': {'trunk': (8,)},
    'low_rank': {'trunk': (8,), 'rank': 3},
    'modulations': {'latent_dims': 6},
    'instance_pattern_composers': {'trunk': (8,), 'rank': 4},
    'weight_tokens': {'token_dims': 2, 'width': 8, 'depth': 1, 'num_heads': 2, 'groups': 4},
    'private_layers': {},
    'chunked': {'chunk_size': 50, 'chunk_dims': 4, 'hidden': (8, 8)},
}
"""Every family of hypernetworks, with options that make it small."""


def make_hypernetwork(
    *,
    spec: DatasetSpec = SPEC,
    inr: str | Inr = 'siren',
    encoder: str = 'set_encoder',
    family: str = 'weight_heads',
    **options: Any,
) -> Hypernetwork:
    """A tiny hypernetwork; ``inr`` (or an `Inr`), ``encoder`` and ``family`` are rows above."""
    factory = getattr(hypernetworks, family)
    return factory(inr=_inr(inr, spec), encoder=ENCODERS[encoder](spec), **(dict(TINY[family]) | options))


def make_learner(
    *,
    spec: DatasetSpec = SPEC,
    inr: str | Inr = 'siren',
    encoder: str = 'set_encoder',
    hypernetwork: Mapping[str, Any] | None = None,
    optimizer: optax.GradientTransformation | None = None,
    **options: Any,
) -> MetaLearner:
    """A tiny learner; ``hypernetwork`` are the options of its hypernetwork, ``options`` its own."""
    return meta_learning.meta_learner(
        hypernetwork=make_hypernetwork(spec=spec, inr=inr, encoder=encoder, **(hypernetwork or {})),
        inr=_inr(inr, spec),
        optimizer=optimizer or optax.adam(1e-3),
        data_range=spec.data_range,
        **({'num_steps': 2} | options),
    )


HYPERNETWORKS: Mapping[str, Mapping[str, Any]] = {
    'additive': {'combine': 'additive', 'encoder': 'convolutional'},
    'multiplicative': {
        'combine': 'multiplicative',
        'rates': hypernetworks.learned_rates(shared_by='leaf', num_steps=2),
    },
    'gain of each layer': {'combine': 'additive', 'encoder': 'dense', 'head_gain': (0.5, 1.0, 2.0)},
    'linear heads': {'trunk': (), 'rates': hypernetworks.learned_rates(shared_by='code', num_steps=3)},
    'of a relu_mlp': {'inr': 'relu_mlp', 'rates': hypernetworks.learned_rates(num_steps=2)},
    'multiplicative of a relu_mlp': {'inr': 'relu_mlp', 'combine': 'multiplicative'},
    'constant': {'encoder': 'constant'},
    'low rank': {'family': 'low_rank'},
    'low rank of a relu_mlp': {'family': 'low_rank', 'combine': 'sigmoid', 'inr': 'relu_mlp'},
    'low rank from a learned start, constant': {'family': 'low_rank', 'combine': 'additive', 'encoder': 'constant'},
    'shifts, constant': {
        'family': 'modulations',
        'encoder': 'constant',
        'rates': hypernetworks.learned_rates(num_steps=2),
    },
    'FiLM of a relu_mlp': {
        'family': 'modulations',
        'kind': 'film',
        'map_hidden': (5,),
        'encoder': 'table',
        'inr': 'relu_mlp',
    },
    'instance pattern composers': {
        'family': 'instance_pattern_composers',
        'encoder': 'label_embedding',
        'rates': hypernetworks.learned_rates(shared_by='code'),
    },
    'weight tokens': {'family': 'weight_tokens', 'encoder': 'patch_transformer'},
    'weight tokens of a relu_mlp': {'family': 'weight_tokens', 'encoder': 'set_transformer', 'inr': 'relu_mlp'},
    'private layers': {'family': 'private_layers', 'encoder': 'table', 'num_private': 2},
    'predicted rates': {'rates': hypernetworks.predicted_rates(num_steps=2)},
    'chunked': {'family': 'chunked', 'encoder': 'residual', 'rates': hypernetworks.predicted_rates(num_steps=2)},
}
"""Options of `make_hypernetwork`."""

LEARNERS: Mapping[str, Mapping[str, Any]] = {
    'two steps': {'encoder': 'convolutional'},
    'plain hypernetwork': {'num_steps': 0},
    'MAML': {
        'encoder': 'constant',
        'hypernetwork': {'rates': hypernetworks.learned_rates(shared_by='leaf', num_steps=2)},
    },
    'multiplicative': {
        'hypernetwork': {'combine': 'multiplicative', 'rates': hypernetworks.learned_rates(shared_by='code')},
        'loss': meta_learning.mse(),
    },
    'relu_mlp': {'inr': 'relu_mlp', 'loss_steps': meta_learning.every_step()},
    'first order': {'first_order': True, 'average_decay': None},
    'rematerialized': {'rematerialize': True, 'group_size': 2},
    'some of the points': {'context_points': meta_learning.uniform_points(num_points=16), 'num_target_points': 24},
    'Reptile': {'encoder': 'constant', 'meta_gradient': meta_learning.reptile()},
    'points by error, truncated': {
        'context_points': meta_learning.largest_error_points(num_points=16),
        'second_order_steps': 1,
        'observed_fraction': 0.5,
    },
    'every other point': {'context_points': meta_learning.every_kth(stride=2), 'num_steps': 1},
    'functa': {'encoder': 'constant', 'hypernetwork': {'family': 'modulations'}},
}
"""Options of `make_learner`."""


def gradient(
    learner: MetaLearner, params: Params, context: Datapoint, target: Datapoint, key: Key, step: int = 0
) -> tuple[Params, Metrics]:
    """`MetaLearner.gradient` at any parameters, without an optimiser's state."""
    return learner.gradient(TrainState(jnp.int32(step), params, None, params, key), context, target)


@functools.cache
def datapoints(number: int = 4, spec: DatasetSpec = SPEC) -> Datapoint:
    """A batch of plane waves with importances from 0.5 to 1.5, leaves ``[number, ...]``. Not to be written to."""
    source = tiny.Waves(spec, number)
    batch = stack([source[index] for index in range(number)])
    rng = np.random.default_rng(1)
    weight = rng.uniform(0.5, 1.5, batch.weight.shape).astype(np.float32)
    batch = batch._replace(weight=weight, label=batch.index % 3, row=batch.index)
    for leaf in jax.tree.leaves(batch):
        leaf.flags.writeable = False
    return batch
