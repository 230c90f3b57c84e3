"""The closures that stand for the user's functions, one for each kind of callable.

Plain closures and not proxy objects: cloudpickle takes a proxy for the function inside and ships
that, silently without its decorator. A closure refers to nothing but importable functions and its
`Target`, so it survives, from ``__main__`` too.

Decorators that are stacked directly on one another share one closure and make one call record.
"""

import functools
import inspect
from collections.abc import AsyncGenerator, Callable, Generator
from types import CodeType
from typing import Any, Protocol, TypeVar, cast

from instrument.decorators.calls import begin, closure_codes
from instrument.decorators.steps import async_steps, steps
from instrument.decorators.target import Aspect, Target
from instrument.errors import UsageError
from instrument.settings import is_disabled

F = TypeVar("F", bound=Callable[..., Any])


class Decorator(Protocol):
    """Gives back a function of exactly the type that it is given."""

    def __call__(self, function: F, /) -> F:
        """The decorated `function`."""


def decorator(name: str, function: object, aspect: Aspect, options: dict[str, Any]) -> Any:
    """What the decorator called `name` returns: for ``@d`` the function, for ``@d(…)`` a decorator.

    Args:
        name: Name of the decorator, for messages.
        function: What stands under ``@d``; None for ``@d(…)``.
        aspect: What the decorator adds to each call.
        options: What it says about the run, should a call open one.

    Raises:
        UsageError: `function` is not a function.
    """
    if function is not None:
        return _decorate(name, function, aspect, options)

    def decorate(function: object) -> Any:
        return _decorate(name, function, aspect, options)

    return decorate


def _decorate(name: str, function: Any, aspect: Aspect, options: dict[str, Any]) -> Any:
    if isinstance(function, (classmethod, staticmethod)):
        return type(function)(_decorate(name, function.__func__, aspect, options))
    if isinstance(function, type) or not callable(function):
        raise UsageError(_misuse(name, function))
    known = _target_of(function)
    if known is not None:
        return _closure(known.adding(aspect, options), function)
    return _closure(Target(function, (aspect,), options), function)


def _misuse(name: str, given: object) -> str:
    if isinstance(given, type):
        return f"@{name} cannot decorate the class {given.__name__}; decorate its methods"
    if isinstance(given, property):
        return f"@{name} cannot decorate a property; put it under @property, on the function"
    what = repr(given)[:80] if isinstance(given, (str, int, float, list, tuple)) else type(given)
    return f"@{name} cannot decorate {what}; write @{name}, or name the options: @{name}(option=…)"


def _closure(target: Target, like: Any) -> Any:
    """The closure that stands for the target's function, and looks like `like`."""
    make = _function
    if target.is_coroutine:
        make = _coroutine
    elif target.is_generator:
        make = _generator
    elif target.is_async_generator:
        make = _async_generator
    wrapper: Any = functools.update_wrapper(make(target), like)
    wrapper.__wrapped__ = target.function
    return wrapper


def _target_of(function: Any) -> Target | None:
    """The target of one of our closures; None for any other callable."""
    code = getattr(function, "__code__", None)
    if not inspect.isfunction(function) or code not in closure_codes:
        return None
    cells = dict(zip(function.__code__.co_freevars, function.__closure__ or (), strict=True))
    return cast("Target", cells["target"].cell_contents)


def _function(target: Target) -> Callable[..., Any]:
    function = target.function

    def wrapper(*args: Any, **kwargs: Any) -> Any:
        if is_disabled():
            if target.always:
                target.unrecorded()
            return function(*args, **kwargs)
        call = begin(target, args, kwargs)
        if call is None:
            return function(*args, **kwargs)
        call.enter()
        try:
            value = function(*args, **kwargs)
        except BaseException as error:
            call.raised(error)
            raise
        call.returned(value)
        return value

    return wrapper


def _coroutine(target: Target) -> Callable[..., Any]:
    function = target.function

    async def wrapper(*args: Any, **kwargs: Any) -> Any:
        if is_disabled():
            if target.always:
                target.unrecorded()
            return await function(*args, **kwargs)
        call = begin(target, args, kwargs)
        if call is None:
            return await function(*args, **kwargs)
        call.enter()
        try:
            value = await function(*args, **kwargs)
        except BaseException as error:
            call.raised(error)
            raise
        call.returned(value)
        return value

    return wrapper


def _unrecorded(target: Target, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """The user's generator, not recorded."""
    target.unrecorded()
    return target.function(*args, **kwargs)


def _generator(target: Target) -> Callable[..., Any]:
    def wrapper(*args: Any, **kwargs: Any) -> Generator[Any, Any, Any]:
        made = (_unrecorded if is_disabled() else steps)(target, args, kwargs)
        del args, kwargs
        return (yield from made)

    return wrapper


def _async_generator(target: Target) -> Callable[..., Any]:
    async def wrapper(*args: Any, **kwargs: Any) -> AsyncGenerator[Any, Any]:
        made = (_unrecorded if is_disabled() else async_steps)(target, args, kwargs)
        del args, kwargs
        step = made.asend(None)
        while True:
            try:
                value = await step
            except StopAsyncIteration:
                return
            try:
                sent = yield value
            except GeneratorExit:
                await made.aclose()
                raise
            except BaseException as error:
                step = made.athrow(error)
            else:
                step = made.asend(sent)

    return wrapper


for _make in (_function, _coroutine, _generator, _async_generator):
    closure_codes.update(code for code in _make.__code__.co_consts if isinstance(code, CodeType))
