"""Loads of safetensors files, and what becomes of damaged ones."""

import json
import struct
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors
import safetensors.numpy
import safetensors.torch
import torch
from intercept.loading import digest, loads_of
from safetensors import safe_open as by_name

from instrument.intercept.libraries import LIBRARIES, Library
from instrument.testing import InterceptorContract

_LIBRARY = next(library for library in LIBRARIES if library.name == "safetensors")


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return _saved(tmp_path)


def _saved(directory: Path) -> Path:
    path = directory / "w.safetensors"
    if not path.exists():
        safetensors.torch.save_file({"a": torch.arange(6.0), "b": torch.zeros(2, 2)}, path)
    return path


class TestContract(InterceptorContract):
    library = Library(
        _LIBRARY.name,
        _LIBRARY.lowest,
        _LIBRARY.below,
        {name: ours for name, ours in _LIBRARY.modules.items() if not name.endswith("flax")},
    )

    def calls(self, path: Path) -> Mapping[str, Callable[[], Any]]:
        file = _saved(path)
        return {
            "torch": lambda: safetensors.torch.load_file(file),
            "numpy": lambda: safetensors.numpy.load_file(str(file)),
            "bytes": lambda: safetensors.torch.load(file.read_bytes()),
            "keyword": lambda: safetensors.torch.load_file(filename=str(file)),
            "open": lambda: _opened(safetensors.safe_open, file),
            "by name": lambda: _opened(by_name, file),
        }

    def failing_calls(self, path: Path) -> Mapping[str, Callable[[], Any]]:
        return {
            "missing": lambda: safetensors.torch.load_file(path / "nothing"),
            "directory": lambda: safetensors.safe_open(path, framework="pt"),
            "framework": lambda: safetensors.safe_open(_saved(path), framework="cobol"),
        } | {
            f"header {name}": lambda data=data: safetensors.torch.load(data)
            for name, data in bad_headers().items()
        }

    def same(self, one: Any, other: Any) -> bool:
        return one.keys() == other.keys() and all(
            np.asarray(one[name]).tobytes() == np.asarray(other[name]).tobytes() for name in one
        )


def _opened(open_: Any, path: Path) -> dict[str, Any]:
    with open_(path, framework="pt") as opened:
        return {name: opened.get_tensor(name) for name in opened.keys()}  # noqa: SIM118 - no dict


@pytest.mark.parametrize(
    ("flavour", "load"),
    [
        ("torch", lambda path: safetensors.torch.load_file(filename=path)),
        ("numpy", lambda path: safetensors.numpy.load_file(filename=path)),
    ],
)
def test_a_file_is_one_record_in_every_flavour(
    file: Path, flavour: str, load: Callable[[Path], Any]
) -> None:
    found = loads_of(lambda: load(file))
    (weights,) = found.loaded
    assert weights.loader == f"safetensors.{flavour}.load_file"
    assert weights.facts == {"tensors": 2, "parameters": 10, "dtypes": ["float32"]}
    assert found.of(weights).digest == digest(file)
    assert weights.library == f"safetensors {safetensors.__version__}"


def test_bytes_have_the_digest_of_the_file(file: Path) -> None:
    found = loads_of(lambda: safetensors.torch.load(file.read_bytes()))
    assert found.of(found.loaded[0]).digest == digest(file)


def test_a_name_that_was_bound_before_the_run_is_seen_and_given_back(file: Path) -> None:
    before = by_name
    found = loads_of(lambda: _opened(globals()["by_name"], file))
    assert [load.loader for load in found.loaded] == ["safetensors.safe_open"]
    assert globals()["by_name"] is before is safetensors.safe_open


def test_what_was_opened_is_still_of_its_class(file: Path) -> None:
    def check() -> None:
        opened = safetensors.safe_open(file, framework="pt")
        assert isinstance(opened, safetensors.safe_open)
        assert issubclass(type(opened), safetensors.safe_open)
        assert isinstance(safetensors.safe_open, type)

    assert not loads_of(check).problems


def test_a_file_that_is_opened_over_and_over_is_one_record(file: Path) -> None:
    found = loads_of(lambda: [_opened(by_name, file) for _ in range(50)])
    assert len(found.loaded) == 1
    assert [(c.repeated, c.left_out) for c in found.counted] == [(49, 0)]


def bad_headers() -> dict[str, bytes]:
    """Files that are no safetensors, each damaged in its own way."""
    good = {"a": {"dtype": "F32", "shape": [2], "data_offsets": [0, 8]}}

    def file(header: Any, data: bytes = b"\0" * 8) -> bytes:
        text = bytes(header) if isinstance(header, bytes) else json.dumps(header).encode()
        length: bytes = struct.pack("<Q", len(text))
        return length + text + data

    def tensor(**change: Any) -> bytes:
        return file({"a": good["a"] | change})

    return {
        "empty": b"",
        "seven bytes": b"\1" * 7,
        "length only": struct.pack("<Q", 10),
        "length of 2^64": b"\xff" * 8 + b"{}",
        "length over the limit": struct.pack("<Q", 200_000_000) + b"{}",
        "length beyond the file": struct.pack("<Q", 1000) + b"{}",
        "no json": file(b"not json at all"),
        "array": file(b"[]"),
        "number": file(b"1"),
        "not utf-8": file(b'{"\xff\xfe":1}'),
        "cut json": file(b'{"a":{"dtype":"F32"'),
        "deep json": file(b"[" * 5000 + b"]" * 5000),
        "no dtype": file({"a": {"shape": [2], "data_offsets": [0, 8]}}),
        "unknown dtype": tensor(dtype="F31"),
        "no shape": file({"a": {"dtype": "F32", "data_offsets": [0, 8]}}),
        "negative shape": tensor(shape=[-2]),
        "huge shape": tensor(shape=[2**63, 2**63]),
        "shape of text": tensor(shape="2"),
        "offsets backwards": tensor(data_offsets=[8, 0]),
        "offsets beyond": tensor(data_offsets=[0, 1 << 60]),
        "offsets with a hole": tensor(data_offsets=[4, 12]),
        "offsets of another size": tensor(data_offsets=[0, 4]),
        "overlap": file({"a": good["a"], "b": good["a"] | {"data_offsets": [4, 12]}}, b"\0" * 12),
        "data missing": file(good, b"\0" * 3),
        "data left over": file(good, b"\0" * 50),
        "metadata no text": file({"__metadata__": {"a": 1}} | good),
    }


@pytest.mark.parametrize("name", bad_headers())
def test_t25_a_damaged_header_is_the_librarys_to_refuse(name: str, tmp_path: Path) -> None:
    path = tmp_path / "damaged.safetensors"
    path.write_bytes(bad_headers()[name])
    raised: list[BaseException] = []

    def load() -> None:
        try:
            _opened(by_name, path)
        except Exception as error:
            raised.append(error)

    load()
    found = loads_of(load)
    assert [type(error) for error in raised] == [type(raised[0])] * 2
    assert str(raised[0]) == str(raised[1])
    (weights,) = found.loaded
    assert weights.error is not None
    assert weights.error.startswith(type(raised[0]).__name__)
    assert found.of(weights).digest == digest(path)
    assert not found.problems


def test_t31_names_of_tensors_do_no_harm(tmp_path: Path) -> None:
    names = ["<script>alert(1)</script>", "\x1b[31mred", "n" * 1_000_000]
    path = tmp_path / "names.safetensors"
    safetensors.numpy.save_file({name: np.zeros(1) for name in names}, path)
    found = loads_of(lambda: safetensors.numpy.load_file(path))
    (weights,) = found.loaded
    assert weights.facts["tensors"] == 3
    assert len(str(weights)) < 2_000
    assert "script" not in str(weights)
