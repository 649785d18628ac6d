"""One run of the command line with every evaluator, the files that come along for it, and what it leaves."""

import json

import pytest

import hyperinr
from hyperinr import cli
from tests.tiny_runs import DEFAULT, overrides

CONFIG = f"""# Everything at once.
include '{DEFAULT}'
include 'evaluator/everything.gin'
include 'run/early_stopping.gin'
"""
BINDINGS = [
    'reconstruction_grids.num_datapoints=1',
    'weight_statistics.num_datapoints=2',
    'gradient_norms.num_datapoints=2',
    'step_sizes.num_datapoints=1',
    'loop.train.loggers=[@loggers.picture_files()]',
    "gradient_norms.every='1 step'",
]


pytestmark = pytest.mark.exhaustive


@pytest.fixture(scope='module')
def run_dir(tmp_path_factory):
    folder = tmp_path_factory.mktemp('watched')
    (folder / 'everything.gin').write_text(CONFIG)
    params = [word for binding in [*overrides(DEFAULT), *BINDINGS] for word in ('-p', binding)]
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.setattr('hyperinr.training.closing.matrix_product_gflops', lambda devices: 1.0)
        arguments = ['train', 'everything.gin', '--device', 'one_core', '--profile', '1', '--debug']
        assert cli.main([*arguments, *params]) == 0
    return folder / 'runs' / 'everything'


def test_every_evaluator_has_found_something(run_dir):
    lines = [json.loads(line) for line in (run_dir / 'metrics.jsonl').read_text().splitlines()]
    found = {line['kind']: line for line in lines}
    evaluators = {'validation', 'seen', 'reconstructions', 'weights', 'parameters', 'gradient_norms', 'step_sizes'}
    assert set(found) == evaluators | {'train', 'time'}
    assert [line['step'] for line in lines if line['kind'] == 'gradient_norms'] == [1, 2]
    assert len(found['validation']['psnr_db']) == 2
    assert found['gradient_norms']['all'] == pytest.approx(
        sum(value**2 for name, value in found['gradient_norms'].items() if '/' in name) ** 0.5, rel=1e-3
    )
    assert found['weights']['layer_0/w/deviation'] > 0
    assert found['step_sizes']['step_1/median'] > 0
    assert found['parameters'].keys() >= {f'{name}/norm' for name in found['gradient_norms'] if '/' in name}


def test_pictures_trace_and_best_state_are_there(run_dir):
    names = sorted(path.name for path in (run_dir / 'training_pictures').iterdir())
    assert names == ['reconstructions_grid_00000002.png', 'seen_original_0_K_00000002.png'] + [
        'validation_original_0_K_00000002.png'
    ]
    assert list((run_dir / 'profile').rglob('*.xplane.pb'))
    assert hyperinr.load(run_dir, best=True).metadata['step'] == 2
    assert not (run_dir / 'tensorboard').exists()


def test_the_machine_and_the_watching_are_in_the_operative_config(run_dir):
    text = (run_dir / 'config.gin').read_text()
    assert 'machine.machine.devices = 1' in text
    assert "training/evaluators.held_out_psnr.name = 'seen'" in text
    assert 'stop_rules.early_stopping.patience = 5' in text


def test_a_wrong_cadence_is_one_line(tmp_path, capsys):
    arguments = ['train', DEFAULT, '--run', str(tmp_path / 'run'), '-p', "held_out_psnr.every='soon'"]
    assert cli.main(arguments) == 2
    error = capsys.readouterr().err.strip().splitlines()
    assert len(error) == 1
    assert "'soon' is no length of training" in error[0]
    assert not (tmp_path / 'run').exists()
