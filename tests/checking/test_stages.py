"""The later stages, on small real configs: the clean ones pass, the mistakes are named."""

from collections.abc import Sequence

import pytest

from hyperinr import checking
from hyperinr.checking.findings import Stage
from hyperinr.config import applied, load_config
from hyperinr.library import compose
from tests.exhaustive import thin
from tests.tiny_runs import overrides

CONFIG = """
from __gin__ import dynamic_registration
from hyperinr.training import experiment
from tests.checking import mutations

include 'experiment/noise_images_siren.gin'
experiment.experiment.dataset = @mutations.faulty_images
{lines}
"""
SMALL = (
    'NUM_STEPS=400',
    'BATCH_SIZE=4',
    'siren.width=24',
    'siren.depth=2',
    'meta_learner.num_steps=1',
    'learned_rates.num_steps=1',
    'weight_heads.trunk=(8,)',
)
TINY_ENCODER = ('convolutional.embedding_dims=8', 'convolutional.base_channels=4', 'convolutional.num_stages=1')


@pytest.fixture(scope='module')
def check(tmp_path_factory):
    """``check(bindings, lines, stages=..., ...) -> stages`` of the config above with these gin lines and overrides."""
    folder = tmp_path_factory.mktemp('configs')

    def check(
        bindings: Sequence[str] = (),
        lines: str = '',
        *,
        encoder: Sequence[str] = TINY_ENCODER,
        name: str = '',
        **options,
    ) -> tuple[Stage, ...]:
        if not name:
            path = folder / 'mine.gin'
            path.write_text(CONFIG.format(lines=lines), encoding='utf-8')
            bindings = [*SMALL, *encoder, *bindings]
        with applied(load_config(name or str(path), bindings)):
            experiment = compose()
            return checking.check(
                experiment,
                experiment.dataset(),
                lambda num_steps: compose(num_steps=num_steps),
                options=checking.Options(**{'num_updates': 40, **options}),
                say=lambda stage: print('\n'.join(checking.lines(stage))),
            )

    return check


def codes(stages):
    return [finding.code for stage in stages for finding in stage.findings if finding.is_problem]


def test_a_clean_config_passes_and_says_what_it_will_cost(check):
    stages = check()
    assert codes(stages) == []
    assert [(stage.number, stage.passed, stage.reached) for stage in stages] == [(n, True, True) for n in (1, 2, 3, 4)]
    _, alone, single, short = (stage.numbers for stage in stages)
    assert alone['psnr_db'] > alone['target_psnr_db'] > alone['mean_psnr_db']
    assert single['psnr_db'] > single['first_psnr_db'] + 1
    assert single['alone_psnr_db'] == alone['psnr_db']
    assert short['psnr_db'] > short['first_psnr_db']
    assert short['expected_seconds'] == pytest.approx(400 * max(short['update_seconds'], short['input_seconds']))
    assert short['bytes_needed'] > 4 * 4 * 12 * 16 * 3
    # Everything that learns is listed, and the shares are those of one gradient.
    shares = short['gradient_share']
    assert {name.partition('/')[0] for name in shares} == {'base', 'encoder', 'heads', 'rates'}
    assert all(0 < share <= 1.0001 for share in shares.values())
    assert short['rates_change'] > 1e-3


@pytest.mark.exhaustive
@pytest.mark.parametrize(
    ('name', 'notes'),
    [
        ('photo_patches_auto_decoder', ['training.below_mean']),
        ('photo_patches_reptile', ['training.below_mean', 'training.rates_constant']),
    ],
)
def test_clean_configs_of_other_methods_pass(check, name, notes):
    name = f'experiment/{name}.gin'
    stages = check(overrides(name, num_steps=500), name=name, stages=(3, 4), num_updates=60)
    assert codes(stages) == []
    assert [finding.code for stage in stages for finding in stage.findings] == notes


PLAIN = 'meta_learner.num_steps=0'
TABLE = 'from hyperinr import encoders\nexperiment.experiment.encoder = @encoders.table\n'
FAULT = "mutations.faulty_images.fault = '{}'"
DEAD = 'experiment.experiment.encoder = @mutations.dead_encoder'
FROZEN = 'experiment.experiment.optimizer = @mutations.partly_frozen'
TEN = {
    'data scaled twice': ('data.scaled_twice', {'lines': FAULT.format('scaled twice')}),
    'transposed grid': ('data.transposed_grid', {'lines': FAULT.format('transposed grid')}),
    'omega 1': ('fit.too_smooth', {'bindings': ['siren.omega_0=1.0', 'siren.hidden_omega_0=1.0']}),
    'rate 100 times too high': (
        'training.rate_too_high',
        {'bindings': ['adam_cosine.learning_rate=0.03'], 'stages': (3,)},
    ),
    'dead encoder': ('training.dead_encoder', {'bindings': [PLAIN], 'lines': DEAD, 'encoder': (), 'stages': (4,)}),
    'frozen head': (
        'training.frozen_module',
        {'bindings': [PLAIN], 'lines': TABLE + FROZEN, 'encoder': (), 'stages': (4,)},
    ),
    'NaN pixel': ('data.not_finite', {'lines': FAULT.format('NaN pixel')}),
    'wrong channels': ('data.wrong_channels', {'lines': FAULT.format('one channel')}),
    'empty mask': ('data.empty_mask', {'lines': FAULT.format('empty mask')}),
    'memory too small': (
        'memory.too_small',
        {'bindings': [PLAIN], 'lines': TABLE, 'encoder': (), 'memory_gib': 1e-5, 'stages': (4,)},
    ),
}
"""Mistake -> the code that must name it, and how it is made. Without ``stages`` all four run."""


LABEL = 'from hyperinr import encoders\nexperiment.experiment.encoder = @encoders.label_embedding\n'
SET = 'from hyperinr import encoders\nexperiment.experiment.encoder = @encoders.set_encoder\n'
OF_DATA = 'mutations.faulty_images.{}'
FURTHER = {
    'width 1': ('fit.misses_target', {'bindings': ['siren.width=1']}),
    'hidden omega 0.3': ('fit.misses_target', {'bindings': ['siren.hidden_omega_0=0.3']}),
    'output bias 30': ('fit.misses_target', {'bindings': ['siren.output_bias=30.0']}),
    'values up to 255, as stated': (
        'fit.wrong_scale',
        {'lines': f'{FAULT.format("not scaled")}\n{OF_DATA.format("data_range=(0, 255)")}'},
    ),
    'coordinates count pixels': (
        'data.outside',
        {'lines': f'{SET}{FAULT.format("counted pixels")}\n{OF_DATA.format("grid=False")}', 'encoder': ()},
    ),
    'validation is training': ('data.leak', {'lines': OF_DATA.format('leak=True')}),
    'label encoder, one label': (
        'training.dead_encoder',
        {'bindings': [PLAIN], 'lines': LABEL + FAULT.format('one label'), 'encoder': (), 'stages': (4,)},
    ),
    'embedding of 1 dimension': (
        'training.dead_encoder',
        {'bindings': [PLAIN, 'convolutional.embedding_dims=1'], 'stages': (4,)},
    ),
    'inner rate 1e-9': ('start.inner_rate_too_low', {'bindings': ['learned_rates.initial=1e-9'], 'stages': (3,)}),
    'outer rate 1e-7': ('training.rate_too_low', {'bindings': ['adam_cosine.learning_rate=1e-7'], 'stages': (3,)}),
}
"""As `TEN`, of other kinds."""


FEW = ('transposed grid', 'omega 1', 'empty mask')


@pytest.mark.parametrize('mistake', thin(TEN | FURTHER, FEW.__contains__))
def test_a_mistake_is_named_and_nothing_else(check, mistake):
    code, changes = (TEN | FURTHER)[mistake]
    stages = check(**changes)
    assert codes(stages) == [code]
    failed = next(stage for stage in stages if not stage.passed)
    assert failed.reached
    assert not any(stage.reached for stage in stages if stage.number > failed.number)


def test_an_encoder_without_a_gradient_is_dead_too(check):
    lines = f"{DEAD}\nmutations.dead_encoder.kind = 'stopped'"
    stages = check([PLAIN], lines, encoder=(), stages=(4,))
    assert codes(stages) == ['training.dead_encoder']
    assert 'no gradient reaches the encoder' in stages[0].findings[0].message


def test_inner_steps_a_hundred_times_too_long_are_named(check):
    assert codes(check(['learned_rates.initial=10.0'], stages=(3,))) == ['start.inner_rate_too_high']
