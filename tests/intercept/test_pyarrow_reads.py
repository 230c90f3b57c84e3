"""Reads by pyarrow: tables, and what is opened to be read in parts."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pyarrow
import pyarrow.csv
import pyarrow.dataset
import pyarrow.feather
import pyarrow.fs
import pyarrow.json
import pyarrow.orc
import pyarrow.parquet
from intercept.loading import digest, digest_of_tree, loads_of

from instrument.intercept.libraries import LIBRARIES
from instrument.testing import InterceptorContract

TABLE = pyarrow.table({"n": [1, 2, 3], "s": ["a", "b", "a"]})


def _write(root: Path) -> dict[str, Callable[[], Any]]:
    root.mkdir(exist_ok=True)
    pyarrow.csv.write_csv(TABLE, root / "t.csv")
    pyarrow.feather.write_feather(TABLE, root / "t.feather")
    (root / "t.json").write_text('{"n": 1, "s": "a"}\n{"n": 2, "s": "b"}\n{"n": 3, "s": "a"}\n')
    pyarrow.orc.write_table(TABLE, root / "t.orc")
    pyarrow.parquet.write_table(TABLE, root / "t.parquet")
    return {
        "csv.open_csv t.csv": lambda: pyarrow.csv.open_csv(root / "t.csv").read_all(),
        "csv.read_csv t.csv": lambda: pyarrow.csv.read_csv(input_file=root / "t.csv"),
        "dataset.dataset t.parquet": lambda: pyarrow.dataset.dataset(root / "t.parquet").to_table(),
        "feather.read_feather t.feather": lambda: pyarrow.feather.read_feather(root / "t.feather"),
        "feather.read_table t.feather": lambda: pyarrow.feather.read_table(str(root / "t.feather")),
        "json.read_json t.json": lambda: pyarrow.json.read_json(root / "t.json"),
        "orc.ORCFile t.orc": lambda: pyarrow.orc.ORCFile(root / "t.orc").read(),
        "orc.read_table t.orc": lambda: pyarrow.orc.read_table(root / "t.orc"),
        "parquet.ParquetDataset t.parquet": lambda: pyarrow.parquet.ParquetDataset(
            root / "t.parquet"
        ).read(),
        "parquet.ParquetFile t.parquet": lambda: pyarrow.parquet.ParquetFile(
            root / "t.parquet"
        ).read(),
        "parquet.read_table t.parquet": lambda: pyarrow.parquet.read_table(root / "t.parquet"),
    }


class TestContract(InterceptorContract):
    library = next(library for library in LIBRARIES if library.name == "pyarrow")

    def calls(self, path: Path) -> Mapping[str, Callable[[], Any]]:
        return _write(path / "data")

    def failing_calls(self, path: Path) -> Mapping[str, Callable[[], Any]]:
        (path / "empty").touch()
        return {
            "not there": lambda: pyarrow.parquet.read_table(path / "nothing.parquet"),
            "no file": lambda: pyarrow.parquet.ParquetFile(path / "nothing.parquet"),
            "empty": lambda: pyarrow.csv.read_csv(path / "empty"),
            "no argument": lambda: pyarrow.dataset.dataset(format="csv"),
        }

    def same(self, one: Any, other: Any) -> bool:
        return bool(one.equals(other))


def test_each_reader_is_told_once_with_schema_and_digest(tmp_path: Path) -> None:
    for name, call in _write(tmp_path / "data").items():
        function, file = name.split()
        found = loads_of(call)
        [read] = found.read
        assert read.reader == f"pyarrow.{function}"
        assert set(read.schema or ()) == {"n", "s"}
        if function in _UNKNOWN_ROWS:
            assert (read.rows, read.facts["lazy"]) == (None, True)
        else:
            assert read.rows == 3
        assert found.of(read).digest == digest(tmp_path / "data" / file)
        assert not found.problems


_UNKNOWN_ROWS = {"csv.open_csv", "dataset.dataset", "parquet.ParquetDataset"}


def test_a_partitioned_data_set_is_a_tree(tmp_path: Path) -> None:
    root = tmp_path / "parts"
    pyarrow.dataset.write_dataset(
        TABLE, root, format="parquet", partitioning=["s"], partitioning_flavor="hive"
    )
    found = loads_of(
        lambda: (
            pyarrow.dataset.dataset(root, partitioning="hive"),
            pyarrow.parquet.read_table(root),
        )
    )
    names = [str(path.relative_to(root)) for path in root.rglob("*.parquet")]
    assert len(names) == 2
    expected = digest_of_tree(root, *names)
    assert [found.of(read).digest for read in found.read] == [expected, expected]


def test_a_file_system_that_is_not_local_has_no_files_here(tmp_path: Path) -> None:
    pyarrow.parquet.write_table(TABLE, tmp_path / "t.parquet")
    local = pyarrow.fs.LocalFileSystem()
    beneath = pyarrow.fs.SubTreeFileSystem(str(tmp_path), local)
    found = loads_of(
        lambda: (
            pyarrow.parquet.read_table(tmp_path / "t.parquet", filesystem=local),
            pyarrow.parquet.read_table("t.parquet", filesystem=beneath),
        )
    )
    here, elsewhere = (found.of(read) for read in found.read)
    assert here.digest == digest(tmp_path / "t.parquet")
    assert (elsewhere.digest, elsewhere.reason) == (
        None,
        "was read through SubTreeFileSystem, which is no local file system",
    )


def test_an_opened_file_is_still_of_its_class(tmp_path: Path) -> None:
    pyarrow.parquet.write_table(TABLE, tmp_path / "t.parquet")

    def read() -> None:
        with pyarrow.parquet.ParquetFile(tmp_path / "t.parquet") as opened:
            assert type(opened) is pyarrow.parquet.ParquetFile
            assert [batch.num_rows for batch in opened.iter_batches(batch_size=2)] == [2, 1]

    found = loads_of(read)
    assert [read.rows for read in found.read] == [3]
