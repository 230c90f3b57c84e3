"""A plain function that leads its calls elsewhere for a while, and stays the function that it is.

Its code is exchanged, not the function: whoever bound it before or meanwhile, in whatever object,
has the same function, and pickles it by its name as ever. The code that stands in has the name and
the place of the original, so that tools find the same source.
"""

import ast
import copy
import functools
import inspect
import sys
from types import CodeType, FrameType, FunctionType, SimpleNamespace
from typing import Any, Final, cast

from instrument.intercept.targets import Around

_OTHER_KINDS: Final = (
    inspect.CO_GENERATOR
    | inspect.CO_COROUTINE
    | inspect.CO_ITERABLE_COROUTINE
    | inspect.CO_ASYNC_GENERATOR
)
_OURS: Final = f"{__package__}."
_CALLED: Final = "the diversion"
"""Stands in the compiled code for the object that is called."""


class Diversion:
    """What the calls of a function lead to while it is diverted.

    Args:
        function: A function for which `can_be_diverted` holds.
        around: Is called with a function that does what `function` did, None, and the arguments.
    """

    def __init__(self, function: FunctionType, around: Around) -> None:
        self._function = function
        self._around = around
        self._original = _twin(function)
        self._code = _leading_to(self, function.__code__)
        self._added: set[str] = set()

    def begin(self) -> None:
        """Lead calls here."""
        if "__wrapped__" not in vars(self._function):
            self._add(__signature__=inspect.signature(self._function))
        self.keep_out_of_graphs()
        self._function.__code__ = self._code

    def keep_out_of_graphs(self) -> None:
        """Have ``torch.compile``, if it is there, call what it cannot look into."""
        skip = getattr(sys.modules.get("torch._dynamo.eval_frame"), "skip_code", None)
        if skip is not None:
            skip(self._code)
            why = _Here("instrument records its calls")
            self._add(_torchdynamo_disable=why, _torchdynamo_disable_msg=why)

    def end(self) -> None:
        """Give the function back what is still ours. Calls that are under way go on."""
        if self._function.__code__ is self._code:
            self._function.__code__ = self._original.__code__
        for name in self._added:
            vars(self._function).pop(name, None)

    def call(self, *args: Any, **kwargs: Any) -> Any:
        """Part of the code that stands in."""
        return self._around(self._original, None, args, kwargs)

    def _add(self, **attributes: Any) -> None:
        """Attributes of the function for the while, unless it has them."""
        news = attributes.keys() - vars(self._function).keys()
        vars(self._function).update({name: attributes[name] for name in news})
        self._added |= news

    def __reduce__(self) -> tuple[Any, ...]:
        """Where the function is pickled by value: what it was, and nothing of ours."""
        return SimpleNamespace, (), {"call": self._original}


class _Here(str):
    """A text that stays in this process: nothing is left of it where a function goes by value."""

    __slots__ = ()

    def __reduce__(self) -> tuple[Any, ...]:
        return str, ()


def can_be_diverted(value: object) -> bool:
    """Whether `value` is a function of plain Python, and no generator or coroutine."""
    return type(value) is FunctionType and not value.__code__.co_flags & _OTHER_KINDS


def is_diverted(function: FunctionType) -> bool:
    """Whether the calls of `function` lead elsewhere already."""
    return leads_elsewhere(function.__code__)


def leads_elsewhere(code: CodeType) -> bool:
    """Whether `code` stands in for that of a diverted function."""
    return any(type(value) is Diversion for value in code.co_consts)


def caller() -> FrameType | None:
    """The frame of the code that made a call, to be asked for by what stands around the call."""
    frame: FrameType | None = sys._getframe(1)  # noqa: SLF001 - the documented way to look at callers
    while frame is not None and _is_between(frame):
        frame = frame.f_back
    return frame


def _is_between(frame: FrameType) -> bool:
    return str(frame.f_globals.get("__name__")).startswith(_OURS) or leads_elsewhere(frame.f_code)


def _twin(function: FunctionType) -> FunctionType:
    """Another function that does the same."""
    twin = FunctionType(
        function.__code__,
        function.__globals__,
        function.__name__,
        function.__defaults__,
        function.__closure__,
    )
    functools.update_wrapper(twin, function)
    del vars(twin)["__wrapped__"]
    vars(twin).update(vars(function))
    twin.__kwdefaults__ = copy.copy(function.__kwdefaults__)
    return twin


def _leading_to(diversion: Diversion, code: CodeType) -> CodeType:
    """Code that calls `diversion`, and looks like `code` from outside.

    `code` is a constant of it: who asks which globals the function needs looks into those too.
    """
    made = _template(code.co_freevars)
    constants = [diversion if one == _CALLED else one for one in made.co_consts]
    return made.replace(
        co_consts=(*constants, code),
        co_filename=code.co_filename,
        co_firstlineno=code.co_firstlineno,
        co_name=code.co_name,
        co_qualname=code.co_qualname,
    )


@functools.cache
def _template(closed_over: tuple[str, ...]) -> CodeType:
    """The code for functions that close over these names: Python wants as many in the new one."""
    names = ", ".join(closed_over)
    tree = ast.parse(
        f"def outer({names}):\n"
        "    def inner(*args, **kwargs):\n"
        f"        {f'if 0: {names}' if names else ''}\n"
        f"        return {_CALLED!r}.call(*args, **kwargs)\n"
        "    return inner"
    )
    for node in ast.walk(tree):  # all on the line of the `def`, at no column
        if hasattr(node, "lineno"):
            place = cast("Any", node)
            place.lineno = place.end_lineno = 1
            place.col_offset = place.end_col_offset = -1
    values: dict[str, Any] = {}
    exec(compile(tree, "<diverted>", "exec"), values)  # noqa: S102 - the text above
    inner: FunctionType = values["outer"](*closed_over)
    return inner.__code__
