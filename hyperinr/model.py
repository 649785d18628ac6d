"""A trained meta-learner ready for use: datapoints in, weights out."""

import dataclasses
import functools
import math
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import jax
import jax.numpy as jnp
import numpy as np

from hyperinr import coordinates, meta_learning
from hyperinr.annotations import checked
from hyperinr.arguments import check_datapoints, check_positive
from hyperinr.errors import InputError
from hyperinr.files.models import write_model
from hyperinr.fitting import FitResult, map_datapoints
from hyperinr.types import Array, Datapoint, DatasetSpec, Inr, InrWeights, MetaLearner, Params
from hyperinr.weights import check_evaluable, flatten, spec_of

__all__ = ['Model', 'on_grid']

MOST_POINTS = 2**16
"""Points that `on_grid` evaluates together. Smaller grids are padded to a power of two."""

MOST_GRID_POINTS = 2**31
"""Points of a reconstruction."""

OUTSIDE = 0.5
"""How far values may lie outside the data range, in its widths: held-out values may, but not those in other units."""


@dataclasses.dataclass(frozen=True, eq=False)
class Model:
    """A trained learner: its functions and its parameters.

    Attributes:
      learner: the trained meta-learner.
      params: parameters of its hypernetwork (the moving average of training).
      spec: specification of the training data.
      metadata: the origin, ``run``, ``step`` and so on, JSON-serialisable.
      config_text: gin text of the parts that the learner is made of, for `save`; ``None`` where nobody knows it.
    """

    learner: MetaLearner
    params: Params
    spec: DatasetSpec
    metadata: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    config_text: str | None = None

    @property
    def inr(self) -> Inr:
        """The evaluator of the weights that `generate` returns."""
        return self.learner.inr

    @functools.cached_property
    def _generate(self) -> Any:
        def generate(params: Params, datapoints: Datapoint) -> InrWeights:
            one = functools.partial(self.learner.generate, params)
            return _over_axes(one, jnp.ndim(datapoints.coords) - 2)(datapoints)

        return jax.jit(generate)

    @functools.cached_property
    def _reconstruct(self) -> Any:
        def reconstruct(weights: InrWeights, coords: Array) -> Array:
            num_axes = jnp.ndim(weights['layer_0']['b']) - 1
            return _over_axes(lambda weights: self.inr.apply(weights, coords), num_axes)(weights)

        return jax.jit(reconstruct)

    @functools.cached_property
    def _knows_points_by_grid(self) -> bool:
        """Whether the encoder reads the values, but not the coordinates: it takes all points to lie on its grid."""
        coords = coordinates.grid(self.spec.grid_shape or (), self.spec.layout)
        values = np.random.default_rng(0).uniform(*self.spec.data_range, (len(coords), self.spec.channels))
        label = None if self.spec.num_labels is None else np.asarray(0, np.int32)

        @jax.jit
        def code(coords: Array, values: Array) -> Any:
            datapoint = Datapoint(coords, values, np.ones(len(coords), np.float32), np.zeros((), np.int32), label)
            return self.learner.hypernetwork.encode(self.params, datapoint)

        values = values.astype(np.float32)
        usual, turned, other = code(coords, values), code(coords[::-1], values), code(coords, values[::-1])
        differ = lambda a, b: any(not np.array_equal(*pair) for pair in zip(*map(jax.tree.leaves, (a, b)), strict=True))
        return differ(usual, other) and not differ(usual, turned)

    def _check_grid(self, coords: np.ndarray, weight: np.ndarray) -> None:
        if self.spec.grid_shape is None:
            return
        grid = coordinates.grid(self.spec.grid_shape, self.spec.layout)
        if coords.shape[-2:] == grid.shape and (np.isclose(coords, grid, atol=1e-4).all(-1) | (weight <= 0)).all():
            return
        if self._knows_points_by_grid:
            raise InputError(
                f'the encoder of this model takes points to lie on its grid of {self.spec.grid_shape}, and these '
                f'coordinates are not coordinates.grid({self.spec.grid_shape}): resample the signal to that grid, or '
                'use a model with encoders.set_encoder or encoders.set_transformer.'
            )

    @checked
    def check(self, datapoints: Datapoint) -> None:
        """Refuse datapoints that the model cannot take. Values are checked only outside jax transformations.

        Raises:
          InputError: the number of channels or coordinate dimensions differs from ``spec``, values of positive weight
            are not finite or far outside its data range, a datapoint has no point of positive weight, or the points do
            not lie on the grid that the encoder expects.
        """
        check_datapoints(datapoints)
        dims, channels = jnp.shape(datapoints.coords)[-1], jnp.shape(datapoints.values)[-1]
        if (dims, channels) != (self.spec.coord_dims, self.spec.channels):
            raise InputError(
                f'the model takes {self.spec.coord_dims} coordinates and {self.spec.channels} channels a point; these '
                f'datapoints have {dims} and {channels}.'
            )
        if any(isinstance(leaf, jax.core.Tracer) for leaf in datapoints):
            return
        weight, values = np.asarray(datapoints.weight), np.asarray(datapoints.values)
        seen = values[weight > 0]
        low, high = self.spec.data_range
        if not np.isfinite(seen).all():
            raise InputError('the datapoints hold values that are not finite; give these points weight 0.')
        tolerance = OUTSIDE * (high - low)
        if seen.size and (seen.min() < low - tolerance or seen.max() > high + tolerance):
            raise InputError(
                f'the datapoints hold values from {seen.min():g} to {seen.max():g}; the model takes '
                f'[{low:g}, {high:g}]: rescale them.'
            )
        if not (weight > 0).any(axis=-1).all():
            raise InputError('a datapoint has no point of positive weight; leave it out.')
        self._check_grid(np.asarray(datapoints.coords), weight)

    @checked
    def generate(self, datapoints: Datapoint) -> InrWeights:
        """Predict weights: encode, adapt for the learner's number of training steps, decode.

        Works inside ``jax.jit``, ``jax.vmap`` and ``jax.grad``. Outside them it is compiled once per shape, and all
        devices share a batch.

        Args:
          datapoints: one (``coords [N, D]``), or several with any leading batch axes (``[B, N, D]``).

        Returns:
          Weights with the same leading axes, ``[B, ...]``.

        Raises:
          InputError: see `check`.

        Example:
          >>> model = hyperinr.load('runs/demo')  # doctest: +SKIP
          >>> weights = model.generate(datapoints)  # doctest: +SKIP
          >>> model.reconstruct(weights, (256, 256)).shape  # doctest: +SKIP
          (64, 256, 256, 3)
        """
        self.check(datapoints)
        datapoints = _in_float32(datapoints)
        traced = any(isinstance(leaf, jax.core.Tracer) for leaf in jax.tree.leaves((self.params, datapoints)))
        if traced or np.ndim(datapoints.coords) != 3:
            return self._generate(self.params, datapoints)
        steps = self.learner.num_steps
        weights = meta_learning.generate_batch(self.learner, self.params, datapoints, num_steps=steps)
        return jax.tree.map(jnp.asarray, weights)

    @checked
    def finetune(self, datapoints: Datapoint, *, num_steps: int, record_steps: Sequence[int] = ()) -> FitResult:
        """Generate weights and fine-tune them by the learner's own rule.

        Steps count from the hypernetwork's raw output, so the learner's adaptation steps are the first ones.

        Args:
          datapoints: leaves ``[B, ...]``.
          num_steps: >= 0.
          record_steps: increasing step counts at which the weights are returned.

        Returns:
          A `FitResult`.

        Raises:
          InputError: see `check` and `fitting.fit`.
        """
        self.check(datapoints)
        datapoints = _in_float32(datapoints)
        return meta_learning.finetune(
            self.learner, self.params, datapoints, num_steps=num_steps, record_steps=tuple(record_steps)
        )

    @checked
    def reconstruct(self, weights: InrWeights, shape: Sequence[int] | None = None) -> Array:
        """Evaluate weights on a grid of any resolution and of the data's layout.

        It goes in pieces of a few sizes that are compiled once.

        Args:
          weights: leaves ``[..., *tensor]`` with any leading axes.
          shape: shape of the grid; ``None``: the training data's.

        Returns:
          ``[..., *shape, C]``, not clipped to the data range. ``spec.to_source_units`` maps them to the units of the
          data.

        Raises:
          InputError: no ``shape`` is given and the training data have no grid.
        """
        grid_shape = self.spec.grid_shape if shape is None else tuple(shape)
        if grid_shape is None:
            raise InputError(f'the data of {self.spec.name!r} lie on no grid; give the shape to reconstruct.')
        check_positive('a reconstruction', shape=grid_shape)
        lead = np.ndim(weights.get('layer_0', {}).get('b', 0.0)) - 1
        first = jax.tree.map(lambda leaf: jax.ShapeDtypeStruct(np.shape(leaf)[lead:], jnp.float32), dict(weights))
        check_evaluable(self.inr, spec_of(first), coordinates.dims(grid_shape, self.spec.layout))
        jax.eval_shape(lambda weights: flatten(weights, spec_of(first)), weights)
        if math.prod(grid_shape) > MOST_GRID_POINTS:
            raise InputError(f'a grid of {grid_shape} has more than {MOST_GRID_POINTS} points; evaluate it in parts.')
        pieces = on_grid(lambda at: self._reconstruct(weights, at), grid_shape, self.spec.layout)
        values = jnp.concatenate(list(pieces), axis=-2)
        return values.reshape(*values.shape[:-2], *grid_shape, values.shape[-1])

    @checked
    def save(self, folder: str | os.PathLike, *, dtype: Literal['float32', 'float16'] = 'float32') -> None:
        """Write the model into a folder, from which `hyperinr.load` reads it anywhere.

        Args:
          folder: a new or empty folder, or that of an earlier saved model, which is replaced.
          dtype: type of the stored parameters; ``'float16'`` halves the size and rounds them.

        Raises:
          InputError: the folder holds something else, the parts of the model are not known, or a parameter is beyond
            float16.
          RunError: the disk is full.
        """
        if self.config_text is None:
            raise InputError(
                'this model was put together by hand, so nothing says what its parts are: save one that hyperinr.train '
                'or hyperinr.load returned.'
            )
        write_model(Path(folder), self.params, self.metadata, config=self.config_text, spec=self.spec, dtype=dtype)


def _in_float32(datapoints: Datapoint) -> Datapoint:
    """Return the datapoints with coordinates, values and weights of the type that the parameters have."""
    cast = lambda array: array if array.dtype == np.float32 else array.astype(np.float32)
    coords, values, weight = map(cast, (datapoints.coords, datapoints.values, datapoints.weight))
    return datapoints._replace(coords=coords, values=values, weight=weight)


def on_grid(
    evaluate: Callable[[np.ndarray], Any],
    shape: Sequence[int],
    layout: str = coordinates.PIXEL_CENTRES,
    coords: np.ndarray | None = None,
) -> Iterator[Any]:
    """Yield an INR's values on a grid, row-major, in pieces of one size that is compiled once.

    Args:
      evaluate: ``coords [n, D] -> [..., n, C]``.
      shape: shape of the grid.
      layout: where its samples lie, one of `coordinates.LAYOUTS`.
      coords: ``[*shape, D]``, for samples that lie elsewhere.

    Yields:
      ``[..., n, C]``; n is at most `MOST_POINTS`.
    """
    total = math.prod(shape)
    size = min(2 ** math.ceil(math.log2(total)), MOST_POINTS)
    flat = np.empty((0, 0)) if coords is None else coords.reshape(total, -1)
    for first in range(0, total, size):
        rows = np.minimum(np.arange(first, first + size), total - 1)
        at = coordinates.grid_rows(shape, rows, layout) if coords is None else flat[rows]
        yield evaluate(at)[..., : total - first, :]


def _over_axes(function: Callable[..., Any], num_axes: int) -> Callable[..., Any]:
    """Map ``function`` of one datapoint over ``num_axes`` leading axes."""
    for _ in range(num_axes):
        function = functools.partial(map_datapoints, function)
    return function
