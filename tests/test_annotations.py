"""Arguments of library calls and their annotations: what meets one, and one line for what does not."""

import inspect
import os
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import hyperinr
from hyperinr import annotations, coordinates, encoders, files, fitting, inrs, metrics, weights
from hyperinr.errors import InputError
from hyperinr.types import Array, Datapoint, InrWeights
from tests import tiny


def needed(annotation, value, name='x'):
    parameter = inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, annotation=annotation)
    return annotations.needed(parameter, value)


@pytest.mark.parametrize(
    ('annotation', 'right', 'wrong'),
    [
        (int, [0, -3, 2**31 - 1, np.int64(4)], [True, 1.0, 2**31, '1', None, np.float32(1), np.ones(1, int)]),
        (float, [0, -2.5, np.float32(1), jnp.float32(1), np.array(2.0)], [True, float('nan'), 1e39, 2**31, 1j, '1']),
        (bool, [True, np.bool_(False)], [0, 'True', None]),
        (int | None, [None, 3], [2.5]),
        (Literal['a', 'b'], ['a'], ['c', 1, ['a']]),
        (str | os.PathLike, ['a', os.curdir], [b'a', 3, None]),
        (Sequence[int], [(), [1, 2], range(3), np.arange(2)], ['12', b'1', 3, [1.5], [True], np.zeros(())]),
        (tuple[float, float], [(0, 1), [0.0, 1.0], np.zeros(2)], [(0,), (0, 1, 2), 'ab', (0, float('inf'))]),
        (Mapping[str, Sequence[Any]], [{'a': [1]}, {}], [{1: [1]}, {'a': 1}, [('a', [1])]]),
        (Callable[..., Any], [len], [3, None]),
        (Array, [np.zeros(2), jnp.zeros(2), np.float16(1), 3, jnp.zeros(2, jnp.bfloat16)],
         [[1.0], 'a', 1j, True, None, np.array(['a']), np.array([None]), np.zeros(1, complex), 2**31]),
        (InrWeights, [{'layer_0': {'b': np.zeros(2)}}], [{'layer_0': np.zeros(2)}, {'layer_0': {'b': 'a'}}, {0: {}}]),
        (Any, [3, None, 'a'], []),
        (inspect.Parameter.empty, [3, None], []),
        ('unknown', [3], []),
    ],
)  # fmt: skip
def test_what_meets_an_annotation(annotation, right, wrong):
    assert [value for value in right if needed(annotation, value) is not None] == []
    for value in wrong:
        assert needed(annotation, value), value


def test_a_seed_is_not_negative():
    assert needed(int, -1, 'seed') == 'at least 0'
    assert needed(Sequence[int], (3, -1), 'seeds') == 'at least 0'
    assert needed(int, 0, 'seed') is None


def test_fields_of_a_contract_are_checked():
    batch = tiny.Batched(tiny.make_spec(), 2).batch([0, 1])
    assert needed(Datapoint, batch) is None
    assert needed(Datapoint, batch._replace(values=batch.values.astype(complex))) == 'a Datapoint'
    assert needed(Datapoint, tuple(batch)) == 'a Datapoint'


def test_a_checked_function_keeps_its_signature_and_takes_tracers():
    assert list(inspect.signature(inrs.siren).parameters)[:3] == ['channels', 'width', 'depth']
    assert jax.jit(lambda mse: metrics.psnr_from_mse(mse, (0.0, 1.0)))(0.01) == pytest.approx(20, abs=1e-4)
    with pytest.raises(TypeError, match='channels'):
        inrs.siren()


MODEL = tiny.make_model
SIREN = {'channels': 3, 'width': 8, 'depth': 2}
IMAGE = np.zeros((12, 16, 3), np.float32)


def batch(**changes):
    made = tiny.Batched(tiny.make_spec(), 2).batch([0, 1])
    return made._replace(**{name: change(getattr(made, name)) for name, change in changes.items()})


def many(change=lambda weights: weights):
    one = inrs.siren(**SIREN).init(jax.random.key(0), 2)
    return change({layer: {name: np.stack([leaf] * 2) for name, leaf in one[layer].items()} for layer in one})


def fit(weights, datapoints):
    import optax

    return fitting.fit(inrs.siren(**SIREN), weights, datapoints, optimizer=optax.adam(1e-3), num_steps=1)


FINDS = [
    (lambda: hyperinr.load(3), 'load: run_dir must be a string or a path, not 3'),
    (lambda: inrs.siren(channels=3, width=32.5), 'siren: width must be a whole number of 32 bits, not 32.5'),
    (lambda: inrs.siren(channels=3, initialisation={'a': 1}), 'initialisation must be an Initialisation or None'),
    (lambda: inrs.wire(channels=3, depth=np.zeros((2, 3))), r'depth must be a whole number of 32 bits, not an array'),
    (lambda: inrs.from_metadata([1]), 'metadata must be a mapping'),
    (lambda: encoders.convolutional(spec=None), 'spec must be a DatasetSpec, not None'),
    (lambda: MODEL().generate(3), 'datapoints must be a Datapoint, not 3'),
    (lambda: MODEL().generate(batch(coords=lambda a: a.astype(object))), 'datapoints must be a Datapoint'),
    (lambda: MODEL().generate(batch(index=lambda a: a[:0])), 'the arrays of datapoints must be coords'),
    (lambda: MODEL().generate(batch(values=lambda a: a[:, :-1])), 'the arrays of datapoints must be coords'),
    (lambda: MODEL().generate(jax.tree.map(lambda a: a[:0], batch())), 'none of them empty'),
    (lambda: MODEL().finetune(batch(), num_steps=1.0), 'num_steps must be a whole number'),
    (lambda: MODEL().finetune(batch(), num_steps=1, record_steps=(None,)), 'record_steps must be a list'),
    (lambda: MODEL().reconstruct({}), 'cannot evaluate weights'),
    (lambda: MODEL().reconstruct(many(), (2, 0)), 'a reconstruction needs positive values'),
    (lambda: MODEL().reconstruct(many(), (10**6, 10**6)), 'more than 2147483648 points'),
    (lambda: MODEL().reconstruct(many(), (4, 5, 6)), 'at 3 coordinates'),
    (lambda: fit(many(lambda all: {name: all[name] for name in ('layer_0', 'layer_1')}), batch()), 'cannot evaluate'),
    (lambda: fit(many(), batch(coords=lambda a: a[..., :1])), 'at 1 coordinates'),
    (lambda: metrics.psnr(IMAGE, IMAGE[0], data_range=(0, 1)), r'must be \[..., N, C\]'),
    (lambda: metrics.mean_squared_error(IMAGE, IMAGE, 2.5), r'weight \(\) must be'),
    (lambda: metrics.ssim(IMAGE, IMAGE, data_range=(0, 1), sigma=0), 'SSIM needs'),
    (lambda: metrics.psnr_from_mse('a', (0, 1)), 'mse must be an array of real numbers'),
    (lambda: weights.unflatten(np.zeros(()), weights.spec_of(many())), r'a vector \(\)'),
    (lambda: weights.spec_of({'layer_0': {'w': None}}), 'weights must be a mapping of names to mappings of names'),
    (lambda: weights.spec_of_inr(inrs.siren(**SIREN), 0), 'at least 1 coordinate'),
    (lambda: coordinates.grid((2.5, 3)), 'shape must be a list or tuple'),
    (lambda: files.resize(IMAGE, (0, 3)), 'sizes >= 1'),
    (lambda: files.letterbox(IMAGE[0], (4, 4)), r'images are \[H, W, C\]'),
    (lambda: files.read_image(None), 'path must be a string or a path'),
    (lambda: files.fold_omega(many(), {'kind': 'siren'}), 'lack depth'),
    (lambda: files.write_weights('a.npz', many(), {'a': object()}), "of JSON's types"),
    (lambda: files.torch_state_dict({'layer_1': many()['layer_0'], 'layer_2': many()['layer_1']}), 'without gaps'),
]  # fmt: skip


@pytest.mark.parametrize(('call', 'message'), FINDS)
def test_a_wrong_argument_is_one_line_that_names_it(call, message):
    with pytest.raises(InputError, match=message) as raised:
        call()
    assert '\n' not in str(raised.value)


@pytest.mark.parametrize('kind', [np.float16, np.float64])
def test_a_model_takes_other_floats(kind):
    cast = {name: lambda array: array.astype(kind) for name in ('values', 'weight')}
    found, right = (MODEL().generate(datapoints)['layer_0']['w'] for datapoints in (batch(**cast), batch()))
    np.testing.assert_allclose(found, right, rtol=0.02, atol=0.02)
