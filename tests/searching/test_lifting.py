"""Programs that differ in numbers only become one function that equals each of them; others are told apart."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from hyperinr.searching.lifting import DifferentError, lift, trace


def program(scale, *, limit=2.0, table=(1.0, 2.0, 3.0)):
    """Numbers at every place where they can be: beside operations, in loops, branches, calls and arrays."""
    constants = np.asarray(table, np.float32)

    @jax.custom_jvp
    def cubed(x):
        return scale * x**3

    cubed.defjvp(lambda primals, tangents: (cubed(primals[0]), 7.0 * tangents[0]))

    def step(carry, x):
        carry = jax.lax.cond(x > limit, lambda c: c * scale, lambda c: c - scale, carry)
        return carry + x, jnp.sin(scale * carry)

    def function(x):
        total, collected = jax.lax.scan(step, x['start'], x['values'])
        doubled = jax.lax.while_loop(lambda c: c < 100 * scale, lambda c: 2 * c + scale, 1.0 + total**2)
        remembered = jax.grad(lambda y: jax.checkpoint(lambda z: jnp.sum(jnp.sin(scale * z)))(y))(x['values'])
        inside = jax.jit(lambda y: y * scale + constants)(x['values'])
        return {'a': collected, 'b': [doubled, cubed(total), remembered, inside], 'c': scale}

    return function


X = {'start': jnp.float32(0.3), 'values': jnp.array([1.0, 2.5, 0.2])}


@pytest.mark.parametrize('mapped', ['loop', 'vmap'])
def test_the_lifted_function_is_each_of_the_programs(mapped):
    functions = [program(0.5), program(1.5, limit=0.1), program(-2.0, table=(3.0, 1.0, 2.0))]
    lifted = lift([trace(function, X) for function in functions])
    assert all(len(each) == 3 for each in lifted.numbers)
    if mapped == 'vmap':
        results = jax.jit(jax.vmap(lifted.call, (0, None)))(lifted.numbers, X)
        found = [jax.tree.map(lambda leaf, row=row: leaf[row], results) for row in range(3)]
    else:
        found = [lifted.call([each[row] for each in lifted.numbers], X) for row in range(3)]
    for function, each in zip(functions, found, strict=True):
        expected = function(X)
        assert jax.tree.structure(expected) == jax.tree.structure(each)
        jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=2e-6), each, expected)


def test_equal_programs_have_no_numbers():
    assert lift([trace(program(0.5), X), trace(program(0.5), X)]).numbers == []


@pytest.mark.parametrize(
    ('one', 'other', 'message'),
    [
        (lambda x: x + 1, lambda x: x - 1, 'add and sub'),
        (lambda x: x + 1, lambda x: jnp.sin(x) + 1, 'operations'),
        (lambda x: x[:2].sum(), lambda x: x[:1].sum(), 'against'),
        (lambda x: x[:2], lambda x: x[1:], 'slice'),
        (lambda x: (x, x), lambda x: [x, x], 'structures'),
        (lambda x: x[0] - x[1], lambda x: x[1] - x[0], 'against'),
        (lambda x: x**3, lambda x: x**4, 'integer_pow'),
        (
            lambda x: (lambda a, b: a - b)(jnp.sin(x), jnp.cos(x)),
            lambda x: (lambda a, b: b - a)(jnp.sin(x), jnp.cos(x)),
            'which values',
        ),
    ],
)
def test_programs_that_differ_in_more_are_told_apart(one, other, message):
    with pytest.raises(DifferentError, match=message):
        lift([trace(one, X['values']), trace(other, X['values'])])
