"""A version that no run's seal covers is in the ledger: it cannot change or vanish unseen."""

import json
import os
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import pytest
from bundles.making import RUN, bundle_of, full_run
from ledger.making import kinds, store_at, verify

from instrument.audit import VersionsMade
from instrument.protocols.store import Damage
from instrument.testing.samples import draft
from instrument_local import LocalStore
from instrument_local.ledger import pending
from instrument_local.stamps import stamp


def _with_versions(path: Path) -> LocalStore:
    store = store_at(path)
    for content in (b"a", b"b"):
        store.put_bytes(content)
        store.claim(draft("model", content))
    return store


def _events(store: LocalStore) -> list[VersionsMade]:
    events = (entry.event for entry in store.ledger.entries())
    return [event for event in events if isinstance(event, VersionsMade)]


def _made(store: LocalStore) -> list[tuple[list[str], bool]]:
    return [(list(event.versions), event.late) for event in _events(store)]


def _forge(path: Path) -> None:
    """Let a version say something else, with a check that is right."""
    said = {**json.loads(path.read_bytes()), "metadata": {"accuracy": 0.99}}
    del said["check"]
    path.chmod(0o600)
    path.write_bytes(stamp(json.dumps(said, separators=(",", ":")).encode()))


def _about(problems: tuple[Damage, ...], path: str, check: str | None) -> set[str]:
    """Kinds of what was found of `path`, where the ledger says `check`."""
    expected = f"check {check}, as the ledger says"
    return {each.kind for each in problems if (each.path, each.expected) == (path, expected)}


EDITS: dict[str, Callable[[Path], None]] = {"version_changed": _forge, "version_missing": os.unlink}


@pytest.mark.parametrize(("kind", "number"), [("version_changed", 1), ("version_missing", 2)])
def test_a_version_without_a_run_cannot_change_or_vanish(
    store_path: Path, kind: str, number: int
) -> None:
    store = _with_versions(store_path)
    assert store.verify().problems == ()
    path = f"artifacts/model/v{number}.json"
    check = json.loads((store_path / path).read_bytes())["check"]
    EDITS[kind](store_path / path)
    store = store_at(store_path)
    assert _about(store.verify().problems, path, check) == {kind}
    result = verify(store)
    assert (_about(result.problems, path, check), kinds(result)) == ({kind}, {kind})
    assert result.verdict == "tampered"
    if kind == "version_changed":
        assert _about(store.verify(f"model:v{number}").problems, path, check) == {kind}
        assert store.verify(f"model:v{3 - number}").ok


def test_a_damaged_version_is_told_once(store_path: Path) -> None:
    store = _with_versions(store_path)
    assert verify(store).problems == ()
    path = store_path / "artifacts/model/v1.json"
    path.chmod(0o600)
    path.write_bytes(path.read_bytes()[:-9])
    assert [each.kind for each in verify(store).problems] == ["version_damaged"]
    assert [each.kind for each in store.verify().problems] == ["version_damaged"]


def test_what_the_ledger_said_first_holds(store_path: Path) -> None:
    store = _with_versions(store_path)
    store.ledger.integrate()
    _forge(store_path / "artifacts/model/v1.json")
    forged = json.loads((store_path / "artifacts/model/v1.json").read_bytes())["check"]
    pending.note_versions(store._layout, {"model:v1": forged})
    assert kinds(verify(store)) == {"version_changed"}


def test_content_that_is_there_is_no_new_version(store_path: Path) -> None:
    store = _with_versions(store_path)
    store.claim(draft("model", b"b"))
    store.put_bytes(b"c")
    store.claim(draft("model", b"c", run_id=RUN))
    store.ledger.integrate()
    assert _made(store) == [(["model:v1"], False), (["model:v2"], False)]


def test_a_version_whose_event_a_kill_cut_off_is_entered_as_late(
    store_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    child = os.fork()
    if child == 0:
        monkeypatch.setattr(pending, "note_versions", lambda *_, **__: os._exit(9))
        _with_versions(store_path)
        os._exit(1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 9
    store = store_at(store_path)
    assert store.verify().ok
    store.ledger.integrate()
    assert _made(store) == [(["model:v1"], True)]
    _forge(store_path / "artifacts/model/v1.json")
    assert kinds(verify(store)) == {"version_changed"}


def test_a_ledger_that_cannot_be_written_stops_no_version(store_path: Path) -> None:
    store_path.mkdir(mode=0o700)
    blocked = store_path / "ledger"
    blocked.write_text("in the way")
    store = _with_versions(store_path)
    blocked.unlink()
    store.ledger.integrate()
    assert _made(store) == [(["model:v1", "model:v2"], True)]
    assert verify(store).problems == ()


def test_what_is_made_just_now_is_not_late(
    store_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = _with_versions(store_path)
    (event, _) = sorted((store_path / "ledger/pending").iterdir())
    event.rename(store_path / "aside")
    monkeypatch.setattr(
        "instrument_local.ledger.integrate.time",
        SimpleNamespace(sleep=lambda _: (store_path / "aside").rename(event)),
    )
    store.ledger.integrate()
    assert _made(store) == [(["model:v1"], False), (["model:v2"], False)]


def test_every_version_that_a_bundle_brings_is_in_the_ledger(
    store_path: Path, tmp_path: Path
) -> None:
    ours, theirs = store_at(tmp_path / "ours"), store_at(store_path)
    full_run(ours)
    bundle = bundle_of(ours, tmp_path / "bundle")
    for _ in range(2):  # the second brings nothing
        theirs.bundles.import_(bundle, why="from Ann")
    assert theirs.verify().problems == ()
    (event,) = _events(theirs)
    assert (list(event.versions), event.why, event.late) == (
        ["data:v1", "model:v1"],
        "from Ann",
        False,
    )
    for ref, check in event.versions.items():
        assert theirs.verify(ref).ok
        path = f"artifacts/{ref.replace(':', '/')}.json"
        _forge(store_path / path)
        assert _about(theirs.verify().problems, path, check) == {"version_changed"}


def test_what_an_interrupted_import_made_is_entered_as_late(
    store_path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ours, theirs = store_at(tmp_path / "ours"), store_at(store_path)
    full_run(ours)
    bundle = bundle_of(ours, tmp_path / "bundle")
    with monkeypatch.context() as patched:
        patched.setattr("instrument_local.bundles.importing.note_versions", _interrupted)
        with pytest.raises(KeyboardInterrupt):
            theirs.bundles.import_(bundle)
    theirs.bundles.import_(bundle)
    assert theirs.verify().problems == ()
    assert _made(theirs) == [(["data:v1", "model:v1"], True)]


def _interrupted(*_: object) -> None:
    raise KeyboardInterrupt


def test_an_entry_about_no_version_is_told(store_path: Path) -> None:
    store = _with_versions(store_path)
    wrong = ["../model:v1", "model\0:v1", "", "model", "model:latest"]
    pending.note_versions(store._layout, dict.fromkeys(wrong, "0" * 64))
    found = [each.kind for each in verify(store).problems]
    assert sorted(found) == ["ledger_entry_damaged"] * 3 + ["version_missing"] * 2
