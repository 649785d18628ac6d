"""The smallest whole meta-learner: one matrix maps the mean colour to a linear INR. Compiles in a moment."""

from collections.abc import Callable

import jax
import jax.numpy as jnp
import optax

from hyperinr import inrs, metrics
from hyperinr.training.experiment import Experiment
from hyperinr.types import Datapoint, DatasetSpec, Hypernetwork, Inr, InrWeights, Key, MetaLearner, Start, TrainState
from tests.training.tiny_run import tiny_dataset

__all__ = ['toy_experiment', 'toy_learner']


def toy_learner(
    spec: DatasetSpec,
    *,
    learning_rate: float = 0.1,
    optimizer: optax.GradientTransformation | None = None,
    on_trace: Callable[[], None] = lambda: None,
    poison: Callable[[jax.Array, TrainState], jax.Array] = lambda loss, state: loss,
) -> MetaLearner:
    """K = 0; every update draws noise from its key, so that a wrong key shows.

    Args:
      spec: of the data.
      learning_rate: of Adam.
      optimizer: another than Adam.
      on_trace: called whenever ``update`` is traced.
      poison: ``(loss, state) -> loss``, to break it.
    """
    channels, dims = spec.channels, spec.coord_dims
    optimizer = optimizer or optax.adam(learning_rate)

    def decode(params: dict, code: jax.Array) -> InrWeights:
        return {'layer_0': {'w': code[:-channels].reshape(dims, channels), 'b': code[-channels:]}}

    def encode(params: dict, datapoint: Datapoint) -> Start:
        code = jnp.mean(datapoint.values, axis=0) @ params['head']['w'] + params['head']['b']
        return Start(code, jnp.zeros((1, 1)))

    def init_params(key: Key, datapoint: Datapoint) -> dict:
        size = dims * channels + channels
        return {'head': {'b': jnp.zeros(size), 'w': jax.random.normal(key, (channels, size))}}

    hypernetwork = Hypernetwork(init_params, encode, decode, None)
    inr = Inr(lambda key, dims: {}, lambda weights, x: x @ weights['layer_0']['w'] + weights['layer_0']['b'][None], {})

    def init(key: Key, datapoint: Datapoint) -> TrainState:
        params_key, train_key = jax.random.split(key)
        params = init_params(params_key, datapoint)
        return TrainState(jnp.zeros((), jnp.int32), params, optimizer.init(params), params, train_key)

    def generate(params: dict, datapoint: Datapoint) -> InrWeights:
        return decode(params, encode(params, datapoint).code)

    def loss(params: dict, batch: Datapoint, key: Key, state: TrainState) -> jax.Array:
        values = jax.vmap(lambda each: inr.apply(generate(params, each), each.coords))(batch)
        value = jnp.mean(metrics.mean_squared_error(values, batch.values, batch.weight))
        value += 0.1 * jnp.sum(params['head']['w'] * jax.random.normal(key, params['head']['w'].shape))
        return poison(value, state)

    def gradient(state: TrainState, context: Datapoint, target: Datapoint) -> tuple[dict, dict]:
        on_trace()
        key = jax.random.fold_in(state.key, state.step)
        value, found = jax.value_and_grad(loss)(state.params, target, key, state)
        return found, {'loss': value}

    def apply_gradient(state: TrainState, gradient: dict) -> tuple[TrainState, dict]:
        updates, opt_state = optimizer.update(gradient, state.opt_state, state.params)
        params = optax.apply_updates(state.params, updates)
        return TrainState(state.step + 1, params, opt_state, params, state.key), {}

    def follow(params: dict, start: Start, datapoint: Datapoint, num_steps: int) -> tuple[InrWeights, jax.Array]:
        weights = decode(params, start.code)
        error = metrics.mean_squared_error(inr.apply(weights, datapoint.coords), datapoint.values, datapoint.weight)
        return jax.tree.map(lambda leaf: jnp.stack([leaf] * (num_steps + 1)), (weights, error))

    return MetaLearner(init, gradient, apply_gradient, follow, 0, hypernetwork, inr, lambda batch: 1e6)


def toy_experiment(
    *, num_steps: int = 7, batch_size: int = 8, seed: int = 0, dataset: Callable = tiny_dataset, **learner: object
) -> Experiment:
    """An `Experiment` of it; ``learner`` are the arguments of `toy_learner`."""
    return Experiment(dataset, lambda spec: toy_learner(spec, **learner), num_steps, batch_size, seed, inr=inrs.siren)
