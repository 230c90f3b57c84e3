"""``store pack`` and ``store info``."""

from pathlib import Path

import pytest
from cli.support import Cli, Writer

from instrument.clock import SystemClock
from instrument.testing.samples import record_run, run_started
from instrument_local import open_store


def _runs(store_path: Path, count: int = 20) -> None:
    store = open_store(store_path, SystemClock())
    for number in range(count):
        record_run(store, f"20260101-{number:04}", run_started(f"run {number}"))
        store.seal(f"20260101-{number:04}")


def test_pack_tells_what_it_did_and_changes_no_answer(cli: Cli, store_path: Path) -> None:
    _runs(store_path)
    asked = [("runs", "list", "--json"), ("runs", "show", "20260101-0007", "--json"), ("verify",)]
    before = [cli(*arguments).out for arguments in asked[:2]]
    young = cli("store", "pack")
    assert (young.code, young.out) == (0, "")
    assert "nothing to pack" in young.err
    assert "left 20 runs: too young" in young.err
    packed = cli("store", "pack", "--all")
    assert packed.code == 0
    assert "packed 20 runs: 40 files, " in packed.err
    assert " -> 1 pack, " in packed.err
    assert [cli(*arguments).out for arguments in asked[:2]] == before
    assert cli(*asked[2]).code == 0
    assert cli("runs", "diff", "20260101-0001", "20260101-0002").code == 0
    again = cli("store", "pack", "--all", "--json")
    assert again.json == {
        "packs": 0,
        "runs": 0,
        "files": 0,
        "size_bytes_before": 0,
        "size_bytes_after": 0,
        "left": {},
    }


def test_damage_in_a_pack_is_told_where_it_matters(cli: Cli, store_path: Path) -> None:
    _runs(store_path)
    cli("store", "pack", "--all")
    (pack,) = store_path.glob("packs/*")
    data = bytearray(pack.read_bytes())
    data[60] ^= 1
    pack.write_bytes(data)
    shown = cli("runs", "show", "20260101-0003")
    assert shown.code == 1
    assert shown.err.startswith("error: ")
    assert ".pack is damaged" in shown.err
    verified = cli("verify", "--json")
    assert verified.code == 1
    kinds = {problem["kind"] for problem in verified.json["problems"]}
    assert {"pack_damaged", "run_unreadable"} <= kinds


def test_info(cli: Cli, store_path: Path, writer: Writer) -> None:
    _runs(store_path)
    cli("store", "pack", "--all")
    writer.run("only-run")
    info = cli("store", "info", "--json").json
    assert (info["runs"], info["packed_runs"]) == (21, 20)
    assert info["parts"]["packs"]["files"] == 1
    assert info["parts"]["journals"]["files"] == 1
    sizes = {name: part["size_bytes"] for name, part in info["parts"].items()}
    files = [path for path in store_path.rglob("*") if path.is_file()]
    assert sum(sizes.values()) == sum(path.stat().st_size for path in files)
    assert sizes["packs"] == next(store_path.glob("packs/*")).stat().st_size
    shown = cli("store", "info")
    assert "21, 20 of them in packs only" in shown.out
    assert info["file_system"] in shown.out


def test_no_store(cli: Cli, store_path: Path) -> None:
    for command in ("pack", "info"):
        result = cli("store", command)
        assert (result.code, result.out) == (3, "")
        assert f"there is no store at {store_path}" in result.err
    assert not store_path.exists()


@pytest.mark.parametrize("place", ["in a group", "at its end"])
def test_a_list_made_anew_tells_what_damage_hides(
    cli: Cli, store_path: Path, monkeypatch: pytest.MonkeyPatch, place: str
) -> None:
    _runs(store_path)
    assert "warning" not in cli("runs", "list").err
    cli("store", "pack", "--all")
    (pack,) = store_path.glob("packs/*")
    data = bytearray(pack.read_bytes())
    data[60 if place == "in a group" else -3] ^= 1
    pack.write_bytes(data)
    monkeypatch.setenv("XDG_CACHE_HOME", str(store_path.parent / "another cache"))
    for _ in range(2):  # when the index is made, and when it is there
        listed = cli("runs", "list", "--json")
        assert (listed.code, listed.json) == (0, [])
        assert listed.err.startswith(
            "warning: 20 runs" if place == "in a group" else "warning: 1 pack"
        )
        assert (pack.name if place == "at its end" else "20260101-0000") in listed.err
        assert "(damaged)" in listed.err
        assert "`instrument verify` tells more" in listed.err
    shown = cli("runs", "show", "run 3")
    assert shown.code == 2
    assert "cannot be read: " in shown.err
