"""The starts that `experiments.predict_then_finetune` compares, and its datasets.

A learned start is an experiment config with a few bindings. The study binds the dataset, the duration and the seed.
This module neither trains nor measures.
"""

import functools
from collections.abc import Mapping, Sequence
from typing import Any, Literal, NamedTuple

import jax
import numpy as np

from experiments.initialisation_lab import EXTRA
from hyperinr import config, datasets, inrs, library
from hyperinr import weights as weights_lib
from hyperinr.datasets.base import Dataset
from hyperinr.errors import InputError
from hyperinr.evaluation.starts import equal_feature_grid
from hyperinr.inrs.siren_variants import SIREN_VARIANTS, SirenVariant
from hyperinr.types import DatasetSpec, Inr

__all__ = [
    'DATA',
    'LEARNED',
    'RANDOM',
    'Data',
    'Learned',
    'bindings_of',
    'data_of',
    'num_parameters',
    'num_weights',
    'random_inr',
    'sized',
    'starts_for',
]

Kind = Literal['random', 'constant', 'hypernetwork', 'pretrained']
"""Origin of a start: random; shared by all datapoints; predicted from the datapoint; learned on other data."""
Tier = Literal[1, 2, 3]
"""1: compared on all data; 2: on photographs of 32 x 32; 3: only by name, and at full scale."""


class Learned(NamedTuple):
    """A trained start.

    Attributes:
      config: name of a config in ``gin_configs/experiment``.
      kind: see `Kind`.
      tier: see `Tier`.
      num_steps: K.
      bindings: bindings other than that of K.
      shown: the bindings that a row of docs/methods.md names beside the config.
      size: a binding with ``{}`` in place of the number that sets the trained parameters; ``None``: the INR sets them.
      needs: ``'images'`` if the start needs a grid, ``'labels'`` if every datapoint must have a class.
    """

    config: str
    kind: Kind
    tier: Tier
    num_steps: int
    bindings: tuple[str, ...] = ()
    shown: tuple[str, ...] = ()
    size: str | None = None
    needs: Literal['images', 'labels'] | None = None


UNITS = {'weight_tokens': 4, 'set_transformer': 32}
"""Numbers of which a size must be a multiple: heads of an attention, tokens of an embedding."""
STILL_FEATURES = (
    'siren.omega_0 = 20.0',
    'siren.hidden_omega_0 = 6.0',
    'meta_learner.loss = @meta_learning.mse()',
    'adam_cosine.learning_rate = 6e-4',
    'adam_cosine.clip_norm = 0.05',
)
"""Bindings for smooth features. Without them a hypernetwork without steps stays at the mean colour
(docs/decisions.md)."""


def _family(
    config: str, size: str, *, tier_of_k: Mapping[int, Tier], without_steps: tuple[str, ...] = ()
) -> dict[int, Learned]:
    """Return a hypernetwork's start for each K, with bindings for K = 0."""
    still = {0: (*STILL_FEATURES, *without_steps)}
    return {k: Learned(config, 'hypernetwork', tier, k, still.get(k, ()), size=size) for k, tier in tier_of_k.items()}


_NEAR = 'weight_heads.initial_delta = 0.02'
"""Binding for a nearly shared start, from which three steps reach a higher PSNR (docs/decisions.md)."""
_FAST_LATENT = ('modulations.head_gain = 1.0', 'modulations.initial_latent = 0.1')
"""Bindings for latents without steps, which the head alone sets."""
_ALL: Mapping[int, Tier] = {0: 2, 1: 2, 3: 2}
_FAMILIES = {
    'heads': {
        0: Learned('photo_patches_plain', 'hypernetwork', 1, 0, size='dense.embedding_dims = {}'),
        **_family('photo_patches_siren', 'weight_heads.trunk = ({},)', tier_of_k={1: 2, 2: 3}),
        3: Learned('photo_patches_siren', 'hypernetwork', 1, 3, (_NEAR,), size='weight_heads.trunk = ({},)'),
    },
    'low_rank': _family('photo_patches_low_rank', 'low_rank.trunk = ({},)', tier_of_k=_ALL),
    'film': _family(
        'photo_patches_film', 'modulations.latent_dims = {}', tier_of_k=_ALL, without_steps=_FAST_LATENT
    ),
    'pattern_composers': _family(
        'photo_patches_ipc', 'instance_pattern_composers.trunk = ({},)', tier_of_k=_ALL
    ),
    'trans_inr': _family('photo_patches_trans_inr', 'weight_tokens.width = {}', tier_of_k=_ALL),
    'chunked': _family('photo_patches_chunked', 'chunked.hidden = ({0}, {0})', tier_of_k=_ALL),
}  # fmt: skip
_FIRST_ORDER = 'meta_learner.first_order = True'
_ADDITIVE = "low_rank.combine = 'additive'"
_ONE_RATE = ("learned_rates.shared_by = 'code'", 'learned_rates.num_steps = 1')

LEARNED: Mapping[str, Learned] = {
    'maml': Learned('photo_patches_maml', 'constant', 2, 3, bindings=_ONE_RATE),
    'meta_sgd': Learned('photo_patches_maml', 'constant', 1, 3),
    'first_order_maml': Learned('photo_patches_maml', 'constant', 3, 3, (_FIRST_ORDER,), (_FIRST_ORDER,)),
    'reptile': Learned('photo_patches_reptile', 'constant', 2, 3),
    'anil': Learned('photo_patches_anil', 'constant', 3, 3),
    'functa': Learned('photo_patches_functa', 'constant', 1, 3, size='modulations.latent_dims = {}'),
    'latent_matrix': Learned('photo_patches_latent_matrix', 'constant', 3, 3, size='modulations.latent_dims = {}'),
    'gradncp': Learned('photo_patches_gradncp', 'constant', 3, 3, size='modulations.latent_dims = {}'),
    'strainer': Learned('photo_patches_strainer', 'constant', 2, 0),
    'auto_decoder': Learned('photo_patches_auto_decoder', 'constant', 3, 0),
    **{f'{family}_k{k}': start for family, starts in _FAMILIES.items() for k, start in starts.items()},
    'predicted_rates_k3': Learned(
        'photo_patches_predicted_rates', 'hypernetwork', 2, 3, (_NEAR,), size='weight_heads.trunk = ({},)'
    ),
    'thirds_k3': Learned('photo_patches_thirds', 'hypernetwork', 3, 3, size='weight_heads.trunk = ({},)'),
    'inpainting_k3': Learned('photo_patches_inpainting', 'hypernetwork', 3, 3, size='low_rank.trunk = ({},)'),
    'labels_k3': Learned(
        'mnist_5k_labels', 'hypernetwork', 3, 3, size='low_rank.trunk = ({},)', needs='labels'
    ),
    'lora_k3': _family('photo_patches_low_rank', 'low_rank.trunk = ({},)', tier_of_k={3: 3})[3]._replace(
        bindings=(_ADDITIVE,), shown=(_ADDITIVE,)
    ),
    'long_k16': Learned('photo_patches_long', 'hypernetwork', 3, 16, size='weight_heads.trunk = ({},)'),
    'noise_1f_k3': Learned('noise_images_siren', 'pretrained', 2, 3, ('noise_images.exponent = 1.0',), needs='images'),
    'noise_uniform_k3': Learned(
        'noise_images_siren', 'pretrained', 3, 3, ('noise_images.exponent = 0.0',), needs='images'
    ),
}  # fmt: skip
"""Name -> start. ``_k3``: trained through three steps."""

RANDOM: Mapping[str, tuple[SirenVariant | None, Tier]] = {
    'random_paper': (SIREN_VARIANTS['paper'], 1),
    'random_laboratory': (SIREN_VARIANTS['normal_first_1.5'], 1),
    'random_weight_scaled': (EXTRA['weight_scaling_2'], 2),
    'feature_grid': (None, 1),
}
"""Name -> scheme of the SIREN and tier. Scheme ``None``: a grid with as many parameters as the SIREN has weights."""


class Data(NamedTuple):
    """A dataset of the comparison.

    Attributes:
      factory: factory in `hyperinr.datasets`.
      options: its options.
      channels: C.
      images: whether the points lie on a two-dimensional grid.
      labels: whether every datapoint has a class.
    """

    factory: str
    options: Mapping[str, Any]
    channels: int = 3
    images: bool = True
    labels: bool = False

    def has(self, needed: Literal['images', 'labels'] | None) -> bool:
        """Return whether a start with these needs can be trained on the dataset."""
        return needed is None or (self.images if needed == 'images' else self.labels)

    def open(self) -> Dataset:
        """Open the dataset; prepare it on first use."""
        opened: Dataset = getattr(datasets, self.factory)(**self.options)
        return opened


DATA: Mapping[str, Data] = {
    'photo_patches_32': Data('photo_patches', {'resolution': (32, 32)}),
    'photo_patches_64': Data('photo_patches', {'resolution': (64, 64)}),
    'mnist_5k': Data('mnist_5k', {'resolution': (28, 28)}, channels=1, labels=True),
    'solids': Data(
        'solids',
        {'num_points': 2048, 'num_train': 320, 'num_validation': 20, 'num_test': 60},
        channels=1,
        images=False,
    ),
}
SMALL: Mapping[str, Mapping[str, Any]] = {
    'photo_patches_32': {'resolution': (16, 16), 'num_train': 64, 'num_validation': 4, 'num_test': 4},
    'photo_patches_64': {'resolution': (24, 24), 'num_train': 64, 'num_validation': 4, 'num_test': 4},
    'mnist_5k': {'resolution': (16, 16)},
    'solids': {'num_points': 128, 'num_train': 10, 'num_validation': 4, 'num_test': 4},
}
"""Options with which each dataset takes seconds."""


def data_of(name: str, *, small: bool = False) -> Data:
    """Return an entry of `DATA`, or its small version."""
    return DATA[name]._replace(options={**DATA[name].options, **SMALL[name]}) if small else DATA[name]


def starts_for(data: str, tier: Tier) -> list[str]:
    """Return the names of a dataset's starts up to a tier, random ones first."""
    random = [name for name, (_, own) in RANDOM.items() if own <= tier]
    learned = [name for name, start in LEARNED.items() if start.tier <= tier]
    return random + [name for name in learned if DATA[data].has(LEARNED[name].needs)]


def bindings_of(start: Learned, data: Data, *, width: int) -> list[str]:
    """Return the bindings that train a start on a dataset, except time and seed.

    Args:
      start: start of `LEARNED`.
      data: dataset to train on.
      width: width of the SIREN.
    """
    found = [*start.bindings, f'siren.width = {width}', f'meta_learner.num_steps = {start.num_steps}']
    resolved = config.load_config(f'experiment/{start.config}.gin')
    used = {setting.name.rpartition('.')[0].rpartition('.')[2] for setting in resolved.settings}
    for rates in ('learned_rates', 'predicted_rates'):
        if rates in used and not any(binding.startswith(f'{rates}.num_steps ') for binding in start.bindings):
            found.append(f'{rates}.num_steps = {max(1, start.num_steps)}')
    options = dict(data.options)
    if start.kind == 'pretrained':
        found.append(f'noise_images.resolution = {options["resolution"]}')
        return [*found, f'noise_images.channels = {data.channels}']
    if start.config == 'photo_patches_strainer':
        options['num_train'] = 10
    found.append(f'experiment.dataset = @datasets.{data.factory}')
    found += [f'{data.factory}.{name} = {value!r}' for name, value in options.items()]
    if not data.images and used & {'convolutional', 'residual', 'dense', 'patch_transformer'}:
        found.append('experiment.encoder = @encoders.set_transformer')
    elif 'patch_transformer' in used:
        height, width = options['resolution']
        side = 4 if height * width <= 32 * 32 else 8
        found += [f'patch_transformer.patch_size = {side}']
        found += [f'patch_transformer.embedding_dims = {16 * (height // side) * (width // side)}']
    return found


def num_parameters(start: Learned, bindings: Sequence[str], dataset: Dataset) -> int:
    """Return the number of trained parameters of a start, without allocating them."""
    with config.applied(config.load_config(f'experiment/{start.config}.gin', bindings)):
        init = library.compose().build(dataset.spec).init
    params = jax.eval_shape(init, jax.random.key(0), dataset.splits['validation'][0]).params
    return sum(leaf.size for leaf in jax.tree.leaves(params))


def sized(start: Learned, bindings: Sequence[str], data: Data, dataset: Dataset, count: int) -> list[str]:
    """Return the binding with the largest number of trained parameters up to ``count``.

    The list is empty for a start whose number of parameters follows from the INR.

    Raises:
      InputError: the start has more parameters even at its smallest size.
    """
    if start.size is None:
        return []
    size = start.size if data.images else start.size.replace('dense.', 'set_transformer.')

    unit = UNITS.get(size.partition('.')[0], 1)

    @functools.lru_cache
    def parameters(number: int) -> int:
        return num_parameters(start, [*bindings, size.format(unit * number)], dataset)

    first, second, third = (parameters(number) for number in (1, 2, 3))
    if first > count:
        raise InputError(f'{start.config} has at least {first:,} parameters; give a count above {count:,}.')
    # A number of units occurs at most twice in the shape of a tensor, so the count is a polynomial of degree 2.
    bend = (third - 2 * second + first) / 2
    slope = second - first - 3 * bend
    polynomial = np.polynomial.Polynomial([first - slope - bend - count, slope, bend])
    number = max(1, int(max(root.real for root in polynomial.roots()) + 1e-6))
    if not parameters(number) <= count < parameters(number + 1):
        raise AssertionError(f'{start.config}: {parameters(number):,} parameters at {number}, wanted are {count:,}.')
    return [size.format(unit * number)]


def random_inr(name: str, spec: DatasetSpec, *, width: int) -> Inr:
    """Return the INR of a random start."""
    variant, _ = RANDOM[name]
    if variant is None:
        return equal_feature_grid(spec, num_weights(random_inr('random_paper', spec, width=width), spec))
    low, high = spec.data_range
    return inrs.siren(
        channels=spec.channels,
        width=width,
        omega_0=variant.omega,
        hidden_omega_0=variant.omega,
        output_bias=(low + high) / 2,
        initialisation=variant.initialisation,
    )


def num_weights(inr: Inr, spec: DatasetSpec) -> int:
    """Return the number of weights P."""
    return weights_lib.count(weights_lib.spec_of_inr(inr, spec.coord_dims))
