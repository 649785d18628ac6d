"""What is said about rows of known content."""

import json

import numpy as np
import pytest

from experiments import finetuning_summary as summary
from experiments import predict_then_finetune_report as report
from hyperinr.errors import InputError

STEPS = [0, 1, 2, 3, 10, 30, 100]


def row(start, kind, psnr_db, *, own=3, seed=0, asked=60.0, budget='seconds', spread=0.0, dataset='photo_patches_32'):
    """Four datapoints, ``spread`` dB apart; a step takes a millisecond."""
    curves = [[value + spread * (point - 1.5) for value in psnr_db] for point in range(4)]
    return {
        'dataset': dataset, 'resolution': [32, 32], 'start': start, 'kind': kind, 'budget': budget, 'seed': seed,
        'asked_seconds': 0.0 if kind == 'random' else asked, 'parameters': 10, 'weights': 5, 'updates': 7,
        'training_seconds': asked, 'adaptation_steps': own,
        'rule': {'optimizer': 'adam', 'rate': 1e-3, 'in_metric': False},
        'steps': STEPS, 'psnr_db': psnr_db, 'psnr_db_per_datapoint': curves,
        'seconds': [step / 1000 for step in STEPS], 'validation': [[1.0, 20.0], [2.0, 30.0]],
        'unseen': {'steps': [10, 100], 'psnr_db_per_datapoint': [[24.0, 22.0]] * 4},
    }  # fmt: skip


RANDOM = row('random_paper', 'random', [10, 12, 13, 14, 20, 30, 42], own=0)
HEADS = row('heads_k3', 'hypernetwork', [15, 25, 30, 36, 37, 38, 40])
META_SGD = row('meta_sgd', 'constant', [12, 20, 28, 34.5, 34, 36, 39])
FUNCTA = row('functa', 'constant', [12, 20, 19, 27, 28, 30, 33])
ROWS = [RANDOM, HEADS, META_SGD, FUNCTA]


def found(*rows):
    return {each['start']: summary.summarise([each]) for each in rows}


def test_a_mean_is_over_seeds_and_datapoints_and_its_interval_around_it():
    rows = [
        row('heads_k3', 'hypernetwork', [value + seed for value in STEPS], seed=seed, spread=1.0) for seed in (0, 1)
    ]
    mine = summary.summarise(rows)
    np.testing.assert_allclose(mine.psnr_db, np.array(STEPS) + 0.5)
    assert np.all(mine.low < mine.psnr_db - 0.5)
    assert np.all(mine.high > mine.psnr_db + 0.5)
    alike = summary.summarise([row('heads_k3', 'hypernetwork', [float(step) for step in STEPS])])
    np.testing.assert_allclose(alike.high, alike.low)
    assert summary.summarise([{'start': 'heads_k3', 'failed': 'diverged'}]) is None


def test_a_mark_is_reached_between_recorded_steps():
    mine = summary.summarise([RANDOM])
    steps, seconds = mine.reach(25.0)
    assert steps == 20
    np.testing.assert_allclose(seconds, 0.02)
    assert mine.reach(10.0) == (0.0, 0.0)
    assert mine.reach(50.0) is None


def test_claims_follow_the_numbers():
    said = {claim: (verdict, numbers) for claim, verdict, numbers in summary.claims(found(*ROWS))}
    verdict = lambda *words: next(value for claim, value in said.items() if all(word in claim for word in words))
    assert verdict('1.0 dB above')[0] == 'reached'
    assert '+1.50 dB' in verdict('1.0 dB above')[1]
    assert verdict('predicted step sizes')[0] == 'not measured'
    # 36 dB: 3 ms against 30 + 70 * 6 / 12 = 65 ms.
    assert verdict('8 times sooner', 'SIREN')[0] == 'reached'
    assert (
        '36.0 dB after 3 steps, 3.00 ms; `random_paper` after 65 steps, 65.00 ms, ratio 21.7'
        in (verdict('8 times sooner', 'SIREN')[1])
    )
    assert verdict('8 times sooner', 'grid') == ('not measured', '')
    assert verdict('35 dB within 3 steps')[0] == 'reached'
    assert verdict('functa')[0] == 'not reached'  # It falls from 20 to 19.
    assert verdict('never falls below') == ('not reached', 'least margin -0.50 dB, of `meta_sgd`')
    judge = lambda *rows: [each for each in summary.claims(found(*rows)) if '8 times sooner' in each.text]
    fast = [row(name, 'random', [10, 12, 13, 14, 36.5, 40, 42], own=0) for name in ('random_paper', 'feature_grid')]
    assert [claim.verdict for claim in judge(HEADS, *fast)] == ['not reached'] * 2
    never = judge(HEADS, row('random_paper', 'random', [10, 12, 13, 14, 15, 16, 17], own=0))[0]
    assert (never.verdict, never.numbers.partition('; ')[2]) == ('reached', 'none of the others gets there')
    assert judge(META_SGD, RANDOM)[0][1:] == ('not reached', 'none is there')
    # 35 dB after one step: 1 ms against 60; after three, 40 dB: 3 ms against 88.
    early = judge(row('heads_k1', 'hypernetwork', [15, 35.2, 37, 40, 41, 42, 43]), RANDOM)[0]
    assert early.numbers.startswith('`heads_k1` is at 35.2 dB after 1 steps, 1.00 ms')


@pytest.mark.parametrize(
    ('validated', 'expected'),
    [([20, 30, 34, 34.4, 34.2], 30.0), ([20, 30, 34, 33, 34.4], 50.0), ([34, 34.2], 10.0), ([34], None)],
)
def test_training_is_flat_where_it_stays_near_its_best(validated, expected):
    each = {**HEADS, 'validation': [[10.0 * (number + 1), value] for number, value in enumerate(validated)]}
    assert summary.summarise([each]).flattens() == expected


def test_tables_of_the_other_budget_hold_what_has_no_size_to_choose():
    small = row('heads_k3', 'hypernetwork', [14, 24, 29, 35, 36, 37, 39], budget='parameters')
    tables = summary.groups([*ROWS, small])
    own, common = (summary.Group('photo_patches_32', budget, 60.0) for budget in ('seconds', 'parameters'))
    assert set(tables) == {own, common}
    assert set(tables[common]) == {'random_paper', 'meta_sgd', 'heads_k3'}  # A size could be chosen for functa.
    assert tables[common]['heads_k3'] == [small]
    assert tables[own]['heads_k3'] == [HEADS]


def test_the_longest_training_leads_and_the_widest_table_fills_the_methods(tmp_path):
    longer = row('heads_k3', 'hypernetwork', [16, 26, 31, 37, 38, 39, 41], asked=300.0)
    tables = summary.leading_tables([*ROWS, longer, row('heads_k3', 'hypernetwork', STEPS, dataset='mnist_5k')])
    assert [(group.dataset, group.seconds) for group in tables] == [
        ('photo_patches_32', 300.0),
        ('photo_patches_32', 60.0),
    ]
    assert [len(found) for found in tables.values()] == [2, 4]
    methods = tmp_path / 'methods.md'
    methods.write_text(METHODS)
    report.fill_methods(methods, [*ROWS, longer])
    assert '15.0 / 36.0 / 40.0 (`heads_k3`)' in methods.read_text()
    assert methods.read_text().count(report.NOT_RUN) == 2
    labels = [16, 26, 31, 37, 38, 39, 41]
    elsewhere = [row('labels_k3', 'hypernetwork', labels, dataset='mnist_5k', asked=asked) for asked in (60.0, 300.0)]
    report.fill_methods(methods, [*ROWS, longer, elsewhere[1]])
    assert methods.read_text().count(report.NOT_RUN) == 2
    report.fill_methods(methods, [*ROWS, longer, *elsewhere])
    assert '| `mnist_5k_labels` | D | 16.0 / 37.0 / 41.0 (`labels_k3`, mnist_5k) |' in methods.read_text()


METHODS = """# Methods

| method | config | paper |
|---|---|---|
| MAML, Meta-SGD | `photo_patches_maml` | A |
| first-order MAML | `photo_patches_maml` with `-p meta_learner.first_order=True` | B |
| hypernetwork | `photo_patches_siren`, `mnist_5k_siren` | C |
| class-conditional | `mnist_5k_labels` | D |

After.
"""


def test_the_documents_are_filled_again_and_again(tmp_path, figures):
    methods, readme, path = tmp_path / 'methods.md', tmp_path / 'README.md', tmp_path / 'predict_then_finetune.json'
    methods.write_text(METHODS)
    begin, end = report.MARKS
    readme.write_text(f'# Title\n{begin}\nold\n{end}\nAfter.\n')
    protocol = {'width': 64, 'num_test': 4}
    machine = {'devices': 2, 'platform': 'cpu', 'device': 'cpu', 'python': '3', 'jax': '0'}
    path.write_text(json.dumps({'machine': machine, 'protocol': protocol, 'rows': ROWS}))
    arguments = [str(path), '--to', str(tmp_path / 'to'), '--methods', str(methods), '--readme', str(readme)]
    report.main(arguments)
    once = methods.read_text(), readme.read_text()
    report.main(arguments)
    assert (methods.read_text(), readme.read_text()) == once
    lines = once[0].splitlines()
    assert lines[4] == '| MAML, Meta-SGD | `photo_patches_maml` | A | 12.0 / 34.5 / 39.0 (`meta_sgd`) |'
    assert lines[5].endswith(f'| B | {report.NOT_RUN} |')
    assert lines[6].endswith('| C | 15.0 / 36.0 / 40.0 (`heads_k3`) |')
    assert (lines[3], lines[-1]) == ('|---|---|---|---|', 'After.')
    assert 'old' not in once[1]
    assert 'photo_patches_32, 60 s of training' in once[1]
    assert f'({tmp_path / "to"}' in once[1]
    assert once[1].index('`heads_k3`') < once[1].index('`meta_sgd`') < once[1].index('`random_paper`')
    drawn = (tmp_path / 'to' / 'predict_then_finetune.md').read_text()
    assert '| `heads_k3` | 10 | 5 | 7 | 60 | 2 | 1 | adam 0.001 | 15.0 ± 0.0 |' in drawn
    assert (tmp_path / 'to' / 'predict_then_finetune_photo_patches_32_seconds_60.png').is_file()
    by_steps, by_seconds, training = figures[0].axes
    of_heads = {axes: next(line for line in axes.lines if line.get_label() == 'heads_k3') for axes in figures[0].axes}
    np.testing.assert_allclose(of_heads[by_steps].get_xydata(), np.transpose([STEPS, HEADS['psnr_db']]))
    np.testing.assert_allclose(of_heads[by_seconds].get_xydata(), np.transpose([STEPS, HEADS['psnr_db']]))
    np.testing.assert_allclose(of_heads[training].get_xydata(), HEADS['validation'])


def test_files_without_a_place_for_it_are_refused(tmp_path, capsys):
    (tmp_path / 'empty.md').write_text('nothing\n')
    with pytest.raises(InputError, match='no table'):
        report.fill_methods(tmp_path / 'empty.md', ROWS)
    with pytest.raises(InputError, match='lacks the marks'):
        report.fill_readme(tmp_path / 'empty.md', ROWS, link='x.md')
    assert (tmp_path / 'empty.md').read_text() == 'nothing\n'
    with pytest.raises(SystemExit) as error:
        report.main([str(tmp_path / 'none.json')])
    assert error.value.code == 2
    assert 'is no file' in capsys.readouterr().err
