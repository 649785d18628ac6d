"""What a config may name that came with a run or a store, perhaps from somebody else: the parts of hyperinr alone.

Gin calls what a config names. So a config of a stranger that may name any function runs any function.
"""

import contextlib
import importlib.util
import inspect
import os
import sys
from collections.abc import Iterator

from hyperinr.config.values import Target
from hyperinr.errors import InputError

__all__ = ['ENTRY_POINTS', 'check_bound', 'check_include', 'check_module', 'check_part', 'working_folder']

PARTS = (
    'hyperinr.datasets',
    'hyperinr.encoders',
    'hyperinr.fitting',
    'hyperinr.hypernetworks',
    'hyperinr.inrs',
    'hyperinr.meta_learning',
    'hyperinr.neural_datasets.starts',
    'hyperinr.training.in_python',
    'hyperinr.training.watching',
)
"""Modules, with those below them, whose public factories are parts."""
ENTRY_POINTS = (
    'hyperinr.training.experiment.experiment',
    'hyperinr.training.loop.train',
    'hyperinr.evaluation.curves.evaluate',
    'hyperinr.runtime.machine.machine',
    'hyperinr.neural_datasets.plan.neural_dataset',
    'hyperinr.neural_datasets.tuning.search',
)
"""Entry points that hyperinr calls. A binding has an effect only if one of them reaches its target by references."""
DATASETS = 'hyperinr.datasets'
DRAWS = 'hyperinr.datasets.functions'
"""A module of parts that are no factories: functions that draw a function."""
LIBRARIES = ('jax', 'haiku', 'optax', 'hyperinr.training.loop')
"""Modules that import what hyperinr needs."""
REMEDY = 'pass --trust, in Python trust=True, if it is yours or you trust whoever made it'


def check_module(module: str, where: str) -> None:
    """Refuse an import of anything but modules of parts and entry points, before it runs."""
    if not (_is_below(module, PARTS) or module in [name.rpartition('.')[0] for name in ENTRY_POINTS]):
        raise InputError(f'{where}: this config imports {module!r}, which is no part of a model or dataset: {REMEDY}.')


def check_include(filename: str, where: str) -> None:
    """Refuse the include of another file: the configs that hyperinr stores are complete."""
    raise InputError(f'{where}: this config includes {filename!r}, another file: {REMEDY}.')


def check_part(target: Target, where: str, *, called: bool = False) -> None:
    """Refuse a name of anything but a part: a public factory of `PARTS`, which only takes keyword arguments.

    Other functions of hyperinr act when gin calls them: they write files, download data, start processes. A dataset
    prepares its data when it is made, so a reference may not call it: hyperinr does, in commands that need data.
    """
    function = target.function
    module, name = getattr(function, '__module__', ''), getattr(function, '__qualname__', '')
    kinds = {each.kind for each in inspect.signature(function).parameters.values()}
    is_factory = kinds <= {inspect.Parameter.KEYWORD_ONLY} or module == DRAWS
    is_public = name in getattr(sys.modules.get(module), '__all__', ())
    acts = called and _is_below(module, (DATASETS,)) and module != DRAWS
    if acts or not (is_factory and is_public and _is_below(module, PARTS)):
        name = f'{target!r}{"()" if called else ""}'
        raise InputError(f'{where}: this config names {name}, which is no part of a model or dataset: {REMEDY}.')


def _is_below(module: str, packages: tuple[str, ...]) -> bool:
    return f'{module}.'.startswith(tuple(f'{package}.' for package in packages))


def check_bound(target: Target, where: str) -> None:
    """Refuse a binding of anything but a part or one of the `ENTRY_POINTS`, which no config can call."""
    if f'{target.module}.{target.name}' not in ENTRY_POINTS:
        check_part(target, where)


@contextlib.contextmanager
def working_folder(module: str) -> Iterator[None]:
    """Let a module of the user's own be imported from the working folder, if it is nowhere else.

    The folder may hold files of strangers, and libraries look for optional packages by name. So it is on the import
    path only within the context, after the libraries were imported.
    """
    top = module.partition('.')[0]
    if top in sys.modules or importlib.util.find_spec(top) is not None:
        yield
        return
    for library in LIBRARIES:
        importlib.import_module(library)
    folder = os.getcwd()
    sys.path.append(folder)
    try:
        yield
    finally:
        with contextlib.suppress(ValueError):
            sys.path.remove(folder)
