"""Compare starts on one's own data: generated weights with learned, random and linear ones, of the same INR.

``python -m experiments.own_data CONFIG [-p BINDING ...] --out DIR [--only NAME ...] [--seeds N]``. The config says
data, INR, hypernetwork and learner; a learned start is this config with other parts, see `STARTS`. All are trained by
`hyperinr train`, in ``DIR/runs``, for as many updates as fit into ``--seconds`` (``--other-seconds`` for those that are
no rival in speed). Every start is then fine-tuned by its best rule, found on the validation split with the first seed.
Random starts choose their first frequencies there, too. ``DIR/own_data.json`` has the rows, ``own_data.md`` the table;
the same command goes on after a stop.
"""

import argparse
import itertools
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np

from experiments import finetuning_curves as curves
from experiments.study import Rows, format_table, machine, rounded_db, write_study
from experiments.timed_training import train_for, updates_within
from hyperinr import config, inrs, library, metrics
from hyperinr import weights as weights_lib
from hyperinr.arguments import check_least
from hyperinr.datasets.base import select
from hyperinr.errors import InputError, InterruptedRunError, RunError
from hyperinr.evaluation.figures import FIGURES, figures_of
from hyperinr.evaluation.starts import equal_feature_grid
from hyperinr.inrs.initialisation import in_range
from hyperinr.inrs.siren_variants import SIREN_VARIANTS
from hyperinr.runtime.compilation_cache import use_compilation_cache
from hyperinr.runtime.environment import set_environment
from hyperinr.types import Inr

__all__ = ['FIXED', 'STARTS', 'Protocol', 'main', 'run', 'table']

NAME = 'own_data'


class Learned(NamedTuple):
    """A trained start.

    Attributes:
      parts: configs in place of those of the given one.
      bindings: further bindings; ``{omega_0}`` is the first frequency of the given config, ``{latent_rate}`` 100 times
        its initial rate.
      is_rival: whether it is trained as long as the generated weights.
    """

    parts: tuple[str, ...] = ()
    bindings: tuple[str, ...] = ()
    is_rival: bool = True


STARTS: Mapping[str, Learned] = {
    'generated': Learned(),
    'meta_sgd': Learned(('encoder/constant.gin',), ('weight_heads.rates = @hypernetworks.learned_rates()',)),
    'latent': Learned(
        ('encoder/constant.gin', 'hypernetwork/shifts.gin', 'learner/latent_steps.gin'),
        ('siren.omega_0 = {omega_0}', 'siren.hidden_omega_0 = 10.0', 'learned_rates.initial = {latent_rate}'),
        is_rival=False,
    ),
}
"""Name -> start: weights of the config's hypernetwork; one start for all signals with learned rates (Meta-SGD, Li et
al. 2017); a latent that shifts the hidden biases of a shared INR (functa, Dupont et al. 2022)."""
RATES = ('hypernetworks.learned_rates.initial', 'hypernetworks.predicted_rates.initial')
"""Settings of the initial rate; that of a latent is 100 times as large, as in ``hypernetwork/shifts.gin``."""
FIXED = ('random', 'grid')
"""Starts without training: the best random one, and a grid of values with as many parameters as the INR."""
FACTORS = (0.5, 1.0, 2.0)
"""Multiples of the config's first frequency from which a random SIREN chooses."""
SCHEMES = ('paper', 'normal_first_1.5')
"""Schemes of `SIREN_VARIANTS` from which it chooses."""
SHOWN = (0, 1, 2, 3, 10, 30, 100, 300)
"""Steps in the table."""
AIM = 3
"""The step of the generated weights that random starts are to reach."""


class Protocol(NamedTuple):
    """What all rows of one table share.

    Attributes:
      config: name of the config.
      bindings: of the user.
      seconds: seconds of training of the generated weights and of their rivals.
      other_seconds: seconds of training of other starts.
      num_steps: steps of a fit, those of the learner included.
      search_steps: steps of a fit that tries a rule.
      num_search: validation datapoints on which rules are chosen.
      search_points: most points of each of them, drawn at random.
      num_test: test datapoints.
    """

    config: str
    bindings: tuple[str, ...] = ()
    seconds: float = 480.0
    other_seconds: float = 180.0
    num_steps: int = 300
    search_steps: int = 60
    num_search: int = 8
    search_points: int = 4096
    num_test: int = 24


def run(protocol: Protocol, out: Path, *, only: Sequence[str] = (), seeds: int = 1) -> Path:
    """Compute the missing rows; write ``out/own_data.json`` and ``out/own_data.md``, and return the first.

    Args:
      protocol: what is compared.
      out: folder for rows, runs and compiled functions.
      only: names in `STARTS` and `FIXED`; empty: all.
      seeds: number of seeds of every start, >= 1.

    Raises:
      InputError: an unknown name, or ``out`` has rows of another protocol.
    """
    names = [*STARTS, *FIXED]
    unknown = [name for name in only if name not in names]
    if unknown:
        raise InputError(f'starts are {", ".join(names)}, not {", ".join(unknown)}.')
    check_least(
        seeds=(seeds, 1), num_steps=(protocol.num_steps, AIM + 1), search_steps=(protocol.search_steps, AIM + 1)
    )
    bench = _Bench(protocol, out)  # Wrong data are said before anything is written.
    rows = bench.rows
    use_compilation_cache(out)
    for seed, name in itertools.product(range(seeds), only or names):
        if f'row {name} {seed}' not in rows:
            rows.add(f'row {name} {seed}', bench.row(name, seed))
            jax.clear_caches()
    path = out / f'{NAME}.json'
    finished = [row for row in rows if row['key'].startswith('row ')]
    write_study(path, {'machine': machine(), 'protocol': protocol._asdict()}, finished)
    path.with_suffix('.md').write_text(table(finished) + '\n', encoding='utf-8')
    return path


class _Bench:
    """The data of a table, and the rows of its starts."""

    def __init__(self, protocol: Protocol, out: Path):
        self._protocol, self._out = protocol, out
        resolved = config.load_config(protocol.config, protocol.bindings)
        with config.applied(resolved):
            experiment = library.compose()
            dataset = experiment.dataset()
            self._inr = in_range(experiment.inr(channels=dataset.spec.channels), dataset.spec.data_range)
        rates = [each.value for each in resolved.settings if each.name in RATES]
        self._of_config = {
            'omega_0': self._inr.metadata.get('omega_0'),
            'latent_rate': 100 * rates[0] if rates else 10.0,
        }
        self._spec = dataset.spec
        self._searched, _ = select(dataset, 'validation', protocol.num_search)
        self._tested, _ = select(dataset, 'test', protocol.num_test)
        steps = {*SHOWN, *np.geomspace(1, protocol.num_steps, 40).astype(int).tolist()}
        self._steps = sorted(step for step in steps if step <= protocol.num_steps)
        self.rows = Rows(out / f'{NAME}.rows.jsonl', protocol._asdict())

    def row(self, name: str, seed: int) -> dict[str, Any]:
        """Train, search and measure one row; a diverged training gives a row that states it."""
        protocol, spec = self._protocol, self._spec
        about = {'start': name, 'seed': seed}
        try:
            beginning, trained = self._learned(name, seed) if name in STARTS else self._fixed(name, seed)
        except InterruptedRunError:
            raise
        except RunError as error:
            return {**about, 'failed': str(error)}
        found = self._once(f'rule {name}', lambda: self._search(beginning)[1]._asdict())
        rule = curves.Rule(**{field: found[field] for field in curves.Rule._fields})
        path, fitted = curves.follow(
            beginning, rule, self._tested, num_steps=protocol.num_steps, record_steps=self._steps
        )
        mse = np.concatenate([curves.path_errors(beginning.inr, path, self._tested)[:, :-1], fitted.mse], axis=1)
        psnr = np.asarray(metrics.psnr_from_mse(mse, spec.data_range))
        kept = curves.joined(path, fitted, self._steps)
        return {
            **about,
            **trained,
            'weights': weights_lib.count(weights_lib.spec_of_inr(beginning.inr, spec.coord_dims)),
            'rule': rule._asdict(),
            'steps': self._steps,
            'psnr_db': rounded_db(psnr.mean(axis=0)),
            'psnr_db_per_datapoint': [rounded_db(each[self._steps]) for each in psnr],
            'figures': self._figures(beginning.inr, kept),
        }

    def _learned(self, name: str, seed: int) -> tuple[curves.Beginning, dict[str, Any]]:
        protocol, start = self._protocol, STARTS[name]
        seconds = protocol.seconds if start.is_rival else protocol.other_seconds
        bindings = [*protocol.bindings, *(each.format(**self._of_config) for each in start.bindings)]
        count = lambda: {'updates': updates_within(protocol.config, bindings, seconds, also=start.parts)}
        trained = train_for(
            protocol.config, bindings, self._out / 'runs' / name / str(seed),
            seconds=None, updates=self._once(f'updates {name}', count)['updates'], seed=seed, also=start.parts,
        )  # fmt: skip
        return curves.generated(trained.model), {
            'parameters': sum(leaf.size for leaf in jax.tree.leaves(trained.model.params)),
            'training_seconds': seconds,
            'updates': trained.updates,
        }

    def _fixed(self, name: str, seed: int) -> tuple[curves.Beginning, dict[str, Any]]:
        beginning = lambda inr: curves.random(inr, self._spec, seed=seed)
        if name == 'grid':
            count = weights_lib.count(weights_lib.spec_of_inr(self._inr, self._spec.coord_dims))
            return beginning(equal_feature_grid(self._spec, count)), {'parameters': 0}
        candidates = self._random_inrs()

        def choose() -> dict[str, Any]:
            found = {label: self._search(beginning(inr)) for label, inr in candidates.items()}
            best = max(found, key=lambda label: found[label][0])
            self.rows.add('rule random', found[best][1]._asdict())
            return {'random': best, 'scores': {label: score for label, (score, _) in found.items()}}

        chosen = self._once('choice random', choose)['random']
        return beginning(candidates[chosen]), {'parameters': 0, 'random': chosen}

    def _random_inrs(self) -> dict[str, Inr]:
        """Return the random starts to choose from, by what they are."""
        about = self._inr.metadata
        if about['kind'] != 'siren':
            return {'as configured': self._inr}
        sizes = {name: about[name] for name in ('channels', 'width', 'depth')}
        found = {}
        for factor, scheme in itertools.product(FACTORS, SCHEMES):
            omega_0, variant = factor * about['omega_0'], SIREN_VARIANTS[scheme]
            inr = inrs.siren(
                **sizes, omega_0=omega_0, hidden_omega_0=about['hidden_omega_0'], initialisation=variant.initialisation
            )
            found[f'omega_0 = {omega_0:g}, {scheme}'] = in_range(inr, self._spec.data_range)
        return found

    def _search(self, beginning: curves.Beginning) -> tuple[float, curves.Rule]:
        steps, points = self._protocol.search_steps, self._protocol.search_points
        return curves.best_scored_rule(beginning, self._searched, self._spec, num_steps=steps, most_points=points)

    def _figures(self, inr: Inr, path: Any) -> dict[str, list[float | None]]:
        """Return the means of the figures that suit the data, at the recorded steps."""
        spec, shape = self._spec, self._spec.grid_shape
        found = {key: figure for key, figure in figures_of(spec).items() if key in JUDGED}
        if not found or shape is None:
            return {}
        values = jax.jit(lambda weights, coords: jax.lax.map(lambda each: inr.apply(each, coords), weights))
        judged: dict[str, list[np.ndarray]] = {key: [] for key in found}
        for row in range(len(self._tested.coords)):
            one = jax.tree.map(lambda leaf, row=row: leaf[row], (path, self._tested))
            rebuilt = np.asarray(values(one[0], one[1].coords)).reshape(-1, *shape, spec.channels)
            original, weight = np.reshape(one[1].values, rebuilt.shape[1:]), np.reshape(one[1].weight, shape)
            for key, figure in found.items():
                judged[key].append(figure.measure(rebuilt, original, weight, spec))
        return {key: [round(float(each), 4) for each in np.mean(rows, axis=0)] for key, rows in judged.items()}

    def _once(self, key: str, compute: Callable[[], dict[str, Any]]) -> dict[str, Any]:
        """Return what all seeds of a start share: from the rows, or computed and added to them."""
        if key not in self.rows:
            self.rows.add(key, compute())
        return self.rows.rows[key]


JUDGED = ('iou',)
"""Figures of the table beside PSNR."""


def table(rows: Sequence[Mapping[str, Any]]) -> str:
    """Return markdown tables of PSNR and of `JUDGED`: means over seeds, and steps to what generated weights reach."""
    groups: dict[str, list[Mapping[str, Any]]] = {}
    for row in rows:
        groups.setdefault(row['start'], []).append(row)
    good = {name: [row for row in mine if 'failed' not in row] for name, mine in groups.items()}

    def facts(name: str) -> list[str]:
        first = good[name][0]
        return [name, f'{first["weights"]:,}', f'{first.get("updates", 0):,}', str(len(good[name]))]

    psnr = {name: [dict(enumerate(row['psnr_db'])) for row in mine] for name, mine in good.items() if mine}
    failed = [[name, 'failed'] for name, mine in good.items() if not mine]
    tables = [_table(['start', 'weights', 'updates', 'seeds'], facts, psnr, '.1f', failed)]
    for key in JUDGED:
        judged = {
            name: [dict(zip(row['steps'], row['figures'][key], strict=True)) for row in mine if key in row['figures']]
            for name, mine in good.items()
        }
        judged = {name: curves for name, curves in judged.items() if curves}
        if judged:
            tables.append(_table([FIGURES[key].label], lambda name: [name], judged, '.3f', []))
    return '\n\n'.join(tables)


def _table(
    header: list[str],
    facts: Callable[[str], list[str]],
    curves_of: Mapping[str, Sequence[Mapping[int, float | None]]],
    places: str,
    failed: list[list[str]],
) -> str:
    """Return a table of the mean of each start's curves, ``step -> value``, with ``facts`` before it."""
    number = lambda value: np.nan if value is None else value
    means = {
        name: {step: float(np.mean([number(curve[step]) for curve in curves])) for step in curves[0]}
        for name, curves in curves_of.items()
    }
    shown = [step for step in SHOWN if all(step in curve for curve in means.values())] if means else []
    aim = means.get('generated', {}).get(AIM)
    lines = []
    for name, curve in means.items():
        # Half of the last digit: what reads equal is reached.
        close = None if aim is None else aim - 0.5 * 10.0 ** -int(places[1])
        reached = next((step for step, value in curve.items() if close is not None and value >= close), None)
        to_aim = '-' if aim is None else f'> {max(curve)}' if reached is None else str(reached)
        lines.append([*facts(name), *(f'{curve[step]:{places}}' for step in shown), to_aim])
    head = [*header, *(f'{step} steps' for step in shown), f'steps to {aim or 0:{places}}']
    return format_table(head, lines + [row + ['-'] * (len(head) - len(row)) for row in failed])


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line."""
    set_environment()
    usual = Protocol._field_defaults
    parser = argparse.ArgumentParser(prog=f'python -m experiments.{NAME}', description=__doc__)
    parser.add_argument('config', metavar='CONFIG', help='experiment/NAME.gin, or a file')
    parser.add_argument('-p', '--param', action='append', default=[], metavar='BINDING', help='as of hyperinr train')
    parser.add_argument('--out', type=Path, required=True, metavar='DIR', help='rows, runs and table')
    parser.add_argument('--only', nargs='+', default=[], metavar='NAME', help='these starts alone')
    parser.add_argument('--seeds', type=int, default=1, metavar='N', help='of every start')
    for name, kind in Protocol.__annotations__.items():
        if kind in (int, float):
            parser.add_argument(f'--{name.replace("_", "-")}', type=kind, default=usual[name], metavar='N')
    options = vars(parser.parse_args(arguments))
    out, only, seeds, bindings = (options.pop(name) for name in ('out', 'only', 'seeds', 'param'))
    try:
        path = run(Protocol(bindings=tuple(bindings), **options), out, only=only, seeds=seeds)
    except (InputError, InterruptedRunError) as error:
        parser.exit(error.exit_status, f'{parser.prog}: error: {error}\n')
    print(path.with_suffix('.md').read_text(encoding='utf-8'))


if __name__ == '__main__':
    main()
