"""Reads by numpy, on request."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy
import pytest
from intercept.loading import digest, loads_of

from instrument.intercept.libraries import LIBRARIES
from instrument.testing import InterceptorContract

ARRAY = numpy.arange(6, dtype=numpy.float32).reshape(3, 2)


def _write(root: Path) -> dict[str, Callable[[], Any]]:
    root.mkdir(exist_ok=True)
    numpy.save(root / "a.npy", ARRAY)
    numpy.savetxt(root / "a.txt", ARRAY)
    ARRAY.tofile(root / "a.bin")
    return {
        "load a.npy": lambda: numpy.load(root / "a.npy"),
        "load mapped a.npy": lambda: numpy.load(str(root / "a.npy"), mmap_mode="r"),
        "loadtxt a.txt": lambda: numpy.loadtxt(root / "a.txt"),
        "genfromtxt a.txt": lambda: numpy.genfromtxt(fname=root / "a.txt"),
        "fromfile a.bin": lambda: numpy.fromfile(root / "a.bin", dtype=numpy.float32),
        "memmap a.bin": lambda: numpy.memmap(root / "a.bin", dtype=numpy.float32, mode="r"),
    }


class TestContract(InterceptorContract):
    library = next(library for library in LIBRARIES if library.name == "numpy")
    tied_to_their_names = ((numpy, "fromfile"),)

    def calls(self, path: Path) -> Mapping[str, Callable[[], Any]]:
        return _write(path / "data")

    def failing_calls(self, path: Path) -> Mapping[str, Callable[[], Any]]:
        objects = path / "objects.npy"
        numpy.save(objects, numpy.array([{}], dtype=object), allow_pickle=True)
        return {
            "not there": lambda: numpy.load(path / "nothing.npy"),
            "pickled objects": lambda: numpy.load(objects),
            "no argument": lambda: numpy.memmap(mode="r"),  # type: ignore[call-overload]
        }

    def same(self, one: Any, other: Any) -> bool:
        return bool((one == other).all()) and one.dtype == other.dtype and type(one) is type(other)


def test_on_request_each_reader_is_told_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("INSTRUMENT_INTERCEPT", "models,data,numpy")
    for name, call in _write(tmp_path / "data").items():
        found = loads_of(call)
        [read] = found.read
        assert read.reader == f"numpy.{name.split()[0]}"
        assert read.rows == len(call())
        assert list((read.schema or {}).values()) == [str(call().dtype)]
        assert found.of(read).digest == digest(tmp_path / "data" / name.split()[-1])
        assert not found.problems


def test_an_archive_tells_its_names(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("INSTRUMENT_INTERCEPT", "numpy")
    numpy.savez(tmp_path / "a.npz", x=ARRAY, y=ARRAY)

    def read() -> None:
        with numpy.load(tmp_path / "a.npz") as archive:
            assert (archive["x"] == ARRAY).all()

    [told] = loads_of(read).read
    assert (told.rows, told.facts) == (None, {"arrays": ["x", "y"], "lazy": True})


def test_not_asked_for_it_is_not_watched(tmp_path: Path) -> None:
    numpy.save(tmp_path / "a.npy", ARRAY)
    assert not loads_of(lambda: numpy.load(tmp_path / "a.npy")).read
