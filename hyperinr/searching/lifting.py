"""Several programs that differ in numbers only, as one program of these numbers.

Two learners that were built with another learning rate or another ``omega_0`` are two functions of Python, and yet,
once traced, the same operations on the same shapes with other constants among them. `lift` walks such traces side by
side, takes out every constant in which they differ, and returns one function that gets them as arguments; ``jax.vmap``
over these runs all programs at once. Nothing need be known of what a hyperparameter means, and no factory need take
arrays: whatever leaves the trace alike can be lifted, and `DifferentError` says of anything else where it does not.

Letters: ``T`` programs.
"""

from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

import jax
import numpy as np
from jax.extend.core import ClosedJaxpr, Jaxpr, Literal

from hyperinr.types import Array

__all__ = ['DifferentError', 'Lifted', 'lift', 'trace']

Path = tuple[int | str, ...]
"""Where a constant stands: the numbers of equations, names of nested programs and positions on the way to it."""
CALLS = {'jit', 'pjit', 'closed_call', 'core_call', 'custom_jvp_call', 'custom_vjp_call', 'checkpoint', 'remat2'}
"""Primitives that evaluate one nested program on their arguments once nothing is left to differentiate."""
NESTING = CALLS | {'scan', 'while', 'cond'}
IGNORED = {'name', 'debug_info', 'ctx_mesh', 'policy', 'jvp_jaxpr_fun', 'fwd_jaxpr_thunk', 'bwd', 'out_trees'}
"""Parameters of a primitive that do not change what it computes, or only what its derivative would be."""


class DifferentError(ValueError):
    """Two programs differ in more than numbers; the message says where."""


class Traced(NamedTuple):
    """A function of pytrees as a program.

    Attributes:
      program: of flat arguments.
      structure: of the result.
    """

    program: ClosedJaxpr
    structure: Any


class Lifted(NamedTuple):
    """One function for T programs.

    Attributes:
      call: ``(numbers of one program, *arguments) -> result``, on pytrees as the traced functions.
      numbers: what differs, leaves ``[T, ...]``; an empty list for T equal programs.
    """

    call: Callable[..., Any]
    numbers: list[np.ndarray]


def trace(function: Callable[..., Any], *arguments: Any) -> Traced:
    """The program of ``function`` for arguments like these; arrays or only their shapes."""
    program, shapes = jax.make_jaxpr(function, return_shape=True)(*arguments)
    return Traced(program, jax.tree.structure(shapes))


def lift(traced: Sequence[Traced]) -> Lifted:
    """One function for all of ``traced``.

    Args:
      traced: T >= 1 programs.

    Returns:
      The function and its numbers. Its result for the numbers of one program is that program's, bit for bit before
      compilation.

    Raises:
      DifferentError: they are not the same operations on the same shapes, or differ in a number that a loop's length,
        an index or some other static property depends on.
    """
    if any(each.structure != traced[0].structure for each in traced):
        raise DifferentError('their results have other structures')
    found: dict[Path, np.ndarray] = {}
    programs = [each.program for each in traced]
    _compare_constants([program.consts for program in programs], (), found)
    _compare([program.jaxpr for program in programs], (), found)
    places = {path: number for number, path in enumerate(found)}
    # A nested program's path goes on beyond its equation by a label and a place in it, an operand's by one position.
    inside = {path[:length] for path in found for length in range(len(path) - 2)}
    reference, structure = traced[0]

    def call(numbers: Sequence[Array], *arguments: Any) -> Any:
        table = {path: numbers[number] for path, number in places.items()}
        flat = _evaluate(reference, (), jax.tree.leaves(arguments), table, inside)
        return jax.tree.unflatten(structure, flat)

    return Lifted(call, list(found.values()))


def _compare(jaxprs: Sequence[Jaxpr], path: Path, found: dict[Path, np.ndarray]) -> None:
    """Adds to ``found`` the literals in which the programs differ."""
    first = jaxprs[0]
    if any(len(each.eqns) != len(first.eqns) for each in jaxprs):
        raise DifferentError(f'{sorted({len(each.eqns) for each in jaxprs})} operations')
    order = [_numbered(each) for each in jaxprs]
    _compare_shapes([[*each.constvars, *each.invars] for each in jaxprs], 'an argument')
    for number, equations in enumerate(zip(*(each.eqns for each in jaxprs), strict=True)):
        names = {equation.primitive.name for equation in equations}
        if len(names) > 1:
            raise DifferentError(f'the operations {" and ".join(sorted(names))}')
        _compare_shapes([equation.invars for equation in equations], f'an operand of {equations[0].primitive.name}')
        _compare_shapes([equation.outvars for equation in equations], f'a result of {equations[0].primitive.name}')
        _compare_atoms([equation.invars for equation in equations], order, (*path, number), found)
        _compare_parameters(equations, (*path, number), found)
    _compare_atoms([each.outvars for each in jaxprs], order, (*path, 'out'), found)


def _numbered(jaxpr: Jaxpr) -> dict[Any, int]:
    """Every variable by the order in which it is defined."""
    defined = [*jaxpr.constvars, *jaxpr.invars, *(each for equation in jaxpr.eqns for each in equation.outvars)]
    return {variable: number for number, variable in enumerate(defined)}


def _compare_shapes(atoms: Sequence[Sequence[Any]], what: str) -> None:
    for each in atoms[1:]:
        if len(each) != len(atoms[0]):
            raise DifferentError(f'{what}: {len(atoms[0])} against {len(each)}')
        for one, other in zip(atoms[0], each, strict=True):
            if (one.aval.shape, one.aval.dtype) != (other.aval.shape, other.aval.dtype):
                raise DifferentError(f'{what}: {one.aval.str_short()} against {other.aval.str_short()}')


def _compare_atoms(
    atoms: Sequence[Sequence[Any]], order: Sequence[dict[Any, int]], path: Path, found: dict[Path, np.ndarray]
) -> None:
    for position, column in enumerate(zip(*atoms, strict=True)):
        constant = [isinstance(atom, Literal) for atom in column]
        if all(constant):
            _compare_values([atom.val for atom in column], column[0].aval, (*path, position), found)
        elif any(constant) or len({order[row][atom] for row, atom in enumerate(column)}) > 1:
            raise DifferentError('which values their operations use')


def _compare_constants(constants: Sequence[Sequence[Any]], path: Path, found: dict[Path, np.ndarray]) -> None:
    for position, column in enumerate(zip(*constants, strict=True)):
        _compare_values(column, jax.typeof(column[0]), (*path, 'const', position), found)


def _compare_values(values: Sequence[Any], aval: Any, path: Path, found: dict[Path, np.ndarray]) -> None:
    if jax.dtypes.issubdtype(aval.dtype, jax.dtypes.extended):
        if any(np.any(jax.random.key_data(each) != jax.random.key_data(values[0])) for each in values):
            raise DifferentError('a random key among their constants')
        return
    arrays = [np.asarray(each, aval.dtype) for each in values]
    if any(not np.array_equal(each, arrays[0], equal_nan=aval.dtype.kind == 'f') for each in arrays):
        found[path] = np.stack(arrays)


def _compare_parameters(equations: Sequence[Any], path: Path, found: dict[Path, np.ndarray]) -> None:
    name = equations[0].primitive.name
    for key in equations[0].params:
        column = [equation.params.get(key) for equation in equations]
        before = len(found)
        for label, programs in _nested(key, column):
            _compare_constants([_closed(each).consts for each in programs], (*path, label), found)
            _compare([_closed(each).jaxpr for each in programs], (*path, label), found)
        if len(found) > before and name not in NESTING:
            raise DifferentError(f'a number inside {name}')
        if key in IGNORED or callable(column[0]) or list(_nested(key, column[:1])):
            continue
        for each in column[1:]:
            if not _equal(each, column[0]):
                raise DifferentError(f'{key} of {name}: {column[0]} against {each}')


def _nested(key: str, column: Sequence[Any]) -> Iterator[tuple[str, list[Any]]]:
    """Programs that a parameter holds, by a label that is unique within the equation."""
    if isinstance(column[0], ClosedJaxpr | Jaxpr):
        yield key, list(column)
    elif isinstance(column[0], tuple | list):
        if any(len(each) != len(column[0]) for each in column):
            raise DifferentError(f'{key}: {len(column[0])} against another number')
        for number, programs in enumerate(zip(*column, strict=True)):
            if isinstance(programs[0], ClosedJaxpr | Jaxpr):
                yield f'{key}{number}', list(programs)


def _closed(program: ClosedJaxpr | Jaxpr) -> ClosedJaxpr:
    return program if isinstance(program, ClosedJaxpr) else ClosedJaxpr(program, [])


def _equal(one: Any, other: Any) -> bool:
    if isinstance(one, np.ndarray) or isinstance(other, np.ndarray):
        return np.array_equal(one, other)
    return bool(one == other)


def _evaluate(
    program: ClosedJaxpr, path: Path, arguments: Sequence[Any], table: dict[Path, Array], inside: set[Path]
) -> list[Any]:
    """The reference program with the numbers of ``table`` in place of its own."""
    jaxpr = program.jaxpr
    constants = [table.get((*path, 'const', number), each) for number, each in enumerate(program.consts)]
    known = dict(zip([*jaxpr.constvars, *jaxpr.invars], [*constants, *arguments], strict=True))

    def read(atom: Any, *place: int | str) -> Any:
        if isinstance(atom, Literal):
            return table.get((*path, *place), atom.val)
        return known[atom]

    for number, equation in enumerate(jaxpr.eqns):
        values = [read(atom, number, position) for position, atom in enumerate(equation.invars)]
        here = (*path, number)
        if equation.primitive.name in CALLS or here in inside:
            results = _evaluate_nesting(equation, here, values, table, inside)
        else:
            results = equation.primitive.bind(*values, **equation.params)
            results = results if equation.primitive.multiple_results else [results]
        known.update(zip(equation.outvars, results, strict=True))
    return [read(atom, 'out', position) for position, atom in enumerate(jaxpr.outvars)]


def _evaluate_nesting(
    equation: Any, path: Path, values: list[Any], table: dict[Path, Array], inside: set[Path]
) -> list[Any]:
    """One of `NESTING`, the numbers of its nested programs taken from ``table``."""
    parameters, name = equation.params, equation.primitive.name
    programs = {label: each for key in parameters for label, (each,) in _nested(key, [parameters[key]])}

    def run(label: str) -> Callable[..., list[Any]]:
        return lambda *arguments: _evaluate(_closed(programs[label]), (*path, label), arguments, table, inside)

    if name in CALLS:
        (label,) = programs
        if parameters.get('differentiated') and parameters.get('prevent_cse'):
            values = jax.lax.optimization_barrier(values)  # Else XLA would merge the recomputation with the first time.
        return run(label)(*values)
    if name == 'cond':
        index, *operands = values
        return jax.lax.switch(index, [run(label) for label in programs], *operands)
    if name == 'while':
        of_test, of_body = parameters['cond_nconsts'], parameters['body_nconsts']
        for_test, for_body, start = values[:of_test], values[of_test : of_test + of_body], values[of_test + of_body :]
        return jax.lax.while_loop(
            lambda carry: run('cond_jaxpr')(*for_test, *carry)[0],
            lambda carry: run('body_jaxpr')(*for_body, *carry),
            start,
        )
    fixed, carried = parameters['num_consts'], parameters['num_carry']

    def step(carry: list[Any], slices: list[Any]) -> tuple[list[Any], list[Any]]:
        results = run('jaxpr')(*values[:fixed], *carry, *slices)
        return results[:carried], results[carried:]

    last, collected = jax.lax.scan(
        step,
        values[fixed : fixed + carried],
        values[fixed + carried :],
        length=parameters['length'],
        reverse=parameters['reverse'],
        unroll=parameters['unroll'],
    )
    return [*last, *collected]
