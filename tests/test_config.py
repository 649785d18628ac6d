"""Reading, checking and applying gin files."""

import sys

import gin
import pytest

from hyperinr import config, inrs
from hyperinr.errors import InputError
from hyperinr.training import experiment, loop

SIREN = 'experiment/photo_patches_siren.gin'


@pytest.fixture
def write(tmp_path, monkeypatch):
    """Writes a gin file into the working folder and gives its name back."""
    monkeypatch.chdir(tmp_path)

    def write(text, name='mine.gin'):
        (tmp_path / name).write_text(text, encoding='utf-8')
        return name

    return write


HEADER = (
    'from __gin__ import dynamic_registration\nfrom hyperinr import inrs\nfrom hyperinr.training import experiment\n'
)


def all_configs(folder):
    return [name for name in config.available() if name.startswith(f'{folder}/')]


@pytest.mark.parametrize('name', all_configs('experiment'))
def test_every_experiment_states_what_must_be_set_first(name):
    macros = {setting.name for setting in config.load_config(name).settings if setting.name.isupper()}
    assert macros >= {'NUM_STEPS', 'BATCH_SIZE', 'SEED'}
    lines = (config.config_root() / name).read_text(encoding='utf-8').splitlines()
    statements = [line for line in lines if line and not line.startswith('#')]
    assert all(line.split(' = ')[0].isupper() for line in statements[:3])


@pytest.mark.parametrize('name', all_configs('experiment'))
def test_the_header_names_its_own_command(name):
    text = (config.config_root() / name).read_text(encoding='utf-8')
    assert f'hyperinr train {name}' in text


@pytest.mark.parametrize('name', config.available())
def test_every_config_has_a_summary_line(name):
    assert (config.config_root() / name).read_text(encoding='utf-8').startswith('# ')


def test_includes_are_overridden_by_what_comes_after_and_the_command_line_wins(write):
    write(f'{HEADER}inrs.siren.width = 8\ninrs.siren.depth = 2\n', 'base.gin')
    name = write(f"include 'base.gin'\n{HEADER}experiment.experiment.inr = @inrs.siren\ninrs.siren.depth = 5\n")
    read = config.load_config(name, ['siren.width=16'])
    where = {setting.name: (setting.value, setting.where) for setting in read.settings}
    assert where['inrs.siren.width'] == (16, '-p siren.width=16')
    assert where['inrs.siren.depth'] == (5, 'mine.gin:6')
    assert where['inrs.siren.omega_0'] == (30.0, 'default')


def test_a_second_file_comes_after_the_first_and_before_the_command_line(write):
    write(f'{HEADER}experiment.experiment.inr = @inrs.siren\ninrs.siren.width = 8\ninrs.siren.depth = 2\n', 'base.gin')
    write(f'{HEADER}inrs.siren.width = 9\ninrs.siren.depth = 3\n', 'second.gin')
    read = config.load_config('base.gin', ['siren.depth=4'], also=['second.gin'])
    assert (read.value('inrs.siren.width'), read.value('inrs.siren.depth')) == (9, 4)


def test_values_resolve_through_macros(write):
    name = write(f'{HEADER}WIDTH = 12\nexperiment.experiment.inr = @inrs.siren\ninrs.siren.width = %WIDTH\n')
    assert config.load_config(name, ['WIDTH = 24']).value('inrs.siren.width') == 24


def test_the_text_reads_to_the_same_text(write):
    first = config.load_config(SIREN, ['NUM_STEPS=7', 'siren.width=16'])
    again = config.load_config(write(first.text, 'config.gin'))
    assert again.text == first.text
    assert {s.name: s.value for s in again.settings} == {s.name: s.value for s in first.settings}


def test_the_text_of_a_config_whose_macro_was_overridden_is_readable(write):
    width = f'{HEADER}WIDTH = 8\nexperiment.experiment.inr = @inrs.siren\ninrs.siren.width = %WIDTH\n'
    text = config.load_config(write(width), ['siren.width=16']).text
    assert 'WIDTH' not in text
    assert config.load_config(write(text, 'again.gin')).text == text


def test_the_text_does_not_depend_on_where_a_value_was_set():
    assert config.load_config(SIREN, ['SEED=0']).text == config.load_config(SIREN).text


def test_long_and_nested_values_survive(write):
    steps = tuple(range(0, 400, 10))
    text = config.load_config(SIREN, [f'evaluate.steps={steps}']).text
    assert config.load_config(write(text)).value('curves.evaluate.steps') == steps


def test_two_modules_of_one_name_keep_apart(write, monkeypatch):
    write("def siren(*, channels: int, width: int = 3):\n    '''Mine.'''\n", 'inrs.py')
    name = write(
        'from __gin__ import dynamic_registration\nimport inrs as other\nfrom hyperinr import inrs\n'
        'from hyperinr.training import experiment\n'
        'experiment.experiment.inr = @inrs.siren\nexperiment.experiment.encoder = @other.siren\n'
        'inrs.siren.width = 5\nother.siren.width = 6\n'
    )
    monkeypatch.delitem(sys.modules, 'inrs', raising=False)
    text = config.load_config(name).text
    again = config.load_config(write(text, 'again.gin'))
    monkeypatch.delitem(sys.modules, 'inrs')
    assert again.text == text
    assert sorted(setting.value for setting in again.settings if setting.name.endswith('.width')) == [5, 6]


def test_the_advised_include_brings_a_factory(write):
    name = write(f"include '{SIREN}'\ninclude 'dataset/mesh_folder.gin'\n")
    read = config.load_config(name, ["mesh_folder.path='meshes'"])
    assert repr(read.value('experiment.experiment.dataset')) == '@datasets.mesh_folder'


def test_a_binding_of_an_unused_part_is_ignored_on_request_alone():
    binding = 'inrs.relu_mlp.width=3'
    assert config.load_config(SIREN, [binding], allow_unused=True).text == config.load_config(SIREN).text
    with pytest.raises(InputError, match="did you mean 'width'"):
        config.load_config(SIREN, ['siren.widht=3'], allow_unused=True)


@pytest.mark.parametrize(
    ('binding', 'message'),
    [
        ('siren.widht=3', "has no parameter 'widht'; did you mean 'width'"),
        ('inrs.sirne.width=3', "hyperinr.inrs has no 'sirne'; did you mean 'siren'"),
        ('experiment.dataset=@mesh_folder', "include this config, then include 'dataset/mesh_folder.gin'"),
        ('mesh_folder.seed=1', "include 'dataset/mesh_folder.gin'"),
        ('experiment.inr=@finer', "include 'inr/finer.gin'"),
        ('sirenn.width=3', "no configurable 'sirenn'.*did you mean 'siren'"),
        ('NUM_STPES=3', "no.* refers to a macro 'NUM_STPES'; did you mean 'NUM_STEPS'"),
        ('SEED=%NUM_STEP', "%NUM_STEP has no value; did you mean 'NUM_STEPS'"),
        ('SEED=%SEED', 'refers to itself'),
        ('experiment.encoder=@encoders.constnat', "did you mean 'constant'"),
        ('inrs.relu_mlp.width=3', 'does not use inrs.relu_mlp, so the binding has no effect'),
        ('NUM_STEPS=abc', "cannot read the value 'abc'.*strings in quotes"),
        ('NUM_STEPS', 'write NAME=VALUE'),
        ('import os', 'only bindings'),
        ('SEED=%gin.REQUIRED', 'SEED must be set'),
        ('siren.width=32.5', 'inrs.siren.width must be a whole number of 32 bits, not 32.5'),
        ('siren.width=True', 'siren.width must be a whole number of 32 bits, not True'),
        ("siren.width='8'", "siren.width must be a whole number of 32 bits, not '8'"),
        ('siren.width=2147483648', 'siren.width must be a whole number of 32 bits, not 2147483648'),
        ('NUM_STEPS=1e400', '^-p NUM_STEPS=1e400: experiment.experiment.num_steps must be a whole number.*, not inf'),
        ('SEED=-1', 'seed must be at least 0, not -1'),
        ('siren.omega_0=1e400', 'omega_0 must be a finite number of 32 bits, not inf'),
        ('siren.omega_0=1e39', 'omega_0 must be a finite number of 32 bits, not 1e[+]39'),
        ('weight_heads.trunk=8', 'trunk must be a list or tuple, each entry a whole number of 32 bits, not 8'),
        ('photo_patches.resolution=(32, 32, 3)', 'resolution must be 2 values in brackets, each a whole number'),
        ("weight_heads.combine='sum'", "combine must be 'additive' or 'multiplicative', not 'sum'"),
        ('photo_patches.in_memory=1', 'in_memory must be True or False, not 1'),
        ("photo_patches.data_dir='\\0'", 'data_dir must be of finite numbers and of text in UTF-8 without NUL'),
        ('experiment.encoder=@inrs.siren', 'encoder must be a function that returns an Encoder'),
        ('experiment.encoder=3', 'encoder must be a function that returns an Encoder, not 3'),
        ('train.best=3', 'best must be a BestCheckpoint or None, not 3'),
        ('siren.initialisation=(1e400, 1)', 'initialisation must be an Initialisation or None'),
    ],
)
def test_a_wrong_override_is_one_line_that_names_it(binding, message):
    with pytest.raises(InputError, match=message) as raised:
        config.load_config(SIREN, [binding])
    assert '\n' not in str(raised.value)
    assert len(str(raised.value)) < 600
    assert str(raised.value).startswith(f'-p {binding}')


@pytest.mark.parametrize(
    ('text', 'message'),
    [
        (f'{HEADER}inrs.sirn.width = 3\n', r"mine.gin:4: hyperinr.inrs has no 'sirn'; did you mean 'siren'"),
        (f'{HEADER}\n\ninrs.siren.widht = 3\n', r"mine.gin:6: .*did you mean 'width'"),
        (f'{HEADER}inr.siren.width = 3\n', r"mine.gin:4: .*'inr' is not imported.*did you mean 'inrs'"),
        (f'{HEADER}inrs.siren.width = 3 4\n', 'mine.gin:4: '),
        (f'{HEADER}inrs.siren.width = (3,\n', 'mine.gin'),
        ('from __gin__ import dynamic_registration\nfrom hyperinr import inr\n', "mine.gin:2: .*did you mean 'inrs'"),
        ("include 'inr/sirn.gin'\n", "mine.gin:1: no config 'inr/sirn.gin'; did you mean 'inr/siren.gin'"),
        ("include 'mine.gin'\n", 'mine.gin includes itself'),
        (
            f'{HEADER}WIDHT = 3\nexperiment.experiment.inr = @inrs.siren\n',
            "mine.gin:4: nothing refers to a macro 'WIDHT'",
        ),
        (f'{HEADER}inrs.siren.width = %WIDTH\n', 'mine.gin:4: macro %WIDTH has no value'),
        (f'{HEADER}experiment.experiment.seed = %gin.REQUIRED\n', 'experiment.experiment.seed must be set'),
        (f'{HEADER}experiment.experiment.inr = @inrs\n', "mine.gin:4: .*'inrs'"),
        (f'{HEADER}inrs.siren.width = {{[1]: 3}}\n', 'mine.gin.*(cannot read|list)'),
        (
            f'{HEADER}X = [1]\nexperiment.experiment.inr = @inrs.siren\ninrs.siren.width = {{%X: 3}}\n',
            'list or a mapping',
        ),
        (f'{HEADER}import hyperinr.errors.foo\n', "mine.gin:4: no module 'hyperinr.errors.foo'"),
        (f'{HEADER}import nonesuch\n', 'mine.gin:4: .*in the folder of nonesuch.py, name that folder in PYTHONPATH'),
        (f'{HEADER}import builtins\nbuiltins.dict.x = 3\n', 'builtins.dict is not a function with bindable parameters'),
        (
            f'{HEADER}inrs.siren.width = %M0\nM9 = 3\n'
            + ''.join(f'M{n} = [%M{n + 1}, %M{n + 1}, %M{n + 1}]\n' for n in range(9)),
            'macro M4 stands for more than 200 others',
        ),
        (
            f'{HEADER}inrs.siren.width = %M0\nM999 = 3\n' + ''.join(f'M{n} = %M{n + 1}\n' for n in range(999)),
            'stands for more than 200 others',
        ),
    ],
)
def test_a_wrong_file_is_one_line_with_file_and_line(write, text, message):
    with pytest.raises(InputError, match=message) as raised:
        config.load_config(write(text))
    assert '\n' not in str(raised.value)


@pytest.mark.parametrize(
    'name', ['photo_patches_siren', 'photo_patches_siren.gin', 'experiment/photo_patches_sirn.gin']
)
def test_an_unknown_config_names_the_nearest(name):
    with pytest.raises(InputError, match=r"did you mean .*'experiment/photo_patches_siren\.gin'"):
        config.load_config(name)


def test_a_config_of_another_encoding_is_refused(tmp_path):
    (tmp_path / 'latin.gin').write_bytes('# caf\xe9\n'.encode('latin-1'))
    with pytest.raises(InputError, match='cannot be read'):
        config.load_config(str(tmp_path / 'latin.gin'))


def test_applied_factories_have_their_values(write):
    name = write(f'{HEADER}experiment.experiment.inr = @inrs.siren\ninrs.siren.width = 7\n')
    with config.applied(config.load_config(name)):
        made = config.configured(inrs.siren)(channels=3)
    assert made.init.__name__
    assert made.metadata['kind'] == 'siren'
    import jax

    assert made.init(jax.random.key(0), 2)['layer_0']['w'].shape == (2, 7)


def test_what_a_config_does_not_bind_is_called_as_it_is(write):
    name = write(f'{HEADER}experiment.experiment.inr = @inrs.siren\n')
    with config.applied(config.load_config(name)):
        assert config.configured(loop.train) is loop.train


def test_the_users_own_gin_state_is_left_alone():
    @gin.configurable(module='somebody_else')
    def siren(width=1):
        return width

    gin.parse_config('siren.width = 5')
    gin.finalize()
    before = gin.config_str()
    try:
        with config.applied(config.load_config(SIREN, ['siren.width=16'])):
            assert gin.query_parameter('hyperinr.inrs.siren.width') == 16
            assert siren() == 1
        assert gin.config_str() == before
        assert gin.config_is_locked()
        assert siren() == 5
        assert gin.query_parameter('siren.width') == 5
    finally:
        gin.clear_config()


def test_an_error_inside_gives_the_state_back():
    with pytest.raises(KeyError), config.applied(config.load_config(SIREN)):
        raise KeyError
    assert gin.config_str().strip() == ''
    assert not gin.config_is_locked()


def test_an_experiment_is_composed_from_its_config():
    from hyperinr.library import compose

    with config.applied(config.load_config(SIREN, ['NUM_STEPS=12', 'BATCH_SIZE=3', 'SEED=4'])):
        made = compose()
    assert isinstance(made, experiment.Experiment)
    assert (made.num_steps, made.batch_size, made.seed) == (12, 3, 4)


def test_a_value_that_a_factory_refuses_is_the_users():
    from hyperinr.library import compose

    with config.applied(config.load_config(SIREN, ['NUM_STEPS=0'])), pytest.raises(InputError, match='num_steps is 0'):
        compose()


@pytest.mark.parametrize(
    ('value', 'message'),
    [
        ('[' * 10000 + ']' * 10000, 'nested'),
        ('9' * 5000, 'cannot read the value'),
        ('\n\n3 4', 'siren.width= 3 4'),
    ],
)
def test_a_long_override_is_named_in_short(value, message):
    with pytest.raises(InputError, match=message) as raised:
        config.load_config(SIREN, [f'siren.width={value}'])
    assert '\n' not in str(raised.value)
    assert len(str(raised.value)) < 600


def test_an_argument_of_itself_is_refused(write, tmp_path, monkeypatch):
    write('from collections.abc import Callable\ndef f(*, g: Callable = None):\n    return g\n', 'own_functions.py')
    monkeypatch.syspath_prepend(tmp_path)
    imports = f'{HEADER}import own_functions\nexperiment.experiment.inr = @own_functions.f\n'
    with pytest.raises(InputError, match='mine.gin:6: own_functions.f would be an argument of itself'):
        config.load_config(write(f'{imports}own_functions.f.g = @own_functions.f()\n'))


def test_a_name_that_no_file_can_have_is_an_unknown_config():
    for name in ('a' * 300, 'a\0b'):
        with pytest.raises(InputError, match='no config'):
            config.load_config(name)


def test_an_error_in_the_block_is_the_factorys_own():
    with config.applied(config.load_config(SIREN)), pytest.raises(InputError) as raised:
        config.configured(inrs.siren)(channels=2.5)
    assert type(raised.value) is InputError
    assert str(raised.value) == 'siren: channels must be a whole number of 32 bits, not 2.5.'
