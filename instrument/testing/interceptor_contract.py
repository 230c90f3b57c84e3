"""What every interceptor promises, as a test class to inherit.

    class TestMyLibrary(InterceptorContract):
        library = my_interceptors.LIBRARY

        def calls(self, path):
            return {"load": lambda: my_library.load(path / "model.bin")}

The library must be installed; what `calls` gives is called with and without interception.
"""
# ruff: noqa: D102, S101 - tests: the name is the documentation, and tests assert

import importlib
import inspect
import pickle
import sys
import threading
import traceback
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import Any, Final

import pytest

from instrument import intercept
from instrument.intercept import Destination, Library
from instrument.intercept.patching import places as places_of
from instrument.records import Record
from instrument.settings import INTERCEPTED
from instrument.testing.memory import MemoryBackend
from instrument.testing.samples import together

Call = Callable[[], Any]
_OURS: Final = str(Path(intercept.__file__).parent)
Place = tuple[Any, str]


class Told:
    """A recorder that keeps what it is told.

    Args:
        broken: It fails instead.

    Attributes:
        records: What was recorded.
        problems: What failed.
    """

    def __init__(self, *, broken: bool = False) -> None:
        self.records: list[Record] = []
        self.problems: list[str] = []
        self._broken = broken

    def record(self, record: Record) -> None:
        """See `instrument.protocols.Recorder`."""
        if self._broken:
            raise OSError("the disk is full")
        self.records.append(record)

    def problem(self, doing: str, error: BaseException) -> None:
        """See `instrument.protocols.Recorder`."""
        self.problems.append(f"{doing}: {error!r}")


@contextmanager
def intercepted(told: Told) -> Iterator[None]:
    """A block in which calls are recorded; what was loaded is identified at its end."""
    destination = Destination(told, MemoryBackend())
    intercept.install(lambda: destination, INTERCEPTED)
    try:
        yield
        intercept.complete(told)
    finally:
        intercept.uninstall()


class InterceptorContract:
    """The promises of an interceptor. Override `library` and `calls`."""

    library: Library

    def calls(self, path: Path) -> Mapping[str, Call]:
        """Calls that are recorded, by name; they succeed, more than once.

        Args:
            path: An empty directory.
        """
        raise NotImplementedError

    def failing_calls(self, path: Path) -> Mapping[str, Call]:  # noqa: ARG002 - to override
        """Calls that the library answers with an exception."""
        return {}

    def concurrent_calls(self, path: Path) -> Mapping[str, Call]:
        """Those of `calls` that the library allows in several threads at once."""
        return self.calls(path)

    def same(self, one: Any, other: Any) -> bool:
        """Whether two results of a call are equal."""
        return bool(one == other)

    @pytest.fixture
    def places(self) -> list[Place]:
        """Where the wrapped calls are."""
        modules = {name: importlib.import_module(name) for name in self.library.modules}
        return [
            place
            for name, module in modules.items()
            for target in self.library.targets(name)
            for place in places_of(module, target.name)
        ]

    def test_the_installed_version_is_supported_and_has_every_call(
        self, places: list[Place]
    ) -> None:
        assert self.library.supports(self.library.version())
        for name in self.library.modules:
            for target in self.library.targets(name):
                assert list(places_of(sys.modules[name], target.name)), target
        assert places

    def test_what_is_wrapped_looks_as_before(self, places: list[Place]) -> None:
        before = [_looks(holder, name) for holder, name in places]
        originals = [inspect.getattr_static(holder, name) for holder, name in places]
        with intercepted(Told()):
            assert [_looks(holder, name) for holder, name in places] == before
            for (holder, name), original in zip(places, originals, strict=True):
                wrapper = inspect.getattr_static(holder, name)
                assert wrapper is not original, (holder, name)
                assert wrapper.__wrapped__ is original

    def test_what_could_be_pickled_still_can_and_means_the_same(self, places: list[Place]) -> None:
        able = [place for place in places if _pickled(*place) is not None]
        with intercepted(Told()):
            for holder, name in able:
                assert _pickled(holder, name) == getattr(holder, name)

    def test_installing_nests_and_the_last_uninstall_leaves_nothing(
        self, places: list[Place]
    ) -> None:
        before = _everything(places)
        with intercepted(Told()):
            wrapped = _everything(places)
            with intercepted(Told()):
                assert _everything(places) == wrapped != before
            assert _everything(places) == wrapped
        assert _everything(places) == before

    def test_a_patch_of_somebody_else_survives(self, places: list[Place]) -> None:
        for holder, name in places:
            original = inspect.getattr_static(holder, name)
            inherited = name not in vars(holder)
            with intercepted(Told()):
                theirs = inspect.getattr_static(holder, name)
                mine = _Patch(theirs)
                setattr(holder, name, mine)
            assert inspect.getattr_static(holder, name) is mine
            with intercepted(Told()):
                assert inspect.getattr_static(holder, name) is not original
            assert inspect.getattr_static(holder, name) is mine
            if inherited:
                delattr(holder, name)
            else:
                setattr(holder, name, original)

    def test_calls_are_recorded_and_give_the_same(self, tmp_path: Path) -> None:
        for name, call in self.calls(tmp_path).items():
            expected = call()
            told = Told()
            with intercepted(told):
                found = call()
            assert self.same(found, expected), name
            assert told.records, name
            assert not told.problems, name

    def test_outside_of_a_run_nothing_is_recorded(self, tmp_path: Path) -> None:
        told = Told()
        calls = self.calls(tmp_path)
        with intercepted(told):
            pass
        for call in calls.values():
            call()
        assert not told.records

    def test_exceptions_are_those_of_the_library(self, tmp_path: Path) -> None:
        for name, call in self.failing_calls(tmp_path).items():
            expected = _raised(call)
            told = Told()
            with intercepted(told):
                found = _raised(call)
            assert found == expected, name
            assert not told.problems, name

    def test_a_recorder_that_fails_harms_no_call(self, tmp_path: Path) -> None:
        for name, call in self.calls(tmp_path).items():
            expected = call()
            told = Told(broken=True)
            with intercepted(told):
                found = call()
            assert self.same(found, expected), name
            assert told.problems, name

    def test_threads_may_call_install_and_uninstall_at_once(
        self, tmp_path: Path, places: list[Place]
    ) -> None:
        before = _everything(places)
        calls = list(self.concurrent_calls(tmp_path).values())
        wrong: list[str] = []
        ready = threading.Barrier(4)

        def work() -> None:
            ready.wait()
            for _ in range(3):
                told = Told()
                with intercepted(told):
                    for call in calls:
                        call()
                wrong.extend(told.problems)

        together([work] * 4)
        assert not wrong
        assert _everything(places) == before


class _Patch:
    """What another tool puts in the place of a call."""

    def __init__(self, original: Any) -> None:
        self.__wrapped__ = original

    def __get__(self, instance: Any, owner: Any = None) -> Any:
        return self.__wrapped__.__get__(instance, owner)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return self.__wrapped__(*args, **kwargs)


def _looks(holder: Any, name: str) -> dict[str, Any]:
    """What people and tools see of a call."""
    call = getattr(holder, name)
    seen = {key: getattr(call, key, None) for key in ("__doc__", "__name__", "__qualname__")}
    try:
        signature = str(inspect.signature(call))
    except ValueError as error:  # builtins
        signature = str(error)
    return {
        **seen,
        "module": getattr(call, "__module__", None),
        "signature": signature,
        "class": call.__class__,
        "callable": callable(call),
        "kind": (inspect.isfunction(call), inspect.ismethod(call), inspect.isclass(call)),
    }


def _pickled(holder: Any, name: str) -> Any:
    """The call after a journey, as another process finds it; None where it cannot travel."""
    try:
        return pickle.loads(pickle.dumps(getattr(holder, name)))  # noqa: S301 - our own
    except (pickle.PicklingError, TypeError, AttributeError):
        return None


def _everything(found: list[Place]) -> list[int]:
    """Which objects stand in the places, and under how many names modules know each."""
    here = [id(inspect.getattr_static(holder, name)) for holder, name in found]
    modules = [module for module in list(sys.modules.values()) if isinstance(module, ModuleType)]
    names = Counter(id(value) for module in modules for value in list(vars(module).values()))
    return [*here, *(names[key] for key in here)]


def _raised(call: Call) -> tuple[type, str, tuple[str, int | None]]:
    """The exception of `call`, and the last line on the way to it that is not ours."""
    try:
        call()
    except BaseException as error:
        frames = traceback.extract_tb(error.__traceback__)
        last = [frame for frame in frames if not frame.filename.startswith(_OURS)][-1]
        return type(error), str(error), (last.filename, last.lineno)
    raise AssertionError("the call was to fail")
