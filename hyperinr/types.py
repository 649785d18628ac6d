"""The contracts between the parts: datapoint, INR, encoder, hypernetwork and meta-learner.

Letters, here and everywhere: ``N`` coordinates of one datapoint, ``D`` coordinate dimensions, ``C`` channels,
``B`` datapoints of a batch, ``P`` weights of one INR, ``K`` adaptation steps, ``E`` dimensions of an embedding.

Every function is written for **one** datapoint; the caller applies ``jax.vmap``, ``jax.lax.map`` or ``jax.pmap``.
A batch is the same structure with a leading axis ``[B, ...]`` on every leaf.
"""

import math
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

__all__ = [
    'Array',
    'Code',
    'DatasetSpec',
    'Datapoint',
    'Encoder',
    'Hypernetwork',
    'Inr',
    'InrWeights',
    'Key',
    'MetaLearner',
    'Metrics',
    'Params',
    'Start',
    'TrainState',
]

MAX_SIZE = 2**28
"""Most points of a signal, and most of anything else that a file counts: 2 GiB of coordinates on a plane."""

Array = jax.Array | np.ndarray
Key = jax.Array
"""A typed key of ``jax.random.key``."""
Params = Any
"""Parameters of a Haiku module: a nested mapping of arrays."""
Code = Any
"""What belongs to one datapoint alone: all weights, a change of weights, or a latent. Any pytree of arrays."""
InrWeights = Mapping[str, Mapping[str, Array]]
"""Weights of one INR: ``{'layer_0': {'w': [in, out], 'b': [out]}, 'layer_1': ...}``, see `Inr`."""
Metrics = Mapping[str, Array]
"""Scalars by name."""


class Datapoint(NamedTuple):
    """Samples of one signal.

    A point of weight 0 is as if it were not there: no result depends on its coordinates and values, which may be
    anything, NaN included. At least one point of a datapoint has a positive weight.

    Attributes:
      coords: ``[N, D]`` in [-1, 1].
      values: ``[N, C]`` in the ``data_range`` that the dataset's spec states.
      weight: ``[N]`` >= 0, finite. Zero marks padding and held-out points. Any other number is an importance.
      index: ``[]`` int32 >= 0, the position in its source: where the datapoint comes from, and what its draws of points
        depend on. It selects no parameters.
      label: ``[]`` int32 in [0, num_labels), the class. ``None`` if the dataset has no classes; ``None`` is not a leaf
        of the pytree.
      row: ``[]`` int32, the row of a learned table that belongs to the datapoint (auto-decoders). Training sets it;
        ``None`` or a negative number for a datapoint that training does not see.
    """

    coords: Array
    values: Array
    weight: Array
    index: Array  # type: ignore[assignment]  # shadows tuple.index, which is not used here
    label: Array | None = None
    row: Array | None = None

    def counted(self) -> 'Datapoint':
        """Return the datapoint with coordinates and values 0 at the points of weight 0; any batch axes.

        Under differentiation a weight of 0 is not enough: 0 times a derivative that is not finite is not 0.
        """
        arrays = self.coords, self.values, self.weight
        numpy: Any = np if all(isinstance(array, np.ndarray) for array in arrays) else jnp
        counts = numpy.asarray(self.weight)[..., None] > 0
        return self._replace(coords=numpy.where(counts, self.coords, 0), values=numpy.where(counts, self.values, 0))


def _mapped(values: Array, before: tuple[float, float], after: tuple[float, float]) -> Array:
    return after[0] + (values - before[0]) * ((after[1] - after[0]) / (before[1] - before[0]))


def _is_range(low: float, high: float) -> bool:
    return math.isfinite(low) and math.isfinite(high) and low < high


class DatasetSpec(NamedTuple):
    """What all datapoints of a dataset have in common.

    Attributes:
      name: the dataset's name, for logs and metadata.
      grid_shape: ``(height, width)`` (or the sizes of other axes) when the N points are a row-major grid of ``layout``;
        ``None`` when they are scattered.
      num_points: N.
      coord_dims: D.
      channels: C.
      data_range: ``(low, high)``, the range of ``values``.
      num_datapoints: size of the training split, whose ``index`` runs from 0; ``None`` when not known.
      num_labels: number of classes; ``None`` when the datapoints have no label.
      kind: name of the kind of signal, one of `hyperinr.kinds.KINDS`; ``None`` when not known.
      layout: where the samples of a grid lie, one of `hyperinr.coordinates.LAYOUTS`; also where there is no common
        ``grid_shape``.
      spacing: distance of neighbouring samples along each axis of the grid, in the kind's unit (seconds, millimetres);
        ``None`` when it does not matter.
      source_range: values of the source, in its own units, that lie at the ends of ``data_range``; ``None``: each
        file's own, as its kind's reader finds them.
    """

    name: str
    grid_shape: tuple[int, ...] | None
    num_points: int
    coord_dims: int
    channels: int
    data_range: tuple[float, float]
    num_datapoints: int | None = None
    num_labels: int | None = None
    kind: str | None = None
    layout: str = 'pixel_centres'
    spacing: tuple[float, ...] | None = None
    source_range: tuple[float, float] | None = None

    @classmethod
    def from_json(cls, fields: Mapping[str, Any]) -> 'DatasetSpec':
        """Return the specification whose fields were written as JSON, which turns tuples into lists.

        Raises:
          ValueError, TypeError: a field is missing, of a wrong type or outside its range.
        """
        read: Any = {name: tuple(each) if isinstance(each, list) else each for name, each in fields.items()}
        found = cls(**read)
        is_size = lambda value, least=1: type(value) is int and least <= value <= MAX_SIZE
        grid, (low, high) = found.grid_shape, found.data_range
        right = {
            'name': isinstance(found.name, str),
            'num_points': is_size(found.num_points, 0),
            'grid_shape': grid is None or (all(map(is_size, grid)) and math.prod(grid) == found.num_points),
            'layout': found.layout in ('pixel_centres', 'sphere')
            and (found.layout != 'sphere' or (found.coord_dims == 3 and (grid is None or len(grid) == 2))),
            'coord_dims': is_size(found.coord_dims)
            and (grid is None or found.layout == 'sphere' or found.coord_dims == len(grid)),
            'channels': is_size(found.channels),
            'data_range': _is_range(low, high),
            'num_datapoints': found.num_datapoints is None or is_size(found.num_datapoints),
            'num_labels': found.num_labels is None or is_size(found.num_labels),
            'kind': found.kind is None or isinstance(found.kind, str),
            'source_range': found.source_range is None or _is_range(*found.source_range),
            'spacing': found.spacing is None
            or all(type(each) is float and 0 < each < math.inf for each in found.spacing),
        }
        if not all(right.values()):
            name = next(name for name, is_right in right.items() if not is_right)
            raise ValueError(f'wrong {name}: {getattr(found, name)!r}')
        return found

    def to_source_units(self, values: Array) -> Array:
        """Return values ``[...]`` of the data range in units of the source (kelvin, ...); as they are without them.

        Example:
          >>> spec = DatasetSpec('soil', None, 8, 2, 1, (0.0, 1.0), source_range=(250.0, 310.0))
          >>> spec.to_source_units(np.array([0.0, 0.5])), spec.from_source_units(np.array([310.0]))
          (array([250., 280.]), array([1.]))
        """
        return values if self.source_range is None else _mapped(values, self.data_range, self.source_range)

    def from_source_units(self, values: Array) -> Array:
        """Return values ``[...]`` of the source in the data range: the inverse of `to_source_units`."""
        return values if self.source_range is None else _mapped(values, self.source_range, self.data_range)

    def zeros(self, *batch: int) -> Datapoint:
        """Return a datapoint ``[...]``, or a batch ``[*batch, ...]``, of the right shapes and types."""
        points, index = (*batch, self.num_points), np.zeros(batch, np.int32)
        coords, values = (np.zeros((*points, size), np.float32) for size in (self.coord_dims, self.channels))
        label = None if self.num_labels is None else index
        return Datapoint(coords, values, np.zeros(points, np.float32), index, label)


class Inr(NamedTuple):
    """A functional evaluator of an implicit neural representation.

    Attributes:
      init: ``(key, coord_dims) -> InrWeights``; consumes the key.
      apply: ``(weights, coords [N, D]) -> values [N, C]``.
      metadata: what a reader of stored weights needs to evaluate them, JSON-serialisable:
        ``{'kind': 'siren', 'omega_0': 30.0, ...}``.

    Other parts rely on the names in the weights. ``layer_0``, ``layer_1``, ... are the linear maps ``w^T h + b`` along
    the network, with ``w: [in, out]`` and ``b: [out]``. A layer may hold further tensors. The last one is the output
    layer: its ``b: [C]`` is added to the values. Other names, like ``filter_0`` and ``grid_0``, sort before
    ``layer_0``. So the output layer is the last one in the order of `hyperinr.weights.WeightSpec.layers`.
    """

    init: Callable[[Key, int], InrWeights]
    apply: Callable[[InrWeights, Array], Array]
    metadata: Mapping[str, Any]


class Encoder(NamedTuple):
    """A map from a datapoint to an embedding.

    Attributes:
      init: ``(key, datapoint) -> Params``; consumes the key.
      apply: ``(params, datapoint) -> embedding [E]``.
    """

    init: Callable[[Key, Datapoint], Params]
    apply: Callable[[Params, Datapoint], Array]


class Start(NamedTuple):
    """Where the adaptation of one datapoint begins, and the step sizes it takes.

    Attributes:
      code: any pytree.
      rates: a pytree of the code's structure. A leaf has a leading axis of K steps, or of 1 if every step is the same.
        Its other axes broadcast against the code's leaf: ``[K, 1, 1]`` per layer, ``[K, in, out]`` per parameter.
    """

    code: Code
    rates: Code


class Hypernetwork(NamedTuple):
    """A map from a datapoint to a code, and from the code to weights.

    Attributes:
      init: ``(key, datapoint) -> Params``; consumes the key.
      encode: ``(params, datapoint) -> Start``.
      decode: ``(params, code) -> InrWeights``.
      base: ``(params) -> InrWeights``, the learned constant weights that the weights of all datapoints vary around;
        ``None`` if the hypernetwork has none.
    """

    init: Callable[[Key, Datapoint], Params]
    encode: Callable[[Params, Datapoint], Start]
    decode: Callable[[Params, Code], InrWeights]
    base: Callable[[Params], InrWeights] | None


class TrainState(NamedTuple):
    """Everything that one update passes to the next; a checkpoint holds exactly this.

    Attributes:
      step: ``[]`` int32, the number of updates done.
      params: the hypernetwork's parameters.
      opt_state: the outer optimiser's state.
      average: exponential moving average of ``params``, which generates weights. It equals ``params`` when the learner
        keeps no average.
      key: constant; the randomness of an update comes from ``key`` and ``step``.
    """

    step: Array
    params: Params
    opt_state: Any
    average: Params
    key: Key


class MetaLearner(NamedTuple):
    """The functions that train a hypernetwork and use it.

    Attributes:
      init: ``(key, datapoint) -> TrainState``; consumes the key.
      gradient: ``(state, context, target) -> (gradient, Metrics)`` of the mean loss of a batch ``[B, ...]``. The
        learner observes ``context`` and measures the loss on ``target``. Reads ``step``, ``params`` and ``key``.
      apply_gradient: ``(state, gradient) -> (TrainState, Metrics)``, the outer optimiser's step.
      follow: ``(params, start, datapoint, num_steps) -> (InrWeights, errors)``, the adaptation from an encoded
        datapoint. Returns the weights after 0, 1, ... steps, leaves ``[num_steps + 1, ...]``, and their mean squared
        errors ``[num_steps + 1]``. Steps beyond the K of training use the last learned rates.
      num_steps: K, the number of adaptation steps in training.
      hypernetwork: the hypernetwork that is trained.
      inr: the evaluator of the hypernetwork's weights.
      flops: ``(batch [B, ...]) -> `` floating-point operations of the INRs' matrix products in one update.
      observe: ``(key, datapoint) -> context``, the part of a datapoint that training shows: the datapoint with weight 0
        on the hidden points. `gradient` applies it to its context; evaluation applies it by itself. `generate` and
        `adapt` treat their datapoint as observed already. Consumes the key.
    """

    init: Callable[[Key, Datapoint], TrainState]
    gradient: Callable[[TrainState, Datapoint, Datapoint], tuple[Params, Metrics]]
    apply_gradient: Callable[[TrainState, Params], tuple[TrainState, Metrics]]
    follow: Callable[[Params, Start, Datapoint, int], tuple[InrWeights, Array]]
    num_steps: int
    hypernetwork: Hypernetwork
    inr: Inr
    flops: Callable[[Datapoint], float]
    observe: Callable[[Key, Datapoint], Datapoint] = lambda key, datapoint: datapoint

    def update(
        self, state: TrainState, context: Datapoint, target: Datapoint, *, axis_name: str | None = None
    ) -> tuple[TrainState, Metrics]:
        """Take one outer step on a batch ``[B, ...]``. Gradients are averaged over the mapped axis ``axis_name``."""
        gradient, measured = self.gradient(state, context, target)
        if axis_name is not None:
            gradient, measured = jax.lax.pmean((gradient, measured), axis_name)
        applied, norms = self.apply_gradient(state, gradient)
        return applied, {**measured, **norms}

    def adapt(self, params: Params, datapoint: Datapoint, num_steps: int) -> InrWeights:
        """Return the weights of one datapoint after 0, 1, ... steps, leaves ``[num_steps + 1, ...]``."""
        return self.follow(params, self.hypernetwork.encode(params, datapoint), datapoint, num_steps)[0]

    def generate(self, params: Params, datapoint: Datapoint) -> InrWeights:
        """Return the weights of one datapoint: encode, adapt ``num_steps``, decode."""
        return jax.tree.map(lambda leaf: leaf[-1], self.adapt(params, datapoint, self.num_steps))
