"""Reads by polars: tables, scans, globs, lists and directories."""

import io
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from intercept.loading import digest, digest_of_tree, loads_of

from instrument.intercept.libraries import LIBRARIES
from instrument.testing import InterceptorContract

polars = pytest.importorskip("polars", reason="polars is not installed: its reads are not tested")
from polars.testing import assert_frame_equal  # noqa: E402 - where polars is


def _table() -> Any:
    return polars.DataFrame({"n": [1, 2, 3], "s": ["a", "b", "c"]})


def _write(root: Path) -> dict[str, Callable[[], Any]]:
    root.mkdir(exist_ok=True)
    _table().write_avro(root / "t.avro")
    _table().write_csv(root / "t.csv")
    _table().write_ipc(root / "t.arrow")
    _table().write_ipc_stream(root / "t.arrows")
    _table().write_json(root / "t.json")
    _table().write_ndjson(root / "t.ndjson")
    _table().write_parquet(root / "t.parquet")
    return {
        "read_avro t.avro": lambda: polars.read_avro(root / "t.avro"),
        "read_csv t.csv": lambda: polars.read_csv(str(root / "t.csv")),
        "read_ipc t.arrow": lambda: polars.read_ipc(root / "t.arrow"),
        "read_ipc_stream t.arrows": lambda: polars.read_ipc_stream(root / "t.arrows"),
        "read_json t.json": lambda: polars.read_json(source=root / "t.json"),
        "read_ndjson t.ndjson": lambda: polars.read_ndjson(root / "t.ndjson"),
        "read_parquet t.parquet": lambda: polars.read_parquet(root / "t.parquet"),
        "scan_csv t.csv": lambda: polars.scan_csv(root / "t.csv"),
        "scan_ipc t.arrow": lambda: polars.scan_ipc(root / "t.arrow"),
        "scan_ndjson t.ndjson": lambda: polars.scan_ndjson(root / "t.ndjson"),
        "scan_parquet t.parquet": lambda: polars.scan_parquet(source=root / "t.parquet"),
    }


class TestContract(InterceptorContract):
    library = next(library for library in LIBRARIES if library.name == "polars")

    def calls(self, path: Path) -> Mapping[str, Callable[[], Any]]:
        return _write(path / "data")

    def failing_calls(self, path: Path) -> Mapping[str, Callable[[], Any]]:
        return {
            "not there": lambda: polars.read_csv(path / "nothing.csv"),
            "no argument": lambda: polars.read_parquet(n_rows=1),
            "a query that fails": lambda: polars.scan_parquet(path / "nothing.parquet").collect(),
        }

    def same(self, one: Any, other: Any) -> bool:
        assert_frame_equal(one, other)
        return True


def test_each_reader_is_told_once_and_a_scan_when_it_is_made(tmp_path: Path) -> None:
    for name, call in _write(tmp_path / "data").items():
        function, file = name.split()
        found = loads_of(call)
        [read] = found.read
        assert read.reader == f"polars.{function}"
        if function.startswith("scan"):
            assert (read.rows, read.schema, read.facts["lazy"]) == (None, None, True)
        else:
            assert (read.rows, read.schema) == (3, {"n": "Int64", "s": "String"})
        assert found.of(read).digest == digest(tmp_path / "data" / file)
        assert not found.problems


def test_a_glob_a_list_and_a_directory_are_trees_of_what_matches(tmp_path: Path) -> None:
    root = tmp_path / "data"
    root.mkdir()
    names = ["a.parquet", "b.parquet"]
    for name in names:
        _table().write_parquet(root / name)
    (root / "c.txt").touch()

    def read() -> None:
        polars.read_parquet(str(root / "*.parquet"))
        polars.read_parquet([root / name for name in names])
        (root / "c.txt").unlink()
        polars.read_parquet(root)

    found = loads_of(read)
    assert [read.rows for read in found.read] == [6, 6, 6]
    expected = digest_of_tree(root, *names)
    assert [found.of(read).digest for read in found.read] == [expected] * 3
    assert found.files(found.read[0]) == {name: digest(root / name) for name in names}


def test_a_buffer_and_a_url_have_reasons() -> None:
    buffer = io.BytesIO()
    _table().write_parquet(buffer)
    buffer.seek(0)

    def read() -> None:
        polars.read_parquet(buffer)
        polars.read_parquet(buffer.getvalue())
        with suppress(polars.exceptions.ComputeError):  # version 1.0 asks for it at once
            polars.scan_parquet("s3://bucket/t.parquet")

    found = loads_of(read)
    stream, data, remote = (found.of(read) for read in found.read)
    assert (stream.digest, stream.reason) == (None, "was read from a BytesIO, which is no file")
    assert data.digest is not None
    assert (remote.digest, remote.reason) == (
        None,
        "was read from a URL (s3), which has no file here",
    )
