"""What is frozen stays; what is not moves as if alone."""

import jax
import numpy as np
import optax
import pytest

from hyperinr import fitting, inrs
from hyperinr import weights as weights_lib
from hyperinr.errors import InputError
from hyperinr.fitting.freezing import frozen, frozen_mask
from hyperinr.types import Datapoint

INR = inrs.gabor_net(channels=1, width=4, depth=1, input_scale=5.0)
WEIGHTS = INR.init(jax.random.key(0), 2)
SPEC = weights_lib.spec_of(WEIGHTS)


@pytest.mark.exhaustive
@pytest.mark.parametrize(
    ('patterns', 'held'),
    [
        (['layer_0'], ['layer_0/b', 'layer_0/w']),
        (['*/b'], ['filter_0/b', 'filter_1/b', 'layer_0/b', 'layer_1/b']),
        (['filter_*/center', 'layer_1/w'], ['filter_0/center', 'filter_1/center', 'layer_1/w']),
        ([], []),
    ],
)
def test_patterns_choose_tensors_and_a_fit_leaves_them(patterns, held):
    mask = weights_lib.unflatten(frozen_mask(patterns, SPEC), SPEC)
    chosen = [path for path in SPEC.paths if bool(np.all(mask[path.split('/')[0]][path.split('/')[1]]))]
    assert chosen == held
    rng = np.random.default_rng(0)
    coords, values = (rng.uniform(-1, 1, (1, 9, size)).astype(np.float32) for size in (2, 1))
    batch = Datapoint(coords, values, np.ones((1, 9), np.float32), np.zeros(1, np.int32))
    starts = jax.tree.map(lambda leaf: leaf[None], WEIGHTS)
    optimizer = frozen(optax.adamw(1e-2, weight_decay=0.1), patterns, SPEC)
    fitted = fitting.fit(INR, starts, batch, optimizer=optimizer, num_steps=3).weights
    for path in SPEC.paths:
        layer, name = path.split('/')
        same = bool(np.array_equal(fitted[layer][name], starts[layer][name]))
        assert same == (path in held), path


@pytest.mark.parametrize(('patterns', 'part'), [(['layer_7'], "'layer_7'.*layer_0/b"), (['*'], 'freeze all')])
def test_patterns_that_make_no_sense_are_named(patterns, part):
    with pytest.raises(InputError, match=part):
        frozen_mask(patterns, SPEC)
