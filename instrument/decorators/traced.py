"""Functions that are recorded by their names; `instrument.intercept.tracing` finds them."""

from collections.abc import Callable
from typing import Any, cast

from instrument.decorators.calls import closure_codes
from instrument.decorators.reproduce import Reproducible
from instrument.decorators.wrapping import decorator


def recorded(function: Callable[..., Any]) -> Callable[..., Any]:
    """`function` as ``@reproducible`` would have it, unless it is decorated already."""
    if getattr(function, "__code__", None) in closure_codes:
        return function
    return cast("Callable[..., Any]", decorator("trace", function, Reproducible(None, None), {}))
