"""Wraps calls of libraries, and puts back what it wrapped.

A plain function is diverted: it stays the object that it is, under all its names; so is one that a
module has bound to an object of its own (``random.seed``). For a method of a class, and
a function or class that is not written in Python, a wrapper stands; one wrapper for one original,
wherever a module has a name for it: under its public names, and where ``from … import`` had bound
it before we came. What somebody else wrapped in turn stays theirs: our wrapper below only passes
calls on.
"""

import sys
from collections.abc import Callable, Iterable, Iterator
from types import FunctionType, MethodType, ModuleType
from typing import TYPE_CHECKING, Any, cast

import msgspec

from instrument.intercept.targets import Around, Target

if TYPE_CHECKING:
    from instrument.intercept.diverting import Diversion


class _Method(msgspec.Struct, frozen=True):
    """A wrapped method: its class, and what stood there.

    Attributes:
        holder: The class.
        name: The attribute.
        original: What it was.
        inherited: Whether the attribute was that of a base class.
        wrapper: What stands there now.
    """

    holder: type
    name: str
    original: Any
    inherited: bool
    wrapper: Any


class Patches:
    """The wrapped calls of this process. Wrapping twice is wrapping once.

    One thread at a time may call.
    """

    def __init__(self) -> None:
        self._diversions: list[Diversion] = []
        self._functions: dict[int, tuple[Any, Any]] = {}
        self._methods: list[_Method] = []
        self._homes: set[str] = set()
        self._swept: set[str] = set()
        self._sought: set[tuple[str, str]] = set()
        self._again = {"__main__"}

    def wrap(self, module: ModuleType, target: Target) -> None:
        """Wrap `target` in `module`; of functions, `sweep` finds the other names.

        Raises:
            AttributeError: The module has no such name.
        """
        from inspect import getattr_static  # slow to import, as are wrapper and diversion

        from instrument.intercept.diverting import can_be_diverted

        for holder, name in list(places(module, target.name)):
            original = getattr_static(holder, name)
            if isinstance(original, MethodType) and can_be_diverted(original.__func__):
                around = _of_one(original.__self__, target.around)
                self._divert(cast("FunctionType", original.__func__), around)
                continue
            from instrument.intercept.wrapper import CallWrapper

            if type(original) is CallWrapper:
                continue
            if not isinstance(holder, ModuleType):
                wrapper = CallWrapper(original, target.around)
                inherited = name not in vars(holder)
                self._methods.append(_Method(holder, name, original, inherited, wrapper))
                setattr(holder, name, wrapper)
            elif can_be_diverted(original):
                self._divert(original, target.around)
            else:
                self._stand_in(module, name, CallWrapper(original, target.around))

    def _divert(self, function: FunctionType, around: Around) -> None:
        from instrument.intercept.diverting import Diversion, is_diverted

        if not is_diverted(function):
            self._diversions.append(Diversion(function, around))
            self._diversions[-1].begin()

    def _stand_in(self, module: ModuleType, name: str, wrapper: Any) -> None:
        original = wrapper.__wrapped__
        if original.__module__ != module.__name__:
            self._homes.add(original.__module__)
        self._functions[id(original)] = (original, wrapper)
        self._seek(module.__name__, name)
        self._again |= {module.__name__, *_packages(module.__name__)}
        vars(module)[name] = wrapper

    def sweep(self) -> None:
        """Wrap functions also where a module has bound them before."""
        self._exchange({key: wrapper for key, (_, wrapper) in self._functions.items()})

    def keep_out_of_graphs(self) -> None:
        """The compiler of torch was imported after functions were diverted."""
        for diversion in self._diversions:
            diversion.keep_out_of_graphs()

    def remove(self) -> None:
        """Put everything back that is still as we left it."""
        for method in reversed(self._methods):
            if vars(method.holder).get(method.name) is not method.wrapper:
                continue
            if method.inherited:
                delattr(method.holder, method.name)
            else:
                setattr(method.holder, method.name, method.original)
        for diversion in self._diversions:
            diversion.end()
        self._exchange({id(wrapper): original for original, wrapper in self._functions.values()})
        self._diversions.clear()
        self._methods.clear()
        self._functions.clear()

    def _seek(self, module: str, name: str) -> None:
        """Look everywhere again for a function that was there at a sweep, and not sought in it."""
        if (module, name) not in self._sought and module in self._swept:
            self._swept.clear()
        self._sought.add((module, name))

    def _exchange(self, new: dict[int, Any]) -> None:
        """Put `new` where modules have what is named by its id.

        To look at everything takes 15 ms in a process with torch and transformers. A module that
        was looked at before is passed over, unless it is one of those that had such a name. So is
        the private module that a function says it is from: pickles look for the function there.
        """
        if not new:
            return
        loaded = list(sys.modules)
        for name in [name for name in loaded if name not in self._swept] + list(self._again):
            if name not in self._homes and _exchange_in(sys.modules.get(name), new):
                self._again.add(name)
        self._swept.update(loaded)


def _of_one(owner: object, around: Around) -> Around:
    """`around` for the calls of a method on `owner` alone, which a module has as a function."""

    def chosen(
        wrapped: Callable[..., Any], _: Any, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> Any:
        if args and args[0] is owner:
            return around(MethodType(wrapped, owner), owner, args[1:], kwargs)
        return wrapped(*args, **kwargs)

    return chosen


def _exchange_in(module: object, new: dict[int, Any]) -> bool:
    try:
        values = getattr(module, "__dict__", None)
    except Exception:  # anything may stand in `sys.modules`
        return False
    if not isinstance(values, dict):
        return False
    names = [name for name, value in list(values.items()) if id(value) in new]
    for name in names:
        values[name] = new[id(values[name])]
    return bool(names)


def places(module: ModuleType, target: str) -> Iterator[tuple[Any, str]]:
    """The modules and classes that have what `target` means, and the name there."""
    first, _, method = target.partition(".")
    if "*" not in first:
        yield (getattr(module, first), method) if method else (module, first)
        return
    from fnmatch import fnmatchcase

    for name, value in list(vars(module).items()):
        if not fnmatchcase(name, first):
            continue
        if not method:
            yield module, name
        elif isinstance(value, type) and method in vars(value):
            yield value, method


def _packages(module: str) -> Iterable[str]:
    """The packages that `module` is in."""
    parts = module.split(".")
    return (".".join(parts[:count]) for count in range(1, len(parts)))
