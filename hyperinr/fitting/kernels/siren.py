"""A fused kernel for a SIREN's squared error and its gradient. The weights of one INR stay on the chip.

Automatic differentiation writes every activation of every point to memory and reads it back. Here each block of points
runs forward and backward at once. Only weights, points and gradients are read or written in memory. For GPUs, in Pallas
(Triton). Letters: ``N`` points, ``D`` coordinate dimensions, ``C`` channels, ``W`` width, ``P`` weights.
"""

import functools
import warnings
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from hyperinr import weights as weights_lib
from hyperinr.fitting.loss import Points, ValueAndGradient
from hyperinr.types import Array
from hyperinr.weights import WeightSpec

__all__ = ['SirenShape', 'compiles_here', 'siren_shape', 'siren_value_and_gradient']

BLOCK = 32
"""Points of a block: with 64 features and 3 layers, activations and their derivatives take 48 KiB."""

WIDTHS = (16, 32, 64)
"""Triton multiplies matrices of at least 16 x 16 and powers of two. Two 128 x 128 gradients do not fit on the chip."""


class SirenShape(NamedTuple):
    """The shape of a SIREN.

    Attributes:
      coord_dims: D.
      width: W.
      depth: number of hidden layers.
      channels: C.
      omega_0: of the first layer.
      hidden_omega_0: of the other hidden layers.
    """

    coord_dims: int
    width: int
    depth: int
    channels: int
    omega_0: float
    hidden_omega_0: float


def siren_shape(metadata: Mapping[str, Any], spec: WeightSpec) -> SirenShape:
    """Return the shape of the SIREN that ``metadata`` of an `Inr` describes.

    Raises:
      ValueError: the INR is not a SIREN, or the kernel does not support it.
    """
    plain = metadata.get('kind') == 'siren' and metadata.get('input_deviation', 1.0) == 1
    if not plain or metadata['width'] not in WIDTHS:
        raise ValueError(
            f'the fused kernel takes SIRENs of width {", ".join(map(str, WIDTHS))} with unscaled coordinates, not '
            f"{dict(metadata)}; choose kernel='xla'."
        )
    coord_dims = dict(zip(spec.paths, spec.shapes, strict=True))['layer_0/w'][0]
    names = ('width', 'depth', 'channels', 'omega_0', 'hidden_omega_0')
    return SirenShape(coord_dims, *(metadata[name] for name in names))


@functools.lru_cache(maxsize=64)
def _compiles(shape: SirenShape, spec: WeightSpec) -> bool:
    points = Points(jnp.zeros((BLOCK, shape.coord_dims)), jnp.zeros((shape.channels, BLOCK)), jnp.zeros(BLOCK))
    try:
        jax.jit(siren_value_and_gradient(shape, spec)).lower(jnp.zeros(weights_lib.count(spec)), points).compile()
    except Exception as error:  # After any compiler error, automatic differentiation still works.
        warnings.warn(f'the fused SIREN kernel does not compile here and is not used: {error}', stacklevel=2)
        return False
    return True


def compiles_here(metadata: Mapping[str, Any], spec: WeightSpec) -> bool:
    """Tell whether this is a GPU on which the kernel supports this INR and compiles; warn if it does not compile."""
    if jax.default_backend() != 'gpu':
        return False
    try:
        shape = siren_shape(metadata, spec)
    except ValueError:
        return False
    return _compiles(shape, spec)


def siren_value_and_gradient(shape: SirenShape, spec: WeightSpec, *, interpret: bool | None = None) -> ValueAndGradient:
    """Return `hyperinr.fitting.loss.value_and_gradient` of a SIREN as one float32 kernel.

    Args:
      shape: shape of the SIREN.
      spec: layout of its weights.
      interpret: run the kernel in Pallas's interpreter; ``None``: only if the backend is not a GPU.
    """
    from jax.experimental import pallas as pl
    from jax.experimental.pallas import triton

    if interpret is None:
        interpret = jax.default_backend() != 'gpu'

    def both(flat: Array, points: Points) -> tuple[tuple[Array, Array], Array]:
        weights = weights_lib.unflatten(flat, spec)
        num_points = points.scale.size
        padding = -num_points % BLOCK
        coords, values = (jnp.pad(leaf, ((0, 0), (0, padding))) for leaf in (points.coords.T, points.values))
        scale = jnp.pad(points.scale, (0, padding))
        loss, errors, gradient = pl.pallas_call(
            functools.partial(_kernel, shape),
            out_shape=jax.eval_shape(lambda: (jnp.zeros(1), scale, weights)),
            interpret=interpret,
            compiler_params=triton.CompilerParams(num_warps=4, num_stages=1),
            name='siren_value_and_gradient',
        )(Points(coords, values, scale), weights)
        return (loss[0], errors[:num_points]), weights_lib.flatten(gradient, spec)

    return both


def _kernel(shape: SirenShape, points: Any, weights: Any, loss_ref: Any, errors_ref: Any, gradient: Any) -> None:
    """Compute one INR: from references to points, ``coords [D, N]``, and weights to loss, errors and gradient."""
    from jax.experimental import pallas as pl
    from jax.experimental.pallas import triton

    names = [f'layer_{layer}' for layer in range(shape.depth + 1)]
    output = names[-1]
    # The first matrix is kept as rows and the last as columns, because D and C are no powers of two.
    first = [weights['layer_0']['w'][row, :] for row in range(shape.coord_dims)]
    biases = [weights[name]['b'][:] for name in names[:-1]]
    hidden = [weights[name]['w'][:, :] for name in names[1:-1]]
    last = [weights[output]['w'][:, channel] for channel in range(shape.channels)]
    output_biases = [weights[output]['b'][channel] for channel in range(shape.channels)]
    product = functools.partial(triton.dot, allow_tf32=False)

    def block(number: jax.Array, sums: tuple) -> tuple:
        loss, first_sums, bias_sums, hidden_sums, last_sums, output_sums = sums
        here = pl.ds(number * BLOCK, BLOCK)
        x = [points.coords[row, here] for row in range(shape.coord_dims)]
        scale = points.scale[here]

        activations: list[Array] = []
        slopes: list[Array] = []
        for layer in range(shape.depth):
            omega = shape.hidden_omega_0 if layer else shape.omega_0
            if layer:
                z = product(hidden[layer - 1], activations[-1], trans_a=True)
            else:
                z = _outer_sum(first, x)
            z = omega * (z + biases[layer][:, None])
            activations.append(jnp.sin(z))
            slopes.append(omega * jnp.cos(z))

        errors, residuals = jnp.zeros_like(scale), []
        for channel in range(shape.channels):
            predicted = jnp.sum(last[channel][:, None] * activations[-1], axis=0) + output_biases[channel]
            residuals.append(predicted - points.values[channel, here])
            errors = errors + residuals[-1] * residuals[-1]
        errors_ref[here] = errors

        outward = [2 * scale * residual for residual in residuals]
        last_sums = [s + jnp.sum(activations[-1] * g[None], axis=1) for s, g in zip(last_sums, outward, strict=True)]
        output_sums = [s + jnp.sum(g) for s, g in zip(output_sums, outward, strict=True)]
        toward = _outer_sum(last, outward)
        bias_sums, hidden_sums = list(bias_sums), list(hidden_sums)
        for layer in reversed(range(shape.depth)):
            g = toward * slopes[layer]
            bias_sums[layer] = bias_sums[layer] + jnp.sum(g, axis=1)
            if layer:
                hidden_sums[layer - 1] = hidden_sums[layer - 1] + product(activations[layer - 1], g, trans_b=True)
                toward = product(hidden[layer - 1], g)
            else:
                first_sums = [s + jnp.sum(g * row[None], axis=1) for s, row in zip(first_sums, x, strict=True)]
        return loss + jnp.sum(errors * scale), first_sums, bias_sums, hidden_sums, last_sums, output_sums

    zeros = lambda leaves: [jnp.zeros_like(leaf) for leaf in leaves]
    start = jnp.float32(0), zeros(first), zeros(biases), zeros(hidden), zeros(last), zeros(output_biases)
    num_blocks = points.scale.shape[0] // BLOCK
    loss, first, biases, hidden, last, output_biases = jax.lax.fori_loop(0, num_blocks, block, start)
    loss_ref[0] = loss
    for row in range(shape.coord_dims):
        gradient['layer_0']['w'][row, :] = first[row]
    for name, bias in zip(names[:-1], biases, strict=True):
        gradient[name]['b'][:] = bias
    for name, matrix in zip(names[1:-1], hidden, strict=True):
        gradient[name]['w'][:, :] = matrix
    for channel in range(shape.channels):
        gradient[output]['w'][:, channel] = last[channel]
        gradient[output]['b'][channel] = output_biases[channel]


def _outer_sum(columns: Sequence[Array], rows: Sequence[Array]) -> Array:
    """Return ``sum_k columns[k] rows[k]^T``: ``[W], [n] -> [W, n]``."""
    outer = [column[:, None] * row[None, :] for column, row in zip(columns, rows, strict=True)]
    return functools.reduce(jnp.add, outer)
