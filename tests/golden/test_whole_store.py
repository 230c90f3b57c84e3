"""What a later writer of the same format left is read whole: every kind of record, every field."""

import json
import shutil
from pathlib import Path
from typing import Any

import msgspec
import pytest
from golden.make_whole import DELETED, KEPT, NAME, WHOLE, records

from instrument.clock import SystemClock
from instrument.errors import HeldError
from instrument.naming import parse_reference
from instrument.records import KINDS
from instrument_local import LocalStore
from instrument_local.files import Disk
from instrument_local.layout import Layout

GOLDEN = Path(__file__).parent / NAME
WEIGHTS = "sha256:9a129038d9a00aed0cf6a7ea059ca50a813449061ab87848cf1a13eafdf33b2c"


@pytest.fixture
def whole(tmp_path: Path) -> LocalStore:
    """A copy of the store, private as a store is."""
    path = tmp_path / "whole"
    shutil.copytree(GOLDEN, path)
    for each in (path, *path.rglob("*")):
        each.chmod(0o700 if each.is_dir() else 0o600)
    return LocalStore(path, SystemClock())


def _lines() -> list[dict[str, Any]]:
    """The records of the run as they were written, from the pack."""
    layout = Layout(GOLDEN, SystemClock(), Disk())
    (file,) = layout.run_files(WHOLE).journals
    return [json.loads(line)["record"] for line in file.lines()]


def _has_all(found: Any, written: Any) -> bool:
    """Whether all that was `written` is in `found`, which may have learnt other fields since."""
    if isinstance(written, dict) and isinstance(found, dict):
        return all(
            name in found and _has_all(found[name], value) for name, value in written.items()
        )
    if isinstance(written, list) and isinstance(found, list) and len(written) == len(found):
        return all(map(_has_all, found, written))
    return bool(found == written)


def test_no_field_of_any_kind_is_lost(whole: LocalStore) -> None:
    written = _lines()
    assert len({each["kind"] for each in written}) == len(written) == 29
    read = [json.loads(msgspec.json.encode(entry.record)) for entry in whole.entries(WHOLE)]
    assert [each["kind"] for each in read] == [each["kind"] for each in written]
    for found, before in zip(read, written, strict=True):
        assert _has_all(found, before), (found, before)


def test_every_kind_that_there_is_today_says_at_least_what_it_said() -> None:
    written = {each["kind"]: each for each in _lines()}
    made = records(WEIGHTS, written["model_checked"]["check"])
    today = {each["kind"]: each for each in json.loads(msgspec.json.encode(made))}
    assert set(written) <= set(KINDS)
    for kind in set(written) & set(today):
        assert _has_all(today[kind], written[kind]), kind


def test_it_is_whole_and_tells_what_was_let_go(whole: LocalStore) -> None:
    result = whole.verify()
    assert result.ok, result.problems
    assert [problem.kind for problem in result.problems] == ["run_dropped"]
    assert {run.id for run in whole.runs()} == {WHOLE, KEPT}
    assert whole.upkeep.dropped_runs()[DELETED].why == "asked to"
    (gone,) = whole.upkeep.dropped_objects().values()
    assert (gone.why, gone.size_bytes) == ("not referred to", 10)
    (hold,) = whole.upkeep.holds()
    assert (hold.subject, hold.why) == ("ref:v1", "the law")
    with pytest.raises(HeldError, match="the law"):
        whole.upkeep.delete_run(WHOLE, "no")
    assert whole.resolve(parse_reference("ref:best")).digest == WEIGHTS


def test_a_version_of_the_deleted_run_is_still_bound(whole: LocalStore) -> None:
    version = Path(whole.location) / "artifacts/bound/v1.json"
    version.write_bytes(version.read_bytes().replace(b'"size_bytes":7', b'"size_bytes":8'))
    assert not whole.verify().ok
    version.unlink()
    assert not whole.verify().ok
