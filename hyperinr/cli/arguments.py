"""Arguments that several commands have, the same everywhere."""

import argparse

__all__ = ['add_best', 'add_config', 'add_params', 'add_run']


def add_config(command: argparse.ArgumentParser) -> None:
    command.add_argument('config', metavar='CONFIG', help='a gin file, or the name of one that comes with hyperinr')


def add_params(command: argparse.ArgumentParser) -> None:
    command.add_argument(
        '-p',
        '--param',
        metavar='BINDING',
        action='append',
        default=[],
        help='override a value of the config, e.g. -p NUM_STEPS=100 or -p siren.width=32; repeatable',
    )


def add_run(command: argparse.ArgumentParser) -> None:
    command.add_argument('--run', metavar='DIR', required=True, help='run directory of `hyperinr train`')


def add_best(command: argparse.ArgumentParser) -> None:
    command.add_argument('--best', action='store_true', help='use the best checkpoint that the run kept')
