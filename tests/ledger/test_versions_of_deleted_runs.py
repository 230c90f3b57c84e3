"""A version outlives the run that made it, and cannot change or vanish unseen afterwards."""

import errno
import json
import os
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest
from bundles.making import RUN, bundle_of, log, logged, used
from ledger.making import kinds, store_at, verify
from local.faulty_disk import journals

from instrument.audit import RunDropped, VersionsMade
from instrument.errors import StoreError
from instrument.naming import parse_reference
from instrument.records import ArtifactLogged
from instrument.testing.samples import record_run
from instrument.vocabulary import ArtifactVersion
from instrument_local import LocalStore
from instrument_local.files import Disk
from instrument_local.stamps import stamp

WHY = "request of Ann"
OTHER = "20260304-050607-0000000000bb"


def _told(version: ArtifactVersion) -> ArtifactLogged:
    return msgspec.structs.replace(logged(version), check=version.check)


def _filled(store_path: Path) -> tuple[LocalStore, ArtifactVersion, ArtifactVersion]:
    """A sealed run, the version that it logged, and one that it came to log no more."""
    store = store_at(store_path)
    told = log(store, "model", b"weights", run_id=RUN)
    untold = log(store, "report", b"words", run_id=RUN)
    record_run(store, RUN, _told(told))
    store.seal(RUN)
    return store, told, untold


def _path(store_path: Path, version: ArtifactVersion) -> Path:
    return store_path / f"artifacts/{version.name}/v{version.version}.json"


def _forge(path: Path) -> None:
    """Let a version say something else, with a check that is right."""
    said = {**json.loads(path.read_bytes()), "metadata": {"accuracy": 0.99}}
    del said["check"]
    path.chmod(0o600)
    path.write_bytes(stamp(json.dumps(said, separators=(",", ":")).encode()))


def _made(store: LocalStore) -> list[tuple[dict[str, str], bool]]:
    events = (entry.event for entry in store.ledger.entries())
    return [(e.versions, e.late) for e in events if isinstance(e, VersionsMade)]


def _checks(*versions: ArtifactVersion) -> dict[str, str | None]:
    return {version.ref: version.check for version in versions}


EDITS: dict[str, Callable[[Path], None]] = {"version_changed": _forge, "version_missing": os.unlink}


@pytest.mark.parametrize(
    ("kind", "before", "packed"),
    [
        ("version_changed", False, True),
        ("version_changed", True, False),
        ("version_missing", False, False),
        ("version_missing", True, True),
    ],
)
def test_a_version_of_a_deleted_run_cannot_change_or_vanish(
    store_path: Path, kind: str, before: bool, packed: bool
) -> None:
    store, version, _ = _filled(store_path)
    path = _path(store_path, version)
    if packed:
        store.pack(everything=True)
    if before:  # to delete the run hides nothing
        EDITS[kind](path)
    store.upkeep.delete_run(RUN, WHY, redact=not before)
    if not before:
        assert (kinds(verify(store)), verify(store).verdict) == ({"redacted"}, "ok")
        assert store.verify().ok
        EDITS[kind](path)
    store = store_at(store_path)
    told = (path.relative_to(store_path).as_posix(), f"check {version.check}, as the ledger says")
    for problems in (store.verify().problems, verify(store).problems):
        assert [each.kind for each in problems if (each.path, each.expected) == told] == [kind]
    assert verify(store).verdict == "tampered"


def test_the_ledger_hears_of_the_versions_before_the_run_goes(store_path: Path) -> None:
    store, told, untold = _filled(store_path)
    store.upkeep.delete_run(RUN, WHY)
    *_, first, second, last = (entry.event for entry in store.ledger.entries())
    assert isinstance(first, VersionsMade)
    assert isinstance(second, VersionsMade)
    assert isinstance(last, RunDropped)
    assert (first.versions, first.late) == (_checks(told), False)
    assert (second.versions, second.late) == (_checks(untold), True)
    assert first.why == second.why == f"run {RUN} is removed: {WHY}"


def test_what_cannot_be_noted_is_not_deleted(
    store_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store, told, untold = _filled(store_path)
    with monkeypatch.context() as patched:
        patched.setattr("instrument_local.upkeep.left_versions.note_versions", _full)
        with pytest.raises(StoreError, match="No space left"):
            store.upkeep.delete_run(RUN, WHY)
    assert _made(store) == []
    assert [each.kind for each in store.verify().problems] == ["version_unrecorded"]  # `untold`
    store.upkeep.delete_run(RUN, WHY)
    assert _made(store) == [(_checks(told), False), (_checks(untold), True)]


def _full(*_: object, **__: object) -> None:
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


class _CutOff(Disk):
    """Removes no directory."""

    def __init__(self) -> None:
        super().__init__()
        self.rmdir = _full


def test_a_deletion_that_goes_on_notes_nothing_twice(store_path: Path) -> None:
    store, told, untold = _filled(store_path)
    noted = [(_checks(told), False), (_checks(untold), True)]
    for _ in range(2):
        with pytest.raises(StoreError, match="No space left"):
            store_at(store_path, _CutOff()).upkeep.delete_run(RUN, WHY)
        assert _made(store) == noted
    store.upkeep.delete_run(RUN, WHY)
    assert _made(store) == noted
    assert store.verify().ok


def test_what_another_run_logged_again_stays_bound_too(store_path: Path) -> None:
    """Each run binds what it logged; the last one that goes leaves the ledger to do it."""
    store, told, untold = _filled(store_path)
    record_run(store, OTHER, _told(told))
    store.seal(OTHER)
    store.upkeep.delete_run(OTHER, WHY)
    assert _made(store) == [(_checks(told), False)]
    store.upkeep.delete_run(RUN, WHY)
    assert _made(store) == [(_checks(told), False), (_checks(untold), True)]


@pytest.mark.parametrize("closed", [False, True])
def test_what_no_seal_vouches_for_is_late(store_path: Path, closed: bool) -> None:
    store = store_at(store_path)
    version = log(store, "model", b"weights", run_id=RUN)
    record_run(store, RUN, _told(version), finish=closed)
    if closed:  # and then changed, behind the version
        store.seal(RUN)
        _edit_journal(store_path, b'"lost":0', b'"lost":1')
    _forge(_path(store_path, version))
    store.upkeep.delete_run(RUN, WHY)
    assert _made(store) == [(_checks(version), True)]  # as it was logged, not as it is now
    assert kinds(verify(store)) == {"version_changed"}


def _edit_journal(store_path: Path, before: bytes, after: bytes) -> None:
    (journal,) = journals(store_path)
    assert before in journal.read_bytes()
    journal.chmod(0o600)
    journal.write_bytes(journal.read_bytes().replace(before, after))


def test_what_follows_damage_in_a_journal_is_not_believed(store_path: Path) -> None:
    store, told, untold = _filled(store_path)
    _edit_journal(store_path, str(told.check).encode(), b"0" * 64)
    store.upkeep.delete_run(RUN, WHY)
    assert _made(store) == [(_checks(told, untold), True)]
    assert store.verify().ok


def test_a_version_of_a_deleted_run_travels_and_comes_back(
    store_path: Path, tmp_path: Path
) -> None:
    store, told, _ = _filled(store_path)
    record_run(store, OTHER, used(told))
    store.seal(OTHER)
    whole = bundle_of(store, tmp_path / "whole", RUN)
    store.upkeep.delete_run(RUN, WHY)
    without = bundle_of(store, tmp_path / "without", OTHER)
    theirs = store_at(tmp_path / "theirs")
    theirs.bundles.import_(without)
    assert theirs.verify().ok
    assert theirs.resolve(parse_reference("model:v1")).run_id == RUN
    for bundle in (without, whole):  # the second brings the run, too
        _path(store_path, told).unlink()
        store.bundles.import_(bundle, again=True)
        assert store.resolve(parse_reference("model:v1")).check == told.check
        assert [each.name for each in _path(store_path, told).parent.iterdir()] == ["v1.json"]
        assert store_at(store_path).verify().ok
    store.upkeep.delete_run(RUN, WHY)
    assert len(_made(store)) == 2
    assert verify(store).verdict == "ok"


def test_an_imported_run_leaves_what_the_import_noted(store_path: Path, tmp_path: Path) -> None:
    ours, _, _ = _filled(tmp_path / "ours")
    theirs = store_at(store_path)
    own = log(theirs, "model", b"theirs", run_id=OTHER)  # so the other one has another name here
    record_run(theirs, OTHER, _told(own))
    theirs.seal(OTHER)
    theirs.bundles.import_(bundle_of(ours, tmp_path / "bundle"))
    noted = _made(theirs)
    assert [list(versions) for versions, _ in noted] == [["model:v2"]]
    theirs.upkeep.delete_run(RUN, WHY)
    assert _made(theirs) == noted
    assert theirs.verify().ok
