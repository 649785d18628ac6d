"""Parts that were put together in Python, as gin text that builds the same parts."""

import inspect
import sys
import types
from functools import partial
from pathlib import Path

import numpy as np
import optax
import pytest

from hyperinr import datasets, encoders, hypernetworks, inrs, meta_learning
from hyperinr.config import applied, configured, describe, load_text
from hyperinr.errors import InputError
from hyperinr.training import in_python
from hyperinr.training.experiment import experiment

NUMBERS = {'num_steps': 1, 'batch_size': 1, 'seed': 0}


def composed(parts, *, trusted=False):
    """The arguments that `experiment` gets from the text of the parts."""
    text, unnamed = describe(parts)
    assert not unnamed
    resolved = load_text(text, trusted=trusted)
    assert load_text(resolved.text, trusted=trusted).text == resolved.text
    return resolved


FACTORIES = [
    *(('inr', factory) for factory in inrs.FAMILIES.values()),
    *(('encoder', getattr(encoders, name)) for name in encoders.__all__),
    *(
        ('hypernetwork', factory)
        for name in hypernetworks.__all__
        if 'encoder' in inspect.signature(factory := getattr(hypernetworks, name)).parameters
    ),
    ('learner', meta_learning.meta_learner),
    ('optimizer', meta_learning.adam_cosine),
    ('dataset', datasets.from_arrays),
]


def test_every_factory_of_hyperinr_has_a_name():
    assert len(FACTORIES) > 35
    for argument, factory in FACTORIES:
        named = composed({argument: factory}).value(f'experiment.experiment.{argument}')
        assert named.target.function is factory
        assert named.target.module.count('.') == 1, named.target.module


def test_arguments_reach_the_factory_as_they_are():
    literals = {'width': np.int64(8), 'depth': 2, 'omega_0': np.float32(5.5)}
    resolved = composed({'inr': partial(inrs.siren, **literals)})
    with applied(resolved):
        assert configured(inrs.siren)(channels=1).metadata == inrs.siren(channels=1, **literals).metadata
    train = {'train': Path('a') / 'b.npy', 'test': ['c.npy', 'd.npy'], 'data_range': (0, 4095)}
    values = composed({'dataset': partial(datasets.from_arrays, **train)})
    assert values.value('datasets.from_arrays.train') == 'a/b.npy'
    assert values.value('datasets.from_arrays.test') == ['c.npy', 'd.npy']
    assert values.value('datasets.from_arrays.data_range') == (0, 4095)


def test_a_factory_in_an_argument_is_called_and_another_function_is_passed():
    rates = partial(hypernetworks.only_leaves, rates=partial(hypernetworks.learned_rates, num_steps=3), pattern='.*')
    learner = partial(meta_learning.meta_learner, context_points=partial(meta_learning.every_kth, stride=2))
    resolved = composed({'hypernetwork': partial(hypernetworks.weight_heads, rates=rates), 'learner': learner})
    assert repr(resolved.value('hypernetworks.weight_heads.rates')) == '@hypernetworks.only_leaves()'
    assert repr(resolved.value('hypernetworks.only_leaves.rates')) == '@hypernetworks.learned_rates()'
    assert repr(resolved.value('meta_learning.meta_learner.context_points')) == '@meta_learning.every_kth()'
    drawn = composed({'dataset': partial(datasets.continuous_function, function=datasets.blobs)})
    assert repr(drawn.value('datasets.continuous_function.function')) == '@datasets.blobs'


def test_uses_of_one_factory_with_other_arguments_are_in_scopes(own_module):
    three = partial(own_module.one, size=3)
    part = partial(own_module.two, first=three, second=own_module.one, third=three)
    resolved = composed({'inr': part}, trusted=True)
    with applied(resolved):
        assert configured(own_module.two)(channels=1) == ((3, 5), (2, 5), (3, 5), 1)


def test_a_part_beside_keeps_its_arguments(own_module):
    part = partial(own_module.two, first=partial(own_module.one, size=3))
    text, _ = describe({'encoder': part}, beside=[own_module.one])
    resolved = load_text(f'{text}\nexperiment.experiment.inr = @own_parts.one\n')
    with applied(resolved):
        assert configured(own_module.one)() == (2, 5)
        assert configured(own_module.two)(channels=1)[0] == (3, 5)


@pytest.fixture(name='own_module')
def _own_module(monkeypatch):
    module = types.ModuleType('own_parts')
    exec(
        'def one(*, size=2, other=5): return size, other\n'
        'def two(*, channels, first=None, second=None, third=None): return first, second, third, channels\n',
        vars(module),
    )
    monkeypatch.setitem(sys.modules, 'own_parts', module)
    return module


def test_a_module_of_the_users_own_needs_trust(own_module):
    text, _ = describe({'inr': partial(own_module.one, size=4)})
    assert 'import own_parts\n' in text
    assert load_text(text).value('own_parts.one.size') == 4
    with pytest.raises(InputError, match=r"imports 'own_parts'.*trust=True"):
        load_text(text, trusted=False)


def local(*, channels):
    return channels


local.__module__ = '__main__'


@pytest.mark.parametrize(
    'part',
    [
        lambda channels: channels,
        local,
        partial(inrs.siren, initialisation=lambda: None),
        partial(inrs.siren, 3),
        partial(inrs.siren, initialisation=max),
        partial(inrs.siren, width=np.arange(3)),
        partial(optax.adam, learning_rate=optax.constant_schedule(0.1)),
    ],
)
def test_what_has_no_name_is_handed_back_and_says_so_when_it_is_built(part):
    text, unnamed = describe({'inr': part, 'encoder': encoders.constant})
    assert set(unnamed) == {'inr'}
    with applied(load_text(text, trusted=False)):
        made = configured(experiment)(**NUMBERS, dataset=None, hypernetwork=None, learner=None, optimizer=None)
        with pytest.raises(InputError, match=r'the inr of this model, .* hyperinr.load\(folder, inr=...\)'):
            made.inr(channels=3)


def test_data_in_memory_say_where_they_are_measured():
    text, _ = describe({'dataset': in_python.dataset})
    with applied(load_text(text, trusted=False)):
        made = configured(experiment)(
            **NUMBERS, inr=None, encoder=None, hypernetwork=None, learner=None, optimizer=None
        )
        with pytest.raises(InputError, match=r'given in Python.*evaluate\(model, dataset\)'):
            made.dataset()


def test_factories_in_a_part_without_a_name_are_called_too():
    rates = partial(hypernetworks.learned_rates, num_steps=3)
    _, unnamed = describe({'hypernetwork': partial(hypernetworks.weight_heads, rates=rates, trunk=iter([]))})
    assert isinstance(unnamed['hypernetwork'].keywords['rates'], type(hypernetworks.learned_rates()))
