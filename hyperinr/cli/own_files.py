"""The verbs that make INRs of a user's own files, ``generate``, ``finetune`` and ``fit-one``, and back: ``decode``."""

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hyperinr.cli.arguments import AddVerb, add_params, add_run, add_trust, option
from hyperinr.errors import InputError

if TYPE_CHECKING:
    from hyperinr.types import Inr

__all__ = ['KINDS', 'add_verbs']

KINDS = 'array, image, sound, video, volume, field, occupancy, signed_distance, unsigned_distance'
"""The names of `hyperinr.kinds.KINDS`, whose import would start JAX for the help."""


def add_verbs(add: AddVerb) -> None:
    """Declare ``generate``, ``finetune``, ``fit-one`` and ``decode``."""
    _add_files(add('generate', _generate, 'generate INR weights for your own files'))
    finetune = add('finetune', _generate, 'generate INR weights for your own files, and fine-tune them')
    _add_files(finetune)
    option(finetune, '--num-steps', 'N', 'fine-tuning steps', 100)

    fit_one = add('fit-one', _fit_one, 'fit one file by itself: weights, curve and reconstruction')
    fit_one.add_argument('file', metavar='FILE', help=KINDS)
    option(fit_one, '--inr', 'NAME', 'INR family or gin file (default: a SIREN, sized by the file)')
    option(fit_one, '--initialisation', 'START', 'name of a scheme, file of weights, or run directory')
    add_trust(fit_one)
    optimizers = 'adam, adamw, amsgrad, sgd, muon, lbfgs, diagonal_curvature or conjugate_gradient'
    option(fit_one, '--optimizer', 'NAME', optimizers, 'adam')
    option(fit_one, '--rate', 'RATE', 'a number, search or range', 'search')
    steps = 'optimiser steps (default: 500 where a step sees all points, else 5000)'
    option(fit_one, '--num-steps', 'N', steps, type=int)
    freeze = "keep weights fixed, e.g. 'layer_0'; repeatable"
    fit_one.add_argument('--freeze', metavar='PATTERN', action='append', default=[], help=freeze)
    option(fit_one, '--longest-side', 'N', 'resample the signal so that its longest axis has N samples', type=int)
    points = 'points that each step draws (default: all of at most 16384, else 8192)'
    option(fit_one, '--points-per-step', 'N', points, type=int)
    option(fit_one, '--channels', 'N', 'read the signal with N channels (default: those of the file)', type=int)
    option(fit_one, '--seed', 'N', 'seed of a random start', 0)
    fewer = 'lower --points-per-step (8192 is enough), --longest-side or the size of the INR'
    fit_one.set_defaults(on_memory=fewer, ends_at_once=True)
    _add_output(fit_one)
    add_params(fit_one)

    decode = add('decode', _decode, 'make the signals of files of weights, at any number of samples')
    decode.add_argument('files', metavar='FILE', nargs='+', help='.npz or .safetensors of the other verbs')
    option(decode, '--out', 'DIR', 'output folder', 'decoded')
    option(decode, '--shape', 'N,N,...', 'samples along each axis (default: those of the original)')
    decode.set_defaults(on_memory='give a smaller --shape', ends_at_once=True)


def _add_files(command: argparse.ArgumentParser) -> None:
    add_run(command)
    command.add_argument('files', metavar='FILE', nargs='+', help=f'{KINDS}; of any size')
    _add_output(command)
    command.set_defaults(on_memory='give smaller files, or leave out --tile', ends_at_once=True)
    command.add_argument('--tile', action='store_true', help="one INR for each tile of the model's size")
    option(command, '--overlap', 'N', 'samples that neighbouring tiles share, blended in the reconstruction', 0)
    command.add_argument('--fold-omega', action='store_true', help='fold omega_0 into the weights')


def _add_output(command: argparse.ArgumentParser) -> None:
    option(command, '--out', 'DIR', 'output folder', 'weights')
    option(command, '--format', 'FORMAT', 'npz, safetensors or pt', 'npz')
    option(command, '--as', 'KIND', f'{KINDS} (default: that of the model, or by the suffix)', dest='kind')
    data_range = 'values of the file that become the ends of its range (default: by its type), as in --data-range=-1,1'
    option(command, '--data-range', 'LOW,HIGH', data_range)
    option(command, '--variables', 'NAME,...', 'of a field: the variables that become channels (default: all)')
    option(command, '--frame', 'N', 'of a field: which time or other first axis, from 0 (default: 0)', type=int)


def _read_options(options: argparse.Namespace) -> dict[str, Any]:
    """Return what the options say of the reading of a file; ``None`` for what is not given."""
    from hyperinr.files.file_values import check_data_range

    text, names = options.data_range, options.variables
    data_range = None if text is None else check_data_range('--data-range', text.split(','))
    return {
        'data_range': data_range,
        'variables': None if names is None else tuple(names.split(',')),
        'frame': options.frame,
    }


def _generate(options: argparse.Namespace) -> None:
    from hyperinr import library, own_files

    settings = {name: vars(options)[name] for name in ('out', 'format', 'kind', 'tile', 'overlap', 'fold_omega')}
    settings |= _read_options(options)
    model = library.load(options.run, best=options.best, trust=options.trust)
    if 'num_steps' in options:
        results = own_files.finetune_files(model, options.files, num_steps=options.num_steps, **settings)
    else:
        results = own_files.generate_files(model, options.files, **settings)
    own_files.print_results(results)


def _decode(options: argparse.Namespace) -> None:
    from hyperinr import own_files

    text = options.shape
    try:
        shape = None if text is None else tuple(map(int, text.split(',')))
    except ValueError:
        raise InputError(f'--shape must be whole numbers with commas, such as 256,256, not {text}.') from None
    decoded = own_files.decode_files(options.files, out=options.out, shape=shape)
    for file, written in zip(options.files, decoded, strict=True):
        print(f'{file} -> {written}')


def _fit_one(options: argparse.Namespace) -> None:
    from hyperinr import inrs, kinds, library, own_files
    from hyperinr.files import read_weights
    from hyperinr.inrs.named_schemes import named_scheme
    from hyperinr.inspection import draw_fit
    from hyperinr.runtime.outputs import check_outputs

    where, read_options = options.initialisation, _read_options(options)
    scheme, start, model = None, None, None
    if where is not None and Path(where).suffix in ('.npz', '.safetensors'):
        start = lambda inr, signal: own_files.start_from_file(inr, where, signal)
    elif where is not None and Path(where).is_dir():
        model = library.load(where, trust=options.trust)
        start = lambda inr, signal: own_files.start_from_model(inr, model, signal)
    elif where is not None:
        scheme = named_scheme(where)
    sized = options.inr is None and start is None
    of_start = start is not None and options.inr is None and not options.param

    def inr(channels: int, **size: float) -> 'Inr':
        if of_start and Path(where).exists():  # A start is one of the INR that it was made with.
            found = read_weights(where)[1] if model is None else model.inr.metadata
            return inrs.from_metadata({**found, 'channels': channels})
        chosen = [f'siren.{name} = {value}' for name, value in size.items()]
        return library.single_inr(
            options.inr or 'siren', [*chosen, *options.param], channels=channels, initialisation=scheme
        )

    try:
        rate = float(options.rate)
    except ValueError:
        rate = options.rate
    file = Path(options.file)
    name = own_files.name_of(file, kinds.kind_of(file, options.kind))
    result_path = Path(options.out) / f'{name}.{options.format}'
    drawing = result_path.with_name(f'{name}.curve.png')
    check_outputs([drawing])
    if where is not None and Path(where).resolve() == result_path.resolve():
        raise InputError(f'the result would overwrite {where}, its own start; give another --out.')
    names = ('out', 'format', 'kind', 'channels', 'longest_side', 'optimizer', 'num_steps', 'freeze', 'points_per_step')
    result = own_files.fit_file(
        inr,
        file,
        start=start,
        rate=rate,
        quiet=False,
        seed=options.seed,
        about={'start': where or 'published'},
        sized=sized,
        **read_options,
        **{name: vars(options)[name] for name in names},
    )
    picture = draw_fit(drawing, result.psnr_db)
    for note in result.notes:
        print(f'{options.file}: {note}')
    print(f'{options.optimizer} at {result.rate:.3g}: {result.kept_psnr_db:.2f} dB after {result.best_step} steps')
    print(*filter(None, (result.weights, result.reconstruction, result.curve, picture)), sep='\n')
