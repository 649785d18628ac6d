"""A space file says all that a search needs, and what is wrong in it is one line that names the remedy."""

import pytest

from hyperinr import config
from hyperinr.errors import InputError
from hyperinr.searching.search import check_bindings
from hyperinr.searching.space_file import figure, read_space
from tests.tiny_runs import DEFAULT

WHOLE = """
[search]
objective = 'psnr_db[0]'
direction = 'minimize'
sampler = 'grid'
pruner = 'hyperband'
num_trials = 7
seed = 3
[space]
'experiment.inr' = { choice = ['@inrs.siren', '@inrs.finer'] }
'siren.omega_0' = { uniform = [5.0, 60.0], points = 5, when = { 'experiment.inr' = ['@inrs.siren'] } }
'finer.width' = { integer = [8, 16], when = { 'experiment.inr' = ['@inrs.finer'] } }
"""


def read(tmp_path, text):
    path = tmp_path / 'space.toml'
    path.write_text(text)
    return read_space(path)


def test_every_key_is_read(tmp_path):
    found = read(tmp_path, WHOLE)
    assert found[1:] == ('psnr_db[0]', 'minimize', 'grid', 'hyperband', 7, 3)
    family, omega, width = found.space
    assert family.values == ('@inrs.siren', '@inrs.finer')
    assert (omega.kind, omega.points, omega.when) == ('uniform', 5, {'experiment.inr': ('@inrs.siren',)})
    assert width.values == (8, 16)
    check_bindings(config.load_config(DEFAULT).text, found.space)


def test_the_space_that_comes_with_hyperinr_fits_its_config():
    found = read_space('sweep/photo_patches.toml')
    check_bindings(config.load_config(DEFAULT).text, found.space)


def test_the_objective_is_a_figure_or_one_of_its_numbers():
    record = {'psnr_db': [20.0, 30.0, None], 'loss': 0.5}
    assert figure('psnr_db[0]', record) == 20
    assert figure('psnr_db[-2]', record) == 30
    assert figure('loss', record) == 0.5
    assert figure('psnr_db', record) != figure('psnr_db', record)  # NaN
    with pytest.raises(InputError, match="no figure 'psnr' is measured; did you mean 'psnr_db'"):
        figure('psnr', record)
    with pytest.raises(InputError, match='has 3 numbers'):
        figure('psnr_db[3]', record)


RATE = "'adam_cosine.learning_rate' = { log = [1e-4, 1e-2] }"


@pytest.mark.parametrize(
    ('text', 'message'),
    [
        ('[space', 'the file is TOML'),
        ('[spaces]', "unknown key 'spaces'; did you mean 'space'"),
        (f'[search]\nsampeler = "tpe"\n[space]\n{RATE}', "did you mean 'sampler'"),
        (f'[search]\nsampler = "sobol"\n[space]\n{RATE}', 'is none of tpe, random, grid'),
        (f'[search]\nnum_trials = 0\n[space]\n{RATE}', 'whole number >= 1'),
        (f'[search]\nobjective = "best psnr"\n[space]\n{RATE}', 'is no figure'),
        ('[space]', 'space is empty'),
        ("[space]\n'siren.width' = { log = [1e-2, 1e-4] }", 'is no range'),
        ("[space]\n'siren.width' = { logg = [1, 2] }", "did you mean 'log'"),
        ("[space]\n'siren.width' = { log = [1, 2], uniform = [1, 2] }", 'needs one of log, uniform'),
        ("[space]\n'siren.width' = [1, 2]", 'must be a table'),
        ("[space]\n'siren.width' = { integer = [1, 2], when = { x = [1] } }", 'must be an earlier parameter'),
        ("[space]\n'siren.width' = { integer = [1, 2], when = { x = 1 } }", 'is how to write a condition'),
    ],
)
def test_a_wrong_file_is_said(tmp_path, text, message):
    with pytest.raises(InputError, match=message):
        read(tmp_path, text)


@pytest.mark.parametrize(
    ('entry', 'message'),
    [
        ("'adam_cosine.learning_rat' = { log = [1e-4, 1e-2] }", "did you mean 'learning_rate'"),
        ("'adam_cosin.learning_rate' = { log = [1e-4, 1e-2] }", "did you mean .*'adam_cosine'"),
        ("'NUM_STEP' = { integer = [1, 2] }", "did you mean 'NUM_STEPS'"),
        ("'finer.width' = { integer = [8, 16] }", 'finer'),
    ],
)
def test_a_wrong_binding_names_the_nearest(tmp_path, entry, message):
    found = read(tmp_path, f'[space]\n{entry}')
    with pytest.raises(InputError, match=message) as caught:
        check_bindings(config.load_config(DEFAULT).text, found.space)
    assert str(caught.value).startswith('[space] ')


def test_a_missing_file_is_said(tmp_path):
    with pytest.raises(InputError, match='cannot be read'):
        read_space(tmp_path / 'none.toml')
