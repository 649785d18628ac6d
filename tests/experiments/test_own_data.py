"""The comparison of starts on one's own data, shrunken: its configs, its table, and what goes on after a stop."""

import json

import numpy as np
import pytest

from experiments import own_data as study
from hyperinr import config
from hyperinr.errors import InputError
from tests.tiny_runs import DEFAULT, overrides

OMEGA_0 = 'inrs.siren.omega_0'


def row(start, *psnr_db, seed=0, **more):
    return {
        'key': f'row {start} {seed}',
        'start': start,
        'seed': seed,
        'weights': 9,
        'psnr_db': list(psnr_db),
        'figures': {},
        **more,
    }


@pytest.mark.parametrize('name', [each for each in config.available() if each.endswith('_siren.gin')])
def test_learned_starts_are_the_config_with_other_parts(name):
    given = config.load_config(name)
    for label, start in study.STARTS.items():
        bindings = [each.format(omega_0=given.value(OMEGA_0), latent_rate=0.5) for each in start.bindings]
        found = config.load_config(name, bindings, also=start.parts, allow_unused=True)
        kept = ('experiment.experiment.dataset', OMEGA_0, 'inrs.siren.width')
        assert [found.value(each) for each in kept] == [given.value(each) for each in kept]
        encoder = repr(found.value('experiment.experiment.encoder')).rpartition('.')[2]
        assert (encoder == 'constant') == (label != 'generated')
        heads = repr(found.value('experiment.experiment.hypernetwork')).rpartition('.')[2]
        assert (heads == 'modulations') == (label == 'latent')
        if label == 'latent':
            assert found.value(study.RATES[0]) == 0.5


def test_the_table_averages_seeds_and_counts_the_steps_to_the_third():
    steps = {'steps': [0, 1, 2, 3, 4]}
    rows = [
        row('generated', 10, 14, 18, 20, 22, updates=1200, figures={'iou': [0.5, 0.6, 0.7, 0.8, 0.9]}, **steps),
        row('generated', 10, 14, 18, 22, 24, updates=1200, seed=1),
        row('random', 5, 10, 15, 20, 21, figures={'iou': [0.1, 0.2, 0.8, 0.9, 0.9]}, **steps),
        row('grid', 5, 10, 15, 16, 17),
        {'key': 'row meta_sgd 0', 'start': 'meta_sgd', 'seed': 0, 'failed': 'it diverged'},
    ]
    lines = [[cell.strip() for cell in line.strip('|').split('|')] for line in study.table(rows).splitlines()]
    assert lines[0] == ['start', 'weights', 'updates', 'seeds', '0 steps', '1 steps', '2 steps', '3 steps',
                        'steps to 21.0']  # fmt: skip
    assert lines[2] == ['generated', '9', '1,200', '2', '10.0', '14.0', '18.0', '21.0', '3']
    assert lines[3][-1] == '4'
    assert lines[4][-2:] == ['16.0', '> 4']
    assert lines[5][:2] == ['meta_sgd', 'failed']
    assert lines[7] == ['IoU', '0 steps', '1 steps', '2 steps', '3 steps', 'steps to 0.800']
    assert lines[10] == ['random', '0.100', '0.200', '0.800', '0.900', '2']


def test_a_table_of_failures_says_so():
    rows = [{'key': 'row generated 0', 'start': 'generated', 'seed': 0, 'failed': 'it diverged'}]
    assert study.table(rows).splitlines()[-1] == '| generated | failed | - | - | - |'
    rows.append(row('random', 5, None, 15, 20, 21))
    assert study.table(rows).splitlines()[2].count('nan') == 1


@pytest.mark.parametrize(
    ('name', 'options', 'message'),
    [
        (DEFAULT, {'only': ['maml']}, 'starts are generated, meta_sgd, latent, random, grid, not maml'),
        (DEFAULT, {'seeds': 0}, 'seeds is 0; it must be at least 1'),
        ('experiment/images_64_siren.gin', {}, 'signal_folder.path'),
        ('experiment/nothing.gin', {}, 'nothing.gin'),
    ],
)
def test_wrong_names_numbers_and_data_are_refused(name, options, message, tmp_path):
    with pytest.raises(InputError, match=message):
        study.run(study.Protocol(name), tmp_path, **options)
    assert not list(tmp_path.iterdir())


@pytest.mark.exhaustive
def test_a_comparison_goes_on_after_a_stop(tmp_path, monkeypatch):
    monkeypatch.setattr(study, 'use_compilation_cache', lambda folder: folder)
    monkeypatch.setattr(study, 'updates_within', lambda *arguments, **options: 4)
    monkeypatch.setattr(study, 'SCHEMES', ('paper',))
    bindings = tuple(each for each in overrides(DEFAULT) if not each.startswith('meta_learner.num_steps'))
    protocol = study.Protocol(
        DEFAULT, bindings, num_steps=5, search_steps=4, num_search=2, search_points=64, num_test=2
    )
    # The search itself has tests; here it takes the higher of the first frequencies, and any rule.
    rule_of = lambda beginning: study.curves.Rule('adam' if beginning.num_steps == 0 else 'warm_amsgrad', 1e-3, False)
    score = lambda beginning: beginning.inr.metadata.get('omega_0', 0.0)
    found = lambda beginning, *arguments, **options: (score(beginning), rule_of(beginning))
    monkeypatch.setattr(study.curves, 'best_scored_rule', found)
    follow, calls = study.curves.follow, []

    def interrupted(*arguments, **options):
        calls.append(1)
        if len(calls) == 2:
            raise KeyboardInterrupt
        return follow(*arguments, **options)

    monkeypatch.setattr(study.curves, 'follow', interrupted)
    with pytest.raises(KeyboardInterrupt):
        study.run(protocol, tmp_path, only=['meta_sgd', 'random', 'grid'])
    before = (tmp_path / 'own_data.rows.jsonl').read_text()
    path = study.run(protocol, tmp_path, only=['meta_sgd', 'random', 'grid'])
    assert (tmp_path / 'own_data.rows.jsonl').read_text().startswith(before)
    found = json.loads(path.read_text())
    assert [each['start'] for each in found['rows']] == ['meta_sgd', 'random', 'grid']
    learned, random, grid = found['rows']
    assert learned['updates'] == 4
    assert learned['parameters'] > random['parameters'] == 0
    assert random['random'] == f'omega_0 = {30 * max(study.FACTORS):g}, paper'
    assert abs(grid['weights'] - random['weights']) < 0.2 * random['weights']
    for each in found['rows']:
        assert len(each['psnr_db']) == 6
        assert each['psnr_db'][-1] > each['psnr_db'][0]
        at_steps = np.mean(each['psnr_db_per_datapoint'], axis=0)
        np.testing.assert_allclose(at_steps, np.array(each['psnr_db'])[each['steps']], atol=2e-3)
    assert 'grid' in path.with_suffix('.md').read_text()
    with pytest.raises(InputError, match='another protocol'):
        study.run(protocol._replace(num_test=3), tmp_path)
