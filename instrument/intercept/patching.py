"""Wraps calls of libraries, and puts back what it wrapped.

One wrapper stands for one original, wherever a module has a name for it: in the place it is
defined, under its other names, and where ``from … import`` had bound it before we came. A wrapper
that somebody else wrapped in turn stays where it is and only passes calls on.
"""

import inspect
import sys
import threading
from collections.abc import Callable
from types import ModuleType
from typing import Any, NamedTuple

Around = Callable[[Callable[..., Any], Any, tuple[Any, ...], dict[str, Any]], Any]
"""What is called in place of the original: with the original (bound), the instance or class it is
bound to (None for a function), and the arguments."""


class Target(NamedTuple):
    """A call to wrap.

    Attributes:
        module: Name of the module.
        name: ``function`` or ``Class.method`` in it.
        around: What is called instead.
    """

    module: str
    name: str
    around: Around


class _Place(NamedTuple):
    """One name for a wrapped original: where it is, and what stood there.

    Attributes:
        holder: The module or class.
        name: The attribute.
        original: What it was.
        inherited: Whether the attribute was that of a base class.
    """

    holder: Any
    name: str
    original: Any
    inherited: bool


class Patches:
    """The wrapped calls of this process. Thread-safe; wrapping twice is wrapping once."""

    def __init__(self) -> None:
        self._lock = threading.RLock()
        self._wrappers: dict[int, Any] = {}
        self._places: list[_Place] = []

    def wrap(self, module: ModuleType, target: Target) -> None:
        """Wrap `target` in `module`.

        Raises:
            AttributeError: The module has no such name.
        """
        holder: Any = module
        *outer, name = target.name.split(".")
        for part in outer:
            holder = getattr(holder, part)
        original = inspect.getattr_static(holder, name)
        with self._lock:
            if self._is_wrapper(original):
                return
            wrapper = self._wrapper(original, target)
            self._put(holder, name, original, wrapper)
            if isinstance(holder, ModuleType):
                self._replace_elsewhere(original, wrapper)

    def remove(self) -> None:
        """Put everything back that is still as we left it."""
        with self._lock:
            for place in reversed(self._places):
                now = vars(place.holder).get(place.name)
                if not self._is_wrapper(now):
                    continue
                if place.inherited:
                    delattr(place.holder, place.name)
                else:
                    setattr(place.holder, place.name, place.original)
            self._places.clear()
            self._wrappers.clear()

    def _wrapper(self, original: Any, target: Target) -> Any:
        known = self._wrappers.get(id(original))
        if known is not None:
            return known
        from instrument.intercept.wrapper import CallWrapper

        wrapper = CallWrapper(original, target.around)
        self._wrappers[id(original)] = wrapper
        return wrapper

    def _is_wrapper(self, value: Any) -> bool:
        return any(value is wrapper for wrapper in self._wrappers.values())

    def _put(self, holder: Any, name: str, original: Any, wrapper: Any) -> None:
        self._places.append(_Place(holder, name, original, name not in vars(holder)))
        setattr(holder, name, wrapper)

    def _replace_elsewhere(self, original: Any, wrapper: Any) -> None:
        """Replace `original` where another module has a name of its own for it."""
        for module in list(sys.modules.values()):
            values = getattr(module, "__dict__", {})  # anything may stand in `sys.modules`
            names = [name for name, value in list(values.items()) if value is original]
            for name in names:
                self._put(module, name, original, wrapper)
