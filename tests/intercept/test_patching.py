"""Wrapping a library's calls: what it looks like, and what is left of it afterwards."""
# ruff: noqa: S301 - the pickles are our own

import asyncio
import gc
import importlib
import pickle
import subprocess
import sys
import threading
import weakref
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import cloudpickle
import pytest

from instrument.intercept.patching import Patches
from instrument.intercept.targets import Around, Target

_LIBRARY = '''
class Base:
    """A base."""

    def method(self, x):
        """A method."""
        return ("method", type(self).__name__, x)

    @classmethod
    def load(cls, name, *, strict=True):
        """Load `name`."""
        if name == "bad":
            raise ValueError("bad name")
        return (cls.__name__, name, strict)

    @staticmethod
    def static(x):
        return x + 1

class Child(Base):
    pass

class Other(Base):
    @classmethod
    def load(cls, name, **kwargs):
        return ("other", super().load(name, **kwargs))

class AutoOne:
    @classmethod
    def load(cls, name):
        return ("one", name)

class AutoTwo:
    @classmethod
    def load(cls, name):
        return ("two", name)

class AutoNone(AutoOne):
    pass

def function(a, b: int = 2, *c, d=None, **e) -> int:
    """Add."""
    return a + b

def recurse(n):
    return 0 if n == 0 else 1 + recurse(n - 1)

def numbers(n):
    for i in range(n):
        got = yield i
        if got == "stop":
            return "stopped"

async def later(x):
    return x

def leave(error):
    raise error
'''


@pytest.fixture
def library(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    (tmp_path / "shelf.py").write_text(_LIBRARY)
    monkeypatch.syspath_prepend(tmp_path)
    yield importlib.import_module("shelf")
    del sys.modules["shelf"]


class Patched:
    """A library that is patched, and the calls that were seen."""

    def __init__(self) -> None:
        self.patches = Patches()
        self.seen: list[str] = []

    def wrap(self, library: ModuleType, *names: str) -> None:
        for name in names:
            self.patches.wrap(library, Target(library.__name__, name, self._around(name)))
        self.patches.sweep()

    def _around(self, name: str) -> Around:
        def around(wrapped: Any, instance: Any, args: Any, kwargs: Any) -> Any:
            self.seen.append(name)
            return wrapped(*args, **kwargs)

        return around


@pytest.fixture
def patched() -> Patched:
    return Patched()


def test_methods_of_every_kind_are_seen_with_what_they_are_bound_to(
    library: Any, patched: Patched
) -> None:
    patched.wrap(library, "Base.load", "Base.method", "Base.static")
    assert library.Base.load("x") == ("Base", "x", True)
    assert library.Child.load("x", strict=False) == ("Child", "x", False)
    assert library.Base().load("x") == ("Base", "x", True)
    assert library.Child().method(1) == ("method", "Child", 1)
    assert library.Base.method(library.Child(), 1) == ("method", "Child", 1)
    assert library.Base.static(1) == library.Base().static(1) == 2
    assert patched.seen == ["Base.load"] * 3 + ["Base.method"] * 2 + ["Base.static"] * 2


def test_an_override_that_calls_its_base_is_seen_once(library: Any, patched: Patched) -> None:
    patched.wrap(library, "Base.load")
    assert library.Other.load("x") == ("other", ("Other", "x", True))
    assert patched.seen == ["Base.load"]


def test_a_pattern_means_the_classes_that_define_the_method_themselves(
    library: Any, patched: Patched
) -> None:
    inherited = vars(library.AutoNone).copy()
    patched.wrap(library, "Auto*.load")
    assert (library.AutoOne.load("x"), library.AutoTwo.load("x")) == (("one", "x"), ("two", "x"))
    assert len(patched.seen) == 2
    assert library.AutoNone.load("x") == ("one", "x")
    assert len(patched.seen) == 3
    assert vars(library.AutoNone) == inherited


def test_an_inherited_method_is_wrapped_for_the_class_alone_and_given_back(
    library: Any, patched: Patched
) -> None:
    patched.wrap(library, "Child.load")
    library.Base.load("x")
    assert patched.seen == []
    assert library.Child.load("x") == ("Child", "x", True)
    assert patched.seen == ["Child.load"]
    patched.patches.remove()
    assert "load" not in vars(library.Child)


def test_names_that_were_bound_before_are_exchanged_and_given_back(
    library: Any, patched: Patched, monkeypatch: pytest.MonkeyPatch
) -> None:
    user = ModuleType("user_code")
    late = ModuleType("late_code")
    original = library.function
    vars(user)["add"] = original
    monkeypatch.setitem(sys.modules, "user_code", user)
    for _ in range(2):
        patched.wrap(library, "function")
        assert vars(user)["add"](1) == 3
        assert patched.seen.pop() == "function"
        vars(late)["add"] = library.function  # bound while it is wrapped
        sys.modules["late_code"] = late
        patched.patches.remove()
        assert vars(user)["add"] is vars(late)["add"] is library.function is original
    del sys.modules["late_code"]


def test_a_name_bound_before_an_earlier_sweep_is_exchanged_too(
    library: Any, patched: Patched, monkeypatch: pytest.MonkeyPatch
) -> None:
    user = ModuleType("user_code")
    vars(user)["add"] = library.function
    monkeypatch.setitem(sys.modules, "user_code", user)
    patched.wrap(library, "recurse")
    patched.wrap(library, "function")
    assert vars(user)["add"] is library.function
    patched.patches.remove()


def test_strange_things_in_sys_modules_do_no_harm(
    library: Any, patched: Patched, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Hostile:
        @property
        def __dict__(self) -> Any:  # type: ignore[override]  # hostile
            raise RuntimeError("hands off")

    monkeypatch.setitem(sys.modules, "none", None)
    monkeypatch.setitem(sys.modules, "hostile", Hostile())
    patched.wrap(library, "function")
    assert library.function(1) == 3
    patched.patches.remove()


def test_wrapping_twice_is_wrapping_once(library: Any, patched: Patched) -> None:
    for _ in range(3):
        patched.wrap(library, "function", "Base.load")
    library.function(1)
    library.Base.load("x")
    assert patched.seen == ["function", "Base.load"]


def test_a_name_that_is_not_there_is_an_error(library: Any, patched: Patched) -> None:
    for name in ("nothing", "Base.nothing", "Nothing.load"):
        with pytest.raises(AttributeError):
            patched.wrap(library, name)


def test_the_exception_is_the_users_and_keeps_nothing_alive(library: Any, patched: Patched) -> None:
    patched.wrap(library, "leave")
    for error in (ValueError("x"), KeyboardInterrupt(), SystemExit(3), GeneratorExit()):
        with pytest.raises(type(error)) as info:
            library.leave(error)
        assert info.value is error
        assert info.traceback[-1].name == "leave"
        assert error.__context__ is None
        assert error.__cause__ is None


def test_recursion_generators_and_coroutines_are_as_before(library: Any, patched: Patched) -> None:
    patched.wrap(library, "recurse", "numbers", "later")
    assert library.recurse(50) == 50
    generator = library.numbers(5)
    assert (next(generator), next(generator)) == (0, 1)
    with pytest.raises(StopIteration) as info:
        generator.send("stop")
    assert info.value.value == "stopped"
    assert asyncio.iscoroutinefunction(library.later)
    assert asyncio.run(library.later(7)) == 7


def test_pickles_name_the_library_and_nothing_of_ours(library: Any, patched: Patched) -> None:
    patched.wrap(library, "function", "Base.load", "Base.method")
    child = library.Child()
    for call in (library.function, library.Child.load, library.Base.method, child.method):
        for module in (pickle, cloudpickle):
            data = module.dumps(call)
            assert b"instrument" not in data
            assert pickle.loads(data).__qualname__ == call.__qualname__
    assert pickle.loads(cloudpickle.dumps(library.function)) is library.function
    assert pickle.loads(pickle.dumps(library.Child.load))("x") == ("Child", "x", True)


def test_a_pickle_made_here_is_read_by_a_process_without_us(
    library: Any, patched: Patched, tmp_path: Path
) -> None:
    patched.wrap(library, "function", "Base.load")
    data = cloudpickle.dumps((library.function, library.Child.load))
    code = (
        "import pickle, sys\n"
        f"sys.path.insert(0, {str(tmp_path)!r})\n"
        f"add, load = pickle.loads({data!r})\n"
        "assert 'instrument' not in sys.modules\n"
        "print(add(1), load('x'))\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "3 ('Child', 'x', True)\n"


def test_instances_may_go_when_their_wrapped_method_was_called(
    library: Any, patched: Patched
) -> None:
    patched.wrap(library, "Base.method")
    made = library.Child()
    made.method(1)
    ghost = weakref.ref(made)
    gc.disable()
    try:
        del made
        assert ghost() is None
    finally:
        gc.enable()


def test_threads_may_call_while_it_is_wrapped_and_unwrapped(library: Any) -> None:
    stop = threading.Event()
    wrong: list[object] = []

    def call() -> None:
        while not stop.is_set():
            if (library.Child.load("x"), library.function(1)) != (("Child", "x", True), 3):
                wrong.append("result")

    threads = [threading.Thread(target=call) for _ in range(3)]
    for thread in threads:
        thread.start()
    for _ in range(50):
        patched = Patched()
        patched.wrap(library, "Base.load", "function")
        patched.patches.remove()
    stop.set()
    for thread in threads:
        thread.join()
    assert not wrong
