"""Numpy arrays and dicts of them."""

import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from instrument.errors import UsageError

ARRAYS = {
    "floats": np.linspace(0, 1, 7, dtype=np.float32),
    "scalar": np.array(3.5),
    "empty": np.zeros((0, 3)),
    "strided": np.arange(40).reshape(5, 8)[::2, ::3],
    "words": np.array(["a", "béta"]),
    "times": np.array(["2026-01-01", "NaT"], dtype="datetime64[s]"),
    "records": np.array([(1, 2.5)], dtype=[("a", "i4"), ("b", "f8")]),
    "big-endian": np.array([1, 2], dtype=">i4"),
    "complex": np.array([1 + 2j]),
}


@pytest.mark.parametrize("name", ARRAYS)
def test_an_array_comes_back_as_it_was(round_trip: Any, name: str) -> None:
    array = ARRAYS[name]
    artifact = round_trip(array)
    loaded = artifact.load()
    assert artifact.version.format == "npy"
    assert loaded.dtype == array.dtype
    np.testing.assert_array_equal(loaded, array)
    np.testing.assert_array_equal(np.load(artifact.path()), array)


def test_the_layout_in_memory_changes_nothing(log: Any) -> None:
    array = np.arange(24.0).reshape(4, 6)
    layouts = [array, np.asfortranarray(array), np.repeat(array, 2, axis=0)[::2]]
    assert len({log(layout).digest for layout in layouts}) == 1


def test_a_dict_of_arrays_is_one_file(round_trip: Any) -> None:
    artifact = round_trip(ARRAYS)
    loaded = artifact.load()
    assert (artifact.version.format, artifact.files[0].path) == ("npz", "thing.npz")
    assert loaded.keys() == ARRAYS.keys()
    for name, array in ARRAYS.items():
        np.testing.assert_array_equal(loaded[name], array)
    with np.load(artifact.path()) as archive:
        np.testing.assert_array_equal(archive["words"], ARRAYS["words"])


def test_names_of_arrays_may_be_anything(round_trip: Any) -> None:
    arrays = {"file": np.ones(1), "a/b": np.zeros(1), "x.npy": np.full(1, 2), "x": np.full(1, 3)}
    loaded = round_trip(arrays).load()
    assert {name: array.tolist() for name, array in loaded.items()} == {
        "file": [1], "a/b": [0], "x.npy": [2], "x": [3],
    }  # fmt: skip


def test_neither_order_nor_time_changes_the_bytes(log: Any, monkeypatch: Any) -> None:
    first = log({"a": np.ones(2), "b": np.zeros(2)})
    now = time.time()
    monkeypatch.setattr(time, "time", lambda: now + 86_400)
    assert log({"b": np.zeros(2), "a": np.ones(2)}).digest == first.digest


def test_arrays_beside_words_are_json(round_trip: Any) -> None:
    artifact = round_trip({"confusion": np.eye(2), "accuracy": np.float64(0.5)})
    assert artifact.version.format == "json"
    assert artifact.load() == {"confusion": [[1.0, 0.0], [0.0, 1.0]], "accuracy": 0.5}


@pytest.mark.parametrize(
    "array",
    [np.array([object()]), np.ma.masked_less(np.arange(3), 1), np.zeros(1, dtype=[("a", object)])],
)
def test_objects_and_masks_are_not_lost_silently(log: Any, array: Any) -> None:
    with pytest.raises(UsageError, match="no npy form"):
        log(array)
    with pytest.raises(UsageError, match="no npy form"):
        log({"a": array, "b": np.ones(1)})


def test_a_memory_map_is_an_array(round_trip: Any, tmp_path: Path) -> None:
    source = np.memmap(tmp_path / "source", dtype=np.int64, mode="w+", shape=(1000,))
    source[:] = np.arange(1000)
    np.testing.assert_array_equal(round_trip(source).load(), np.arange(1000))
