"""Choose the machine file of a command: ``--device NAME``, else the variable ``HYPERINR_DEVICE``, else none."""

import argparse
import contextlib
import os
from collections.abc import Iterator

from hyperinr.cli.arguments import option
from hyperinr.runtime.environment import set_environment
from hyperinr.runtime.machine import Machine, machine

__all__ = ['VARIABLE', 'add_device', 'device_configs', 'on_machine']

VARIABLE = 'HYPERINR_DEVICE'


def add_device(command: argparse.ArgumentParser) -> None:
    help = f'settings of this machine: gin_configs/device/NAME.gin, or your own .gin file (default: ${VARIABLE})'
    option(command, '--device', 'NAME', help)


def device_configs(options: argparse.Namespace) -> list[str]:
    """Return the config of the chosen machine, to be read after an experiment's; empty if none is chosen."""
    name = options.device or os.environ.get(VARIABLE)
    if not name:
        return []
    return [name if name.endswith('.gin') else f'device/{name}']


@contextlib.contextmanager
def on_machine(options: argparse.Namespace) -> Iterator[Machine]:
    """Set the environment for the chosen machine before jax starts. Its name and data root are set only for the block.

    Args:
      options: options with ``device`` and, if the command has it, ``param``, whose bindings of ``machine`` are used.

    Raises:
      InputError: there is no such file, or it has a wrong value.
    """
    found = Machine()
    bindings = [binding for binding in getattr(options, 'param', []) if binding.startswith('machine.')]
    configs = device_configs(options)
    if configs or bindings:
        from hyperinr.config import applied, configured, load_config

        with applied(load_config(configs[0] if configs else 'device/default', bindings)):
            found = configured(machine)()
    set_environment(found.devices)
    inside = {VARIABLE: options.device, 'DATA_PATH': None if found.data_root is None else str(found.data_root)}
    before = {name: os.environ[name] for name in inside if name in os.environ}
    os.environ.update({name: value for name, value in inside.items() if value is not None})
    try:
        yield found
    finally:
        for name in inside:
            os.environ.pop(name, None)
        os.environ.update(before)
