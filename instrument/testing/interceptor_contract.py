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
from instrument.intercept.diverting import can_be_diverted, is_diverted, leads_elsewhere
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
    tied_to_their_names: tuple[Place, ...] = ()
    """Functions not written in Python that say they are from the public module that has them: while
    they are intercepted, one that was bound before has no name to be pickled by."""

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
                found = inspect.getattr_static(holder, name)
                if can_be_diverted(original) and isinstance(holder, ModuleType):
                    assert found is original
                    assert is_diverted(found), (holder, name)
                else:
                    assert found is not original, (holder, name)
                    assert found.__wrapped__ is original

    def test_what_could_be_pickled_still_can_and_means_the_same(self, places: list[Place]) -> None:
        before = {place: getattr(*place) for place in places if _journey(getattr(*place))}
        with intercepted(Told()):
            during = {place: getattr(*place) for place in before}
            for place, call in during.items():
                assert _journey(call) == [call]
                bound_before = before[place]
                if isinstance(place[0], ModuleType) and place not in self.tied_to_their_names:
                    assert _journey(bound_before) == [bound_before]
        for place, call in during.items():
            assert _journey(call) == [getattr(*place)]

    def test_pickles_are_the_same_as_without_us(self, places: list[Place]) -> None:
        functions = [getattr(*place) for place in places if isinstance(place[0], ModuleType)]
        functions = [call for call in functions if can_be_diverted(call)]
        before = [pickle.dumps(call) for call in functions]
        with intercepted(Told()):
            assert [pickle.dumps(call) for call in functions] == before

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
    code = getattr(call, "__code__", None)
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
        "code": [getattr(code, f"co_{key}", None) for key in ("filename", "firstlineno", "name")],
        "kind": (inspect.isfunction(call), inspect.ismethod(call), inspect.isclass(call)),
    }


def _journey(call: Any) -> list[Any]:
    """The call after a journey, as another process finds it; empty where it cannot travel."""
    try:
        return [pickle.loads(pickle.dumps(call))]  # noqa: S301 - our own
    except (pickle.PicklingError, TypeError, AttributeError):
        return []


def _everything(found: list[Place]) -> list[int]:
    """Which objects stand in the places, their code, and how many names modules have for each."""
    calls = [inspect.getattr_static(holder, name) for holder, name in found]
    here = [id(call) for call in calls]
    modules = [module for module in list(sys.modules.values()) if isinstance(module, ModuleType)]
    names = Counter(id(value) for module in modules for value in list(vars(module).values()))
    codes = [id(getattr(call, "__code__", None)) for call in calls]
    return [*here, *codes, *(names[key] for key in here)]


def _raised(call: Call) -> tuple[type, str, tuple[str, int | None]]:
    """The exception of `call`, and the last line on the way to it that is not ours."""
    try:
        call()
    except BaseException as error:
        frames = traceback.walk_tb(error.__traceback__)
        places = [(f.f_code.co_filename, n) for f, n in frames if not leads_elsewhere(f.f_code)]
        last = [place for place in places if not place[0].startswith(_OURS)][-1]
        return type(error), str(error), last
    raise AssertionError("the call was to fail")
