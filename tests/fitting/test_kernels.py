"""The fused kernel, in Pallas's interpreter, against automatic differentiation; and that it lowers for a GPU."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import AbstractDevice, AbstractMesh, use_abstract_mesh

from hyperinr import inrs
from hyperinr import weights as weights_lib
from hyperinr.fitting.kernels import siren as kernel
from hyperinr.fitting.loss import points_of, value_and_gradient
from tests.exhaustive import thin
from tests.fitting.problems import SIREN, batch, starts


def both_ways(inr, *, side=6, channels=3, number=2):
    weights = starts(inr, number)
    spec = weights_lib.spec_of(jax.tree.map(lambda leaf: leaf[0], weights))
    shape = kernel.siren_shape(inr.metadata, spec)
    fused = kernel.siren_value_and_gradient(shape, spec, interpret=True)
    arguments = weights_lib.flatten(weights, spec), jax.vmap(points_of)(batch(number, side=side, channels=channels))
    return jax.vmap(fused)(*arguments), jax.vmap(value_and_gradient(inr.apply, spec))(*arguments)


SHAPES = {
    'padded': ({'width': 16, 'depth': 1}, 1, 4),
    'blocks and a padded tail': ({'width': 16, 'depth': 3, 'omega_0': 7.0, 'hidden_omega_0': 3.0}, 3, 7),
    'whole blocks': ({'width': 32, 'depth': 2}, 2, 8),
}


@pytest.mark.parametrize('shape', thin(SHAPES, lambda shape: shape == 'blocks and a padded tail'))
def test_it_is_the_gradient(shape):
    options, channels, side = SHAPES[shape]
    inr = inrs.siren(channels=channels, **options)
    ((loss, errors), gradient), ((expected, expected_errors), expected_gradient) = both_ways(
        inr, side=side, channels=channels
    )
    np.testing.assert_allclose(loss, expected, rtol=1e-5)
    np.testing.assert_allclose(errors, expected_errors, rtol=1e-3, atol=1e-5)
    scale = np.abs(expected_gradient).max()
    np.testing.assert_allclose(gradient / scale, expected_gradient / scale, atol=1e-5)


def test_it_lowers_for_a_gpu():
    spec = weights_lib.spec_of(jax.tree.map(lambda leaf: leaf[0], starts(SIREN, 1)))
    fused = kernel.siren_value_and_gradient(kernel.siren_shape(SIREN.metadata, spec), spec, interpret=False)
    points = jax.vmap(points_of)(batch(2))
    flat = jnp.zeros((2, weights_lib.count(spec)))
    # From jax 0.11 on, lowering asks what the device can do; here there is none to ask.
    device = AbstractDevice('NVIDIA H100 80GB HBM3', None, 'gpu')
    with use_abstract_mesh(AbstractMesh((), (), abstract_device=device)):
        lowered = jax.jit(jax.vmap(fused)).trace(flat, points).lower(lowering_platforms=('cuda',))
    assert 'triton' in lowered.as_text()


def test_other_inrs_are_refused_and_a_cpu_does_not_choose_it():
    weights = starts(SIREN, 1)
    spec = weights_lib.spec_of(jax.tree.map(lambda leaf: leaf[0], weights))
    assert not kernel.compiles_here(SIREN.metadata, spec)
    for metadata in ({'kind': 'relu_mlp'}, {**SIREN.metadata, 'width': 20}):
        with pytest.raises(ValueError, match="kernel='xla'"):
            kernel.siren_shape(metadata, spec)


@pytest.mark.exhaustive
def test_a_kernel_that_does_not_compile_is_said_and_not_used(monkeypatch):
    spec = weights_lib.spec_of(jax.tree.map(lambda leaf: leaf[0], starts(SIREN, 1)))
    monkeypatch.setattr(jax, 'default_backend', lambda: 'gpu')
    kernel._compiles.cache_clear()
    with pytest.warns(UserWarning, match='does not compile'):
        assert not kernel.compiles_here(SIREN.metadata, spec)
    kernel._compiles.cache_clear()
