"""Starts of the INRs of a neural dataset: random, one random start for all, generated, or meta-learned."""

import hashlib
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from hyperinr import meta_learning
from hyperinr.errors import InputError
from hyperinr.files.weights import check_same_inr
from hyperinr.model import Model
from hyperinr.types import Array, Datapoint, DatasetSpec, Inr, InrWeights

__all__ = ['StartMaker', 'StartRule', 'generated', 'make_starts', 'meta_learned', 'random', 'shared']


class StartRule(NamedTuple):
    """A kind of start and its parameters.

    Attributes:
      kind: one of `description.START_KINDS`.
      run: run directory of the model; empty if no model is needed.
      noise: standard deviation of a normal perturbation, relative to that of each tensor of the start. It makes the
        INRs of several seeds differ.
      metric_power: power of `meta_learning.learned_metric`, which scales the steps by the run's learned rates; 0: no
        scaling.
    """

    kind: str
    run: str = ''
    noise: float = 0.0
    metric_power: float = 0.0


class StartMaker(NamedTuple):
    """The functions that a start rule gives.

    Attributes:
      weights: ``(seeds [B], datapoints [B, ...]) -> weights [B, ...]``; each depends only on its seed and signal.
      step_scale: ``datapoints [B, ...] ->`` factors of the optimiser's updates, leaves ``[B, ...]``; ``None``: 1.
      about: the entry in ``dataset.json``.
    """

    weights: Callable[[np.ndarray, Datapoint], InrWeights]
    step_scale: Callable[[Datapoint], InrWeights | None]
    about: dict[str, Any]


def random() -> StartRule:
    """Start every INR at a fresh `Inr.init`, whose key depends on seed and signal."""
    return StartRule('random')


def shared() -> StartRule:
    """Start all INRs of a seed at one fresh `Inr.init`, so that their weights can be compared entry by entry."""
    return StartRule('shared')


def generated(*, run: str, noise: float = 0.0, metric_power: float = 0.5) -> StartRule:
    """Start each INR at the weights that a run's model generates for its signal, after the model's adaptation steps.

    Args:
      run: directory of ``hyperinr train``.
      noise: see `StartRule`; drawn for each seed and signal.
      metric_power: see `StartRule`.
    """
    return StartRule('generated', run, noise, metric_power)


def meta_learned(*, run: str, noise: float = 0.0, metric_power: float = 0.5) -> StartRule:
    """Start all INRs at the shared start of a run: the base of its hypernetwork, or MAML's initialisation.

    Args:
      run: directory of ``hyperinr train``.
      noise: see `StartRule`; drawn for each seed, so that all signals of a seed still share one start.
      metric_power: see `StartRule`.
    """
    return StartRule('meta_learned', run, noise, metric_power)


def make_starts(
    rule: StartRule, inr: Inr, spec: DatasetSpec, *, num_seeds: int, load_model: Callable[[str], Model]
) -> StartMaker:
    """Make the functions that give the starts of a neural dataset.

    Args:
      rule: the start rule.
      inr: the INR to fit.
      spec: specification of the signals. Their ``row`` counts for a model of the same data alone.
      num_seeds: number of seeds of the neural dataset.
      load_model: run directory -> `Model`.

    Raises:
      InputError: the run is missing or has another INR, or all seeds would give the same INRs.
    """
    if rule.kind in ('random', 'shared'):
        each_signal = rule.kind == 'random'

        def fresh(seed: Array, signal: Array) -> InrWeights:
            key = jax.random.key(seed)
            return inr.init(jax.random.fold_in(key, signal) if each_signal else key, spec.coord_dims)

        vectorised = jax.jit(jax.vmap(fresh))
        return StartMaker(
            lambda seeds, batch: vectorised(jnp.asarray(seeds, jnp.uint32), jnp.asarray(batch.index)),
            lambda batch: None,
            {'kind': rule.kind},
        )
    if num_seeds > 1 and rule.noise <= 0:
        raise InputError(
            f'a {rule.kind} start is the same for all {num_seeds} seeds, which would give the same INRs; '
            f'set starts.{rule.kind}.noise > 0 or give one seed.'
        )
    model = load_model(rule.run)
    check_same_inr(model.inr.metadata, inr, f'the run {rule.run}')
    # Runs of older versions state no kind.
    is_same = model.spec._replace(kind=spec.kind) == spec
    known = lambda batch: batch if is_same else batch._replace(row=None)
    about = {
        'kind': rule.kind,
        'run': rule.run,
        'step': model.metadata.get('step'),
        'parameters_sha256': _digest(model),
        'noise': rule.noise,
        'metric_power': rule.metric_power,
    }
    if rule.kind == 'generated':
        plain: Callable[[Datapoint], InrWeights] = lambda batch: model.generate(known(batch))
    else:
        base = model.learner.hypernetwork.base
        if base is None:
            raise InputError(f'{rule.run} learned no start that all signals share; use starts.generated.')
        constant = base(model.params)
        plain = lambda batch: jax.tree.map(
            lambda leaf: jnp.broadcast_to(leaf, (len(batch.index), *jnp.shape(leaf))), constant
        )
    perturb = jax.jit(jax.vmap(_perturbed, in_axes=(0, 0, 0, None)))

    def starts(seeds: np.ndarray, batch: Datapoint) -> InrWeights:
        weights = plain(batch)
        if rule.noise <= 0:
            return weights
        signals = batch.index if rule.kind == 'generated' else np.zeros(len(batch.index), np.int32)
        return perturb(weights, jnp.asarray(seeds, jnp.uint32), jnp.asarray(signals), rule.noise)

    def step_scale(batch: Datapoint) -> InrWeights | None:
        if not rule.metric_power:
            return None
        return meta_learning.learned_metric(model.learner, model.params, known(batch), power=rule.metric_power)

    return StartMaker(starts, step_scale, about)


def _perturbed(weights: InrWeights, seed: Array, signal: Array, noise: Array) -> InrWeights:
    leaves, structure = jax.tree.flatten(weights)
    keys = jax.random.split(jax.random.fold_in(jax.random.key(seed), signal), len(leaves))
    moved = lambda leaf, key: leaf + noise * jnp.std(leaf) * jax.random.normal(key, leaf.shape)
    return jax.tree.map(moved, weights, jax.tree.unflatten(structure, list(keys)))


def _digest(model: Model) -> str:
    digest = hashlib.sha256()
    for path, leaf in jax.tree.leaves_with_path(model.params):
        digest.update(jax.tree_util.keystr(path).encode())
        digest.update(np.ascontiguousarray(leaf).tobytes())
    return digest.hexdigest()
