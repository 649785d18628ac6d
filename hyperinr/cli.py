"""The console script ``hyperinr``: parse, bind gin, call one function.

Each verb is one function, below or in `hyperinr.store_verbs`, `hyperinr.check_verb` and `hyperinr.sweep_verbs`. What is
wrong with a call, a config or a file is said in one line (exit status 2), as is what made a run fail midway (1);
``--debug`` shows the traceback. Heavy modules are imported by the verb that needs them.
"""

import argparse
import os
import signal
import sys
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NoReturn

import hyperinr
from hyperinr.arguments import add_best, add_config, add_params, add_run
from hyperinr.check_verb import add_check_verb
from hyperinr.device_choice import add_device, device_configs, on_machine
from hyperinr.errors import InputError, RunError
from hyperinr.store_verbs import add_store_verbs
from hyperinr.sweep_verbs import add_sweep_verb

__all__ = ['main']


class _Parser(argparse.ArgumentParser):
    """Says what is wrong with a call in one line."""

    def error(self, message: str) -> NoReturn:
        self.exit(2, f'hyperinr: error: {message} (see `{self.prog} --help`)\n')


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs one command.

    Args:
      arguments: without the program's name; ``None`` takes those of the process.

    Returns:
      The exit status: 0, 1 for a run that failed, 2 for a wrong call or input, 75 for a run that was interrupted and
      goes on with the same command, 130 after Ctrl-C.
    """
    options = _parser().parse_args(arguments)
    os.environ.setdefault('TF_CPP_MIN_LOG_LEVEL', '2')
    sys.path.append(os.getcwd())
    plain = warnings.formatwarning
    if not options.debug:
        warnings.formatwarning = lambda message, *_: f'hyperinr: {message}\n'
        _quieten()
    try:
        with on_machine(options) as options.machine:
            if options.keep_compiled:
                _keep_compiled()
            options.verb(options)
        sys.stdout.flush()
        return 0
    except KeyboardInterrupt as error:
        return _fail(str(error) or 'interrupted', 128 + signal.SIGINT, debug=False)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 128 + signal.SIGPIPE
    except InputError as error:
        return _fail(error, 2, debug=options.debug)
    except RunError as error:
        return _fail(error, error.exit_status, debug=options.debug)
    except Exception as error:
        message = f'unexpected {type(error).__name__}: {_first_line(error)} (--debug shows the traceback)'
        return _fail(message if not options.debug else error, 1, debug=options.debug)
    finally:
        warnings.formatwarning = plain
        sys.path.pop()


def _fail(error: BaseException | str, status: int, *, debug: bool) -> int:
    if debug and isinstance(error, BaseException):
        raise error
    message = _first_line(error)
    print(f'hyperinr: {"" if status > 2 else "error: "}{message}', file=sys.stderr)
    return status


def _first_line(error: BaseException | str) -> str:
    """Without the lines that gin adds about who called whom."""
    return (str(error).strip() or type(error).__name__).split('\n  In call to')[0].replace('\n', ' ')


def _keep_compiled() -> None:
    from hyperinr.compilation_cache import use_compilation_cache
    from hyperinr.datasets import cache_folder

    use_compilation_cache(cache_folder())


def _quieten() -> None:
    """Orbax and tfds tell of each of their steps through absl's log, and of errors that they raise as well."""
    from absl import logging

    logging.set_verbosity(logging.FATAL)


def _parser() -> argparse.ArgumentParser:
    parser = _Parser('hyperinr', description='Meta-train hypernetworks that predict the weights of INRs, and use them.')
    parser.add_argument('--version', action='version', version=f'hyperinr {hyperinr.__version__}')
    verbs = parser.add_subparsers(title='commands', metavar='COMMAND', required=True)

    def add(name: str, verb: Callable[[argparse.Namespace], None], summary: str) -> argparse.ArgumentParser:
        command = verbs.add_parser(name, help=summary, description=f'{summary}.')
        command.set_defaults(verb=verb)
        command.add_argument('--debug', action='store_true', help='show tracebacks')
        add_device(command)
        command.add_argument(
            '--keep-compiled', action='store_true', help='keep compiled functions on disk: the next start is faster'
        )
        return command

    train = add('train', _train, 'meta-train; goes on where the run directory has a checkpoint')
    add_config(train)
    train.add_argument('--run', metavar='DIR', help='run directory (default: the name of the config, below runs/)')
    train.add_argument('--profile', type=int, default=0, metavar='N', help='trace N steps into DIR/profile')
    add_params(train)
    processes = train.add_argument_group('several processes', 'flags, else JAX_... in the environment, else Slurm')
    processes.add_argument('--distributed', action='store_true', help='this process is one of several of the run')
    processes.add_argument('--coordinator', metavar='HOST:PORT', help='where process 0 listens')
    processes.add_argument('--num-processes', type=int, metavar='N', help='of the run')
    processes.add_argument('--process', type=int, metavar='I', help='number of this one, from 0')
    add_check_verb(add)

    evaluate = add('evaluate', _evaluate, 'held-out PSNR against fine-tuning steps and seconds, with the baselines')
    add_run(evaluate)
    add_best(evaluate)
    evaluate.add_argument('--json', metavar='FILE', help='where to write the figures (default: DIR/evaluation.json)')
    add_params(evaluate)

    generate = add('generate', _generate, 'INR weights for your own images')
    _add_files(generate)
    finetune = add('finetune', _finetune, 'INR weights for your own images, generated and then fine-tuned')
    _add_files(finetune)
    finetune.add_argument('--num-steps', type=int, default=100, metavar='N', help='fine-tuning steps (default: 100)')

    add_store_verbs(add)
    add_sweep_verb(add)

    fit_one = add('fit-one', _fit_one, 'fit one image by itself: weights, curve and reconstruction')
    fit_one.add_argument('file', metavar='FILE', help='PNG, JPEG or .npy')
    fit_one.add_argument('--inr', metavar='NAME', default='siren', help='family or gin file (default: siren)')
    fit_one.add_argument(
        '--initialisation', metavar='START', help="a scheme's name, a file of weights, or the directory of a run"
    )
    fit_one.add_argument(
        '--optimizer',
        metavar='NAME',
        default='adam',
        help='adam, adamw, amsgrad, sgd, muon, lbfgs, diagonal_curvature or conjugate_gradient (default: adam)',
    )
    fit_one.add_argument('--rate', metavar='RATE', default='search', help='a number, search (default) or range')
    fit_one.add_argument('--num-steps', type=int, default=500, metavar='N', help='default: 500')
    fit_one.add_argument(
        '--freeze',
        metavar='PATTERN',
        action='append',
        default=[],
        help="hold weights fixed, e.g. 'layer_0'; repeatable",
    )
    fit_one.add_argument('--longest-side', type=int, metavar='PIXELS', help='resample the image to this')
    fit_one.add_argument('--channels', type=int, default=3, help='3 (default) or 1')
    fit_one.add_argument('--seed', type=int, default=0, help='of a random start (default: 0)')
    fit_one.add_argument('--out', metavar='DIR', default='weights', help='output folder (default: weights)')
    fit_one.add_argument('--format', default='npz', help='npz, safetensors or pt (default: npz)')
    add_params(fit_one)

    prepare = add('prepare', _prepare, 'download and prepare an image dataset of tensorflow-datasets (extra `prepare`)')
    prepare.add_argument('name', metavar='NAME', help='mnist, fashion_mnist, cifar10, celeb_a, imagenette, ...')
    prepare.add_argument('--data-dir', metavar='DIR', help='where to (default: $DATA_PATH or ~/.cache/hyperinr)')

    add('configs', _configs, 'list the configs that come with hyperinr')
    describe = add('describe', _describe, 'what a config resolves to: every value with the file and line that set it')
    add_config(describe)
    add_params(describe)
    return parser


def _add_files(command: argparse.ArgumentParser) -> None:
    add_run(command)
    add_best(command)
    command.add_argument('files', metavar='FILE', nargs='+', help='PNG, JPEG or .npy, any size')
    command.add_argument('--out', metavar='DIR', default='weights', help='output folder (default: weights)')
    command.add_argument('--format', default='npz', help='npz, safetensors or pt (default: npz)')
    command.add_argument('--tile', action='store_true', help="patches of the model's size, one INR each")
    command.add_argument('--fold-omega', action='store_true', help='fold omega_0 into the weights')


def _train(options: argparse.Namespace) -> None:
    from hyperinr.config import applied, configured, load_config
    from hyperinr.library import compose
    from hyperinr.training import distributed, loop

    config = load_config(options.config, options.param, also=device_configs(options))
    run_dir = Path(options.run or options.machine.run_root / config.source.stem)
    profile = {'profile_steps': options.profile} if options.profile else {}
    rank = distributed.find_rank(
        options.distributed, options.coordinator, options.num_processes, options.process, os.environ
    )
    with distributed.joined(rank) as group, applied(config):
        configured(loop.train)(
            compose(), run_dir, machine=options.machine, config_text=config.text, group=group, **profile
        )


def _evaluate(options: argparse.Namespace) -> None:
    from hyperinr.config import applied, configured
    from hyperinr.files import write_json
    from hyperinr.inspection import report
    from hyperinr.library import compose, load, run_config
    from hyperinr.training import evaluation

    config = run_config(options.run, options.param)
    model = load(options.run, best=options.best)
    with applied(config):
        result = configured(evaluation.evaluate)(model, compose().dataset())
    path = Path(options.json or Path(options.run) / 'evaluation.json')
    write_json(path, result.report)
    report.show(result, path)


def _generate(options: argparse.Namespace) -> None:
    from hyperinr import neural_datasets

    results = neural_datasets.generate_files(
        hyperinr.load(options.run, best=options.best),
        options.files,
        out=options.out,
        format=options.format,
        tile=options.tile,
        fold_omega=options.fold_omega,
    )
    neural_datasets.print_results(results)


def _finetune(options: argparse.Namespace) -> None:
    from hyperinr import neural_datasets

    results = neural_datasets.finetune_files(
        hyperinr.load(options.run, best=options.best),
        options.files,
        out=options.out,
        num_steps=options.num_steps,
        format=options.format,
        tile=options.tile,
        fold_omega=options.fold_omega,
    )
    neural_datasets.print_results(results)


def _fit_one(options: argparse.Namespace) -> None:
    from hyperinr import library, neural_datasets
    from hyperinr.inrs.named_schemes import named_scheme
    from hyperinr.inspection import draw_fit

    where = options.initialisation
    scheme, start = None, None
    if where is not None and Path(where).suffix in ('.npz', '.safetensors'):
        start = lambda inr, image: neural_datasets.start_from_file(inr, where, coord_dims=2)
    elif where is not None and Path(where).is_dir():
        model = hyperinr.load(where)
        start = lambda inr, image: neural_datasets.start_from_model(inr, model, image)
    elif where is not None:
        scheme = named_scheme(where)
    inr = library.single_inr(options.inr, options.param, channels=options.channels, initialisation=scheme)
    try:
        rate = float(options.rate)
    except ValueError:
        rate = options.rate
    result = neural_datasets.fit_image(
        inr,
        options.file,
        out=options.out,
        start=start,
        optimizer=options.optimizer,
        rate=rate,
        num_steps=options.num_steps,
        freeze=options.freeze,
        longest_side=options.longest_side,
        seed=options.seed,
        format=options.format,
        about={'start': where or 'published'},
    )
    picture = draw_fit(result.curve.with_suffix('.png'), result.psnr_db)
    for note in result.notes:
        print(f'{options.file}: {note}')
    print(f'{options.optimizer} at {result.rate:.3g}: {result.psnr_db[-1]:.2f} dB after {options.num_steps} steps')
    for path in (result.weights, result.reconstruction, result.curve, picture):
        print(path)


def _prepare(options: argparse.Namespace) -> None:
    from hyperinr import datasets

    print(datasets.prepare(options.name, options.data_dir))


def _configs(options: argparse.Namespace) -> None:
    from hyperinr.config import available, config_root

    del options
    names = available()
    width = max(map(len, names), default=0)
    for name in names:
        first = (config_root() / name).read_text(encoding='utf-8').partition('\n')[0]
        print(f'{name:<{width}}  {first.removeprefix("#").strip()}'.rstrip())


def _describe(options: argparse.Namespace) -> None:
    from hyperinr.config import Macro, load_config

    config = load_config(options.config, options.param)
    rows = []
    for setting in config.settings:
        origin = f' (%{setting.value.name})' if isinstance(setting.value, Macro) else ''
        rows.append((setting.name, repr(config.value(setting.name)), setting.where + origin))
    names, values = (max(len(row[column]) for row in rows) for column in (0, 1))
    for name, value, where in rows:
        print(f'{name:<{names}}  {value:<{min(values, 40)}}  {where}')
    if any(setting.name.startswith('plan.neural_dataset.') for setting in config.settings):
        from hyperinr.store_commands import explain_fit

        print(f'\nhyperinr fit here: {explain_fit(config)}')


if __name__ == '__main__':
    sys.exit(main())
