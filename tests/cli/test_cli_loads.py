"""What `runs show` and `runs diff` say of what was loaded and read."""

import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas
from cli.support import Cli

from instrument import ExperimentContext


def _read(*sources: Any) -> str:
    def read() -> None:
        for source in sources:
            pandas.read_csv(source)

    return _run(read)


def _run(work: Callable[[], None]) -> str:
    with ExperimentContext(name="reads", monitor_hardware=False, capture_level=1) as run:
        work()
    return run.id


def _table(path: Path, value: int) -> Path:
    path.parent.mkdir(exist_ok=True)
    path.write_text(f"a\n{value}\n2\n")
    return path


def test_show_lists_what_was_read_and_json_has_all_of_it(cli: Cli, tmp_path: Path) -> None:
    path = _table(tmp_path / "one" / "t.csv", 1)
    run_id = _read(path)
    shown = cli("runs", "show", run_id).out
    assert "t.csv" in shown
    assert "2 rows" in shown
    [read] = cli("runs", "show", run_id, "--json").json["data"]
    assert (read["reader"], read["requested"]) == ("pandas.read_csv", str(path))
    assert (read["rows"], read["schema"]) == (2, {"a": "int64"})
    assert read["digest"].removeprefix("sha256:")[:8] in shown


def test_diff_compares_data_by_content_wherever_it_lies(cli: Cli, tmp_path: Path) -> None:
    first = _read(_table(tmp_path / "one" / "t.csv", 1))
    moved = _read(_table(tmp_path / "two" / "t.csv", 1))
    other = _read(_table(tmp_path / "three" / "t.csv", 7))
    assert cli("runs", "diff", first, moved, "--json").json["differences"]["data"] == []
    [difference] = cli("runs", "diff", first, other, "--json").json["differences"]["data"]
    assert difference["name"] == "t.csv"
    assert difference["a"] != difference["b"]
    assert "t.csv" in cli("runs", "diff", first, other).out


def test_data_without_a_digest_is_equal_to_nothing(cli: Cli) -> None:
    first, second = _read(io.StringIO("a\n1\n")), _read(io.StringIO("a\n1\n"))
    compared = cli("runs", "diff", first, second, "--json").json
    [difference] = compared["differences"]["data"]
    assert "StringIO" in str(difference["a"])
    assert not compared["same"]
