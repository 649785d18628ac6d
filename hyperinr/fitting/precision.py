"""Compute the matrix products of any function in bfloat16.

JAX's own option is not enough: under ``jax.default_matmul_precision('BF16_BF16_F32')`` XLA still multiplies in float32
on a CPU (jax 0.11). The cost of bfloat16 in PSNR could then not be measured on a CPU.
"""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jax.extend.core import ClosedJaxpr, Jaxpr, Literal

__all__ = ['bfloat16_products']

_INLINED = {
    'jit': 'jaxpr',
    'pjit': 'jaxpr',
    'closed_call': 'call_jaxpr',
    'custom_jvp_call': 'call_jaxpr',
    'custom_vjp_call': 'call_jaxpr',
}
"""Primitives that only wrap other operations, and the parameter that holds those operations."""


def bfloat16_products(function: Callable[..., Any]) -> Callable[..., Any]:
    """Return the same function with factors of every float32 ``dot_general`` rounded to bfloat16, summed in float32.

    It works on the traced operations. Apply it last, around ``jax.value_and_grad``, so that it also covers the products
    of the gradient. Products inside a loop of ``function`` are not changed.
    """

    def rounded(*arguments: Any) -> Any:
        closed, shape = jax.make_jaxpr(function, return_shape=True)(*arguments)
        results = _evaluate(closed.jaxpr, closed.consts, jax.tree.leaves(arguments))
        return jax.tree.unflatten(jax.tree.structure(shape), results)

    return rounded


def _evaluate(jaxpr: Jaxpr, consts: Any, arguments: Any) -> list[Any]:
    values: dict[Any, Any] = dict(zip((*jaxpr.constvars, *jaxpr.invars), (*consts, *arguments), strict=True))
    read = lambda variable: variable.val if isinstance(variable, Literal) else values[variable]
    for equation in jaxpr.eqns:
        inputs, name = [read(variable) for variable in equation.invars], equation.primitive.name
        if name == 'dot_general' and all(leaf.dtype == jnp.float32 for leaf in inputs):
            lhs, rhs = (leaf.astype(jnp.bfloat16) for leaf in inputs)
            dimensions = equation.params['dimension_numbers']
            results = [jax.lax.dot_general(lhs, rhs, dimensions, preferred_element_type=jnp.float32)]
        elif name in _INLINED:
            inner = equation.params[_INLINED[name]]
            closed = inner if isinstance(inner, ClosedJaxpr) else ClosedJaxpr(inner, ())
            results = _evaluate(closed.jaxpr, closed.consts, inputs)
        else:
            found = equation.primitive.bind(*inputs, **equation.params)
            results = found if equation.primitive.multiple_results else [found]
        values.update(zip(equation.outvars, results, strict=True))
    return [read(variable) for variable in jaxpr.outvars]
