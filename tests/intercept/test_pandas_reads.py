"""Reads by pandas: told once, by the bytes that were read, and the same table as without us."""

import contextlib
import gzip
import io
import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pandas
import pytest
from intercept.loading import digest, digest_of_tree, loads_of
from pandas.testing import assert_frame_equal

from instrument.intercept.libraries import LIBRARIES
from instrument.intercept.repeats import MAX_TOLD
from instrument.testing import InterceptorContract

TABLE = pandas.DataFrame({"n": [1, 2, 3], "x": [0.5, None, 1.5], "s": ["a", "b", "c"]})


def write_all(root: Path) -> dict[str, Callable[[], Any]]:
    """A file of each kind, and the call that reads it."""
    root.mkdir(exist_ok=True)
    TABLE.to_csv(root / "t.csv", index=False)
    TABLE.to_csv(root / "t.csv.gz", index=False)
    TABLE.to_csv(root / "t.tsv", index=False, sep="\t")
    (root / "t.txt").write_text("n  x\n1  2\n3  4\n")
    TABLE.to_excel(root / "t.xlsx", index=False)
    TABLE.to_feather(root / "t.feather")
    TABLE.to_json(root / "t.jsonl", orient="records", lines=True)
    TABLE.to_orc(root / "t.orc")
    TABLE.to_parquet(root / "t.parquet")
    TABLE.to_pickle(root / "t.pickle")
    TABLE.to_stata(root / "t.dta", write_index=False)
    TABLE.to_xml(root / "t.xml", index=False, parser="etree")
    return {
        "read_csv": lambda: pandas.read_csv(root / "t.csv"),
        "read_csv of gzip": lambda: pandas.read_csv(str(root / "t.csv.gz")),
        "read_excel": lambda: pandas.read_excel(io=root / "t.xlsx"),
        "read_feather": lambda: pandas.read_feather(root / "t.feather"),
        "read_fwf": lambda: pandas.read_fwf(root / "t.txt"),
        "read_json": lambda: pandas.read_json(root / "t.jsonl", lines=True),
        "read_orc": lambda: pandas.read_orc(root / "t.orc"),
        "read_parquet": lambda: pandas.read_parquet(root / "t.parquet"),
        "read_pickle": lambda: pandas.read_pickle(root / "t.pickle"),  # noqa: S301 - ours
        "read_stata": lambda: pandas.read_stata(root / "t.dta"),
        "read_table": lambda: pandas.read_table(filepath_or_buffer=root / "t.tsv"),
        "read_xml": lambda: pandas.read_xml(root / "t.xml", parser="etree"),
    }


class TestContract(InterceptorContract):
    library = next(library for library in LIBRARIES if library.name == "pandas")

    def calls(self, path: Path) -> Mapping[str, Callable[[], Any]]:
        return write_all(path / "data")

    def failing_calls(self, path: Path) -> Mapping[str, Callable[[], Any]]:
        (path / "empty.csv").touch()
        return {
            "not there": lambda: pandas.read_csv(path / "nothing.csv"),
            "empty": lambda: pandas.read_csv(path / "empty.csv"),
            "no parquet": lambda: pandas.read_parquet(path / "empty.csv"),
            "no argument": lambda: pandas.read_csv(sep=";"),  # type: ignore[call-overload]
        }

    def same(self, one: Any, other: Any) -> bool:
        assert_frame_equal(one, other)
        return True


def test_each_reader_is_told_once_with_rows_schema_and_the_digest_of_its_file(
    tmp_path: Path,
) -> None:
    calls = write_all(tmp_path / "data")
    files = dict(zip(calls, _FILES, strict=True))
    for name, call in calls.items():
        found = loads_of(call)
        [read] = found.read
        assert read.reader == f"pandas.{name.split()[0]}"
        assert read.library == f"pandas {pandas.__version__}"
        table = call()
        assert read.rows == len(table)
        assert read.schema == {str(key): str(kind) for key, kind in table.dtypes.items()}
        assert read.requested == str(tmp_path / "data" / files[name])
        assert read.call_site is not None
        assert read.call_site.startswith("test_pandas_reads.py:")
        assert found.of(read).digest == digest(tmp_path / "data" / files[name])
        assert not found.loaded
        assert not found.problems


_FILES = (
    "t.csv",
    "t.csv.gz",
    "t.xlsx",
    "t.feather",
    "t.txt",
    "t.jsonl",
    "t.orc",
    "t.parquet",
    "t.pickle",
    "t.dta",
    "t.tsv",
    "t.xml",
)


def test_sheets_and_columns_are_told_as_what_they_are(tmp_path: Path) -> None:
    with pandas.ExcelWriter(tmp_path / "t.xlsx") as writer:
        TABLE.to_excel(writer, sheet_name="one", index=False)
        TABLE.to_excel(writer, sheet_name="two", index=False)
    TABLE["n"].to_pickle(tmp_path / "s.pickle")
    found = loads_of(
        lambda: (
            pandas.read_excel(tmp_path / "t.xlsx", sheet_name=None),
            pandas.read_pickle(tmp_path / "s.pickle"),  # noqa: S301 - ours
        )
    )
    sheets, series = found.read
    assert (sheets.rows, sheets.facts["sheets"]) == (6, ["one", "two"])
    assert (series.rows, series.schema) == (3, {"n": "int64"})


def test_chunks_are_read_later_and_have_no_rows_yet(tmp_path: Path) -> None:
    TABLE.to_csv(tmp_path / "t.csv", index=False)
    kept: list[Any] = []

    def read() -> None:
        with pandas.read_csv(tmp_path / "t.csv", chunksize=2) as chunks:
            kept.extend(chunks)

    found = loads_of(read)
    [told] = found.read
    assert [len(chunk) for chunk in kept] == [2, 1]
    assert (told.rows, told.facts["lazy"]) == (None, True)
    assert found.of(told).digest == digest(tmp_path / "t.csv")


def test_a_directory_of_parts_is_a_tree(tmp_path: Path) -> None:
    root = tmp_path / "parts"
    TABLE.to_parquet(root, partition_cols=["s"])
    (root / "_SUCCESS").touch()
    found = loads_of(lambda: pandas.read_parquet(root))
    [read] = found.read
    names = sorted(str(path.relative_to(root)) for path in root.rglob("*.parquet"))
    assert len(names) == 3
    assert found.of(read).digest == digest_of_tree(root, *names)


def test_what_is_no_file_here_has_a_reason_and_no_digest(tmp_path: Path) -> None:
    def read() -> None:
        pandas.read_csv(io.StringIO("a\n1\n"))
        pandas.read_csv(io.BytesIO(b"a\n1\n"))
        with contextlib.suppress(Exception):
            pandas.read_csv("memory://nowhere/t.csv")

    found = loads_of(read)
    reasons = [found.of(read).reason for read in found.read]
    assert reasons == [
        "was read from a StringIO, which is no file",
        "was read from a BytesIO, which is no file",
        "was read from a URL (memory), which has no file here",
    ]
    assert not any(found.of(read).digest for read in found.read)
    assert found.read[2].error is not None
    assert tmp_path.exists()


def test_a_url_of_this_machine_an_open_file_and_a_home_are_files(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "a b.csv"
    TABLE.to_csv(path, index=False)
    monkeypatch.setenv("HOME", str(tmp_path))

    def read() -> None:
        pandas.read_csv(path.as_uri())
        pandas.read_csv("~/a b.csv", nrows=1)
        with path.open() as stream:
            pandas.read_csv(stream, nrows=2)

    found = loads_of(read)
    assert [read.rows for read in found.read] == [3, 1]
    assert {found.of(read).digest for read in found.read} == {digest(path)}
    assert [count.repeated for count in found.counted] == [1], "the same file, in the same state"


def test_reads_in_threads_are_told_once_each(tmp_path: Path) -> None:
    paths = [tmp_path / f"{number}.csv" for number in range(8)]
    for number, path in enumerate(paths):
        TABLE.assign(n=number).to_csv(path, index=False)

    def read() -> None:
        threads = [threading.Thread(target=pandas.read_csv, args=(path,)) for path in paths]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

    found = loads_of(read)
    assert sorted(str(told.requested) for told in found.read) == sorted(map(str, paths))
    assert {found.of(told).digest for told in found.read} == set(map(digest, paths))


def test_a_read_above_the_limit_is_not_hashed_and_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "t.csv"
    TABLE.to_csv(path, index=False)
    monkeypatch.setenv("INSTRUMENT_HASH_LIMIT_GIB", str(2**-27))
    found = loads_of(lambda: pandas.read_csv(path))
    [read] = found.read
    assert (read.rows, found.of(read).digest) == (3, None)
    assert "is beyond the 7.45058e-09 GiB of a read that are hashed" in str(found.of(read).reason)


@pytest.mark.parametrize("setting", ["none", "models", "models,numpy"])
def test_data_is_not_watched_where_the_setting_leaves_it_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, setting: str
) -> None:
    path = tmp_path / "t.csv"
    TABLE.to_csv(path, index=False)
    monkeypatch.setenv("INSTRUMENT_INTERCEPT", setting)
    assert not loads_of(lambda: pandas.read_csv(path)).read


def test_gzip_is_known_by_its_own_bytes_not_by_those_it_holds(tmp_path: Path) -> None:
    path = tmp_path / "t.csv.gz"
    path.write_bytes(gzip.compress(b"a\n1\n"))
    found = loads_of(lambda: pandas.read_csv(path))
    assert found.of(found.read[0]).digest == digest(path)


def test_a_loop_over_many_files_is_bounded_and_all_are_hashed(tmp_path: Path) -> None:
    root = tmp_path / "many"
    root.mkdir()
    for number in range(MAX_TOLD + 50):
        (root / f"{number:04}.csv").write_text(f"a\n{number}\n")

    def read() -> None:
        for _ in range(2):
            for path in sorted(root.iterdir()):
                pandas.read_csv(path)

    found = loads_of(read)
    assert len(found.read) == MAX_TOLD
    [counted] = found.counted
    assert (counted.left_out, counted.files, counted.reason) == (50, 50, None)
    assert counted.repeated == MAX_TOLD + 50, "the second time"
    rest = [f"{number:04}.csv" for number in range(MAX_TOLD, MAX_TOLD + 50)]
    assert counted.digest == digest_of_tree(root, *rest)
