"""The wrapper itself; imported, and `wrapt` with it, when the first call is wrapped."""

import copy
import pkgutil
import sys
from typing import Any

import wrapt


class _BoundCall(wrapt.BoundFunctionWrapper):  # type: ignore[type-arg]  # it cannot be subscripted at run time
    """The wrapper of a method, as its class or an instance has it; pickled as methods are."""

    def __reduce_ex__(self, protocol: Any) -> tuple[Any, ...]:
        owner = getattr(self.__wrapped__, "__self__", None)
        if owner is not None:
            return getattr, (owner, self.__name__)
        return pkgutil.resolve_name, (f"{self.__module__}:{self.__qualname__}",)


class CallWrapper(wrapt.FunctionWrapper):  # type: ignore[type-arg]  # as above
    """Stands for a function, and is pickled as the function: by its name, whoever has that now.

    Args:
        original: The function, class, or what a class has for its method.
        around: Called in its place (see `instrument.intercept.patching.Around`).
    """

    __bound_function_wrapper__ = _BoundCall

    def __reduce_ex__(self, protocol: Any) -> str | tuple[Any, ...]:
        original = self.__wrapped__
        name: str = original.__qualname__
        home = sys.modules.get(original.__module__)
        return (copy.copy, (original,)) if getattr(home, name, None) is original else name
