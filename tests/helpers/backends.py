"""Which cases of a table run on both backends."""

import pytest


def first_on_jax(cases, count=1):
    """Return a table whose first `count` cases run on both backends, and whose others run once.

    On JAX each case compiles graphs of its own. Use it where the other cases differ from the first ones in numbers, or
    in code that calls what the first ones have called.
    """
    return [
        case
        if number < count
        else pytest.param(*(case if isinstance(case, tuple) else (case,)), marks=pytest.mark.backend_free)
        for number, case in enumerate(cases)
    ]
