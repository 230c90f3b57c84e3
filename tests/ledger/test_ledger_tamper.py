"""T51, T56: whatever is changed in a ledger is found, or said to be beyond what can be known."""

import shutil
from pathlib import Path

import pytest
from ledger.making import (
    RUNS,
    add_run,
    files,
    filled,
    forget,
    kinds,
    lines,
    rebuild,
    store_at,
    verify,
)

from instrument.audit import ObjectsDropped, RunDropped
from instrument.clock import SystemClock
from instrument.errors import InstrumentError, IntegrityError, UsageError
from instrument.naming import parse_reference
from instrument.protocols import Verification
from instrument.protocols.ledger import Evidence
from instrument.testing.samples import AT
from instrument_local import LocalStore
from instrument_local.files import Disk
from instrument_local.layout import Layout
from instrument_local.ledger import keys
from instrument_local.ledger.pending import note, this_user

THIRD = "20260304-050609-000000000003"


@pytest.fixture
def store(store_path: Path) -> LocalStore:
    """A ledger of three entries, with a checkpoint that was kept."""
    store = filled(store_path)
    store.ledger.checkpoint()
    return store


def _is_found(path: Path) -> bool:
    try:
        forget(path)
        return bool(verify(store_at(path)).problems)
    except InstrumentError:
        return True


@pytest.mark.parametrize(
    "step",
    [
        13,
        pytest.param(1, marks=[pytest.mark.slow, pytest.mark.faults, pytest.mark.timeout(900)]),
    ],
)
def test_T51_every_changed_byte_is_found(store: LocalStore, store_path: Path, step: int) -> None:  # noqa: N802
    pytest.importorskip("cryptography", reason="signs a checkpoint")
    keys.make(keys.usual_path(), "ann@lab", None)
    store.ledger.sign(None, None)
    assert verify(store).problems == ()
    missed, count = [], 0
    for file in files(store_path):
        data = file.read_bytes()
        for position in range(0, len(data), step):
            changed = bytearray(data)
            changed[position] ^= 1 << position % 8
            file.write_bytes(bytes(changed))
            count += 1
            if not _is_found(store_path):
                missed.append((file.name, position))
        file.write_bytes(data)
    assert missed == []
    assert count > 1500 / step
    assert not _is_found(store_path)


def test_T51_every_file_that_is_gone_cut_or_longer_is_found(  # noqa: N802
    store: LocalStore, store_path: Path
) -> None:
    for file in files(store_path):
        data = file.read_bytes()
        for changed in (data[:-1], data[:-2], data[: len(data) // 2], b"", data + b"\n", data * 2):
            file.write_bytes(changed)
            assert _is_found(store_path), (file, len(changed))
        file.unlink()
        # A checkpoint that nobody else keeps can go unseen: that is why it belongs elsewhere.
        assert _is_found(store_path) is (file.parent.name != "checkpoints"), file
        file.write_bytes(data)
    assert not _is_found(store_path)


def test_T51_every_entry_dropped_added_or_moved_is_found(  # noqa: N802
    store: LocalStore, store_path: Path
) -> None:
    (block,) = (store_path / "ledger/entries").iterdir()
    entries = block.read_bytes().splitlines(keepends=True)
    changes = [entries[:place] + entries[place + 1 :] for place in range(3)]
    changes += [
        [*entries[:place], entry, *entries[place:]] for place in range(4) for entry in entries
    ]
    changes += [[entries[a], entries[b], entries[c]] for a, b, c in ((0, 2, 1), (2, 0, 1))]
    for changed in changes:
        for name in (block.name, f"000000000000-{len(changed):04d}.jsonl"):
            block.unlink()
            edited = block.with_name(name)
            edited.write_bytes(b"".join(changed))
            assert _is_found(store_path), (len(changed), name)
            edited.unlink()
            block.write_bytes(b"".join(entries))
    assert not _is_found(store_path)


def _forged(path: Path) -> list[bytes]:
    """The entries, with another host in the last one, and every check made good again."""
    from instrument_local.stamps import stamp, unstamp

    *first, last = lines(path)
    forged = unstamp(last + b"\n").replace(b'"host":"', b'"host":"x')
    return [*first, stamp(forged).rstrip(b"\n")]


def test_T51_a_ledger_made_anew_is_found_with_any_older_checkpoint_only(  # noqa: N802
    store: LocalStore, store_path: Path
) -> None:
    checkpoint = store.ledger.checkpoint()
    rebuild(store_path, _forged(store_path))
    result = verify(store)  # what this user saw, and what the store kept
    assert {"ledger_rewritten"} == kinds(result)
    assert result.verdict == "tampered"
    shutil.rmtree(store_path / "ledger/checkpoints")
    assert kinds(verify(store)) == {"ledger_rewritten"}
    forget(store_path)
    result = verify(store, Evidence(since=checkpoint))
    assert kinds(result) == {"ledger_rewritten"}
    forget(store_path)
    result = verify(store)
    assert (result.problems, result.verdict) == ((), "ok-unanchored")
    assert any("this check cannot know" in sentence for sentence in result.says)


@pytest.mark.parametrize("covered", [False, True])
def test_T51_a_checkpoint_stands_for_the_entries_before_it_only(  # noqa: N802
    store: LocalStore,
    store_path: Path,
    covered: bool,
) -> None:
    early = store.ledger.checkpoint()
    add_run(store, THIRD)
    late = store.ledger.checkpoint()
    shutil.rmtree(store_path / "ledger/checkpoints")
    rebuild(store_path, _forged(store_path))  # edits the last entry
    forget(store_path)
    result = verify(store, Evidence(since=late if covered else early))
    assert kinds(result) == ({"ledger_rewritten"} if covered else set())
    if not covered:
        assert any("could have been replaced" in sentence for sentence in result.says)


def test_T51_a_ledger_made_anew_lacks_the_signature(store: LocalStore, store_path: Path) -> None:  # noqa: N802
    pytest.importorskip("cryptography", reason="signs a checkpoint")
    key = store.ledger.new_key(None, "ann@lab", None)
    store.ledger.sign(None, None)
    assert verify(store, Evidence(keys=(key,))).verdict == "ok"
    shutil.rmtree(store_path / "ledger/checkpoints")
    rebuild(store_path, _forged(store_path))
    shutil.rmtree(keys.usual_path().parent)
    forget(store_path)
    assert kinds(verify(store, Evidence(keys=(key,)))) == {"signature_missing"}


@pytest.mark.parametrize("kept", [0, 1, 2])
def test_T51_a_tail_that_was_cut_off_is_found_with_an_older_checkpoint(  # noqa: N802
    store: LocalStore, store_path: Path, kept: int
) -> None:
    line = store.ledger.checkpoint().splitlines()
    shutil.rmtree(store_path / "ledger/checkpoints")
    remaining = lines(store_path)[:kept]
    rebuild(store_path, remaining)
    for directory in store_path.glob("runs/*/*"):
        if directory.name.encode() not in b"".join(remaining):
            shutil.rmtree(directory)  # or their seals would tell
    if b"alias_moved" not in b"".join(remaining):
        (store_path / "artifacts/model/best@1.json").unlink()
    forget(store_path)
    unanchored = verify(store)
    assert (unanchored.verdict, unanchored.size) == ("ok-unanchored", kept)
    forget(store_path)
    result = verify(store, Evidence(since="/".join(line[:3])))
    assert kinds(result) == {"ledger_rolled_back"}


def test_T51_an_older_copy_of_the_whole_store_is_found_by_who_saw_the_newer(  # noqa: N802
    store: LocalStore, store_path: Path, tmp_path: Path
) -> None:
    backup = tmp_path / "backup"
    shutil.copytree(store_path, backup)
    add_run(store, THIRD)
    assert verify(store).verdict == "ok"
    result = verify(store_at(backup))
    assert (result.verdict, kinds(result)) == ("tampered", {"ledger_rolled_back"})
    assert any("remove " in sentence for sentence in result.says)
    forget(store_path)
    assert verify(store_at(backup)).verdict == "ok-unanchored"


@pytest.mark.parametrize("anchor", ["given", "seen", "kept"])
def test_T51_nothing_is_taken_into_a_ledger_that_was_put_back_before_that_is_told(  # noqa: N802
    store: LocalStore, store_path: Path, tmp_path: Path, anchor: str
) -> None:
    older = shutil.copytree(store_path / "ledger", tmp_path / "older")
    add_run(store, THIRD)
    store.tag(parse_reference("model:v1"), "gold", AT)
    newer = store.ledger.checkpoint()
    kept = shutil.copytree(store_path / "ledger/checkpoints", tmp_path / "kept")
    shutil.rmtree(store_path / "ledger")
    shutil.copytree(older, store_path / "ledger")
    if anchor == "kept":
        shutil.copytree(kept, store_path / "ledger/checkpoints", dirs_exist_ok=True)
    if anchor == "seen":
        for refused in (store.ledger.checkpoint, lambda: store.ledger.sign_with_ssh(tmp_path)):
            with pytest.raises(IntegrityError, match="does not begin with the 5 entries"):
                refused()
    else:
        forget(store_path)
    evidence = Evidence(since=newer if anchor == "given" else None)
    for _ in range(2):
        result = verify(store_at(store_path), evidence)
        [gone] = [each for each in result.problems if each.kind.startswith("ledger_")]
        assert gone.kind == ("ledger_cut" if anchor == "kept" else "ledger_rolled_back")
        assert (gone.expected or "").startswith("5 entries")
        assert (gone.found or "").startswith("3 entries")
        assert (result.verdict, result.size) == ("tampered", 3)
        assert anchor == "given" or not store.verify().ok
    assert len(lines(store_path)) == 3


def test_what_was_entered_late_is_told(store: LocalStore, store_path: Path) -> None:
    assert "only when they were found" not in " ".join(verify(store).says)
    shutil.rmtree(store_path / "ledger")
    forget(store_path)
    for _ in range(2):
        result = verify(store)
        assert any("only when they were found: 2;" in sentence for sentence in result.says)


def test_T51_a_fork_is_found_by_whoever_saw_one_side(  # noqa: N802
    store: LocalStore, store_path: Path, tmp_path: Path
) -> None:
    other = tmp_path / "other"
    shutil.copytree(store_path, other)
    add_run(store, THIRD)
    add_run(store_at(other), "20260304-050609-000000000004")
    assert verify(store).verdict == "ok"
    assert kinds(verify(store_at(other))) == {"ledger_rolled_back"}  # their run waits
    assert store_at(other).ledger.integrate() == 1
    assert "ledger_rewritten" in kinds(verify(store_at(other)))
    with pytest.raises(IntegrityError, match="does not begin with the 4 entries"):
        store_at(other).ledger.checkpoint()
    forget(store_path)
    theirs = store_at(other).ledger.checkpoint()
    assert "ledger_rewritten" in kinds(verify(store))
    forget(store_path)
    assert "ledger_rewritten" in kinds(verify(store, Evidence(since=theirs)))


def test_T51_a_run_that_was_closed_cannot_vanish(store: LocalStore, store_path: Path) -> None:  # noqa: N802
    (directory,) = store_path.glob(f"runs/*/{RUNS[0]}")
    shutil.rmtree(directory)
    assert kinds(verify(store)) == {"seal_missing"}
    found = store.verify()
    assert not found.ok
    assert _told_of(found) == {"seal_missing"}


def _told_of(found: Verification) -> set[str]:
    """The kinds of what was found; the versions here are of no run that tells of them."""
    return {each.kind for each in found.problems} - {"version_unrecorded"}


def _journal(store_path: Path, run_id: str = RUNS[0]) -> Path:
    (journal,) = store_path.glob(f"runs/*/{run_id}/*.jsonl")
    journal.chmod(0o600)
    return journal


def test_T51_every_byte_of_a_sealed_journal_counts(store: LocalStore, store_path: Path) -> None:  # noqa: N802
    journal = _journal(store_path)
    data = journal.read_bytes()
    for position in range(0, len(data), 97):
        changed = bytearray(data)
        changed[position] ^= 0x01
        journal.write_bytes(bytes(changed))
        result = verify(store)
        assert result.verdict == "tampered", position
        (found,) = result.problems
        name = journal.relative_to(store_path).as_posix()
        assert (found.kind, found.path) == ("journal_changed", name)
    journal.write_bytes(data)
    assert verify(store).verdict == "ok"


def test_T51_a_sealed_journal_that_is_gone_cut_or_longer_is_found(  # noqa: N802
    store: LocalStore, store_path: Path
) -> None:
    journal = _journal(store_path)
    data = journal.read_bytes()
    for changed in (data[:-1], data[: len(data) // 2], b"", data + b"\n", data * 2):
        journal.write_bytes(changed)
        assert kinds(verify(store)) == {"journal_size"}
    journal.unlink()
    assert kinds(verify(store)) == {"journal_missing"}


def test_T51_a_pack_that_is_changed_or_gone_is_found(store: LocalStore, store_path: Path) -> None:  # noqa: N802
    store.pack(everything=True)
    assert verify(store_at(store_path)).verdict == "ok"
    (pack,) = store_path.glob("packs/*.pack")
    pack.chmod(0o600)
    data = pack.read_bytes()
    for position in range(0, len(data), 97):
        changed = bytearray(data)
        changed[position] ^= 0x01
        pack.write_bytes(bytes(changed))
        assert verify(store_at(store_path)).verdict == "tampered", position
    pack.unlink()
    assert kinds(verify(store_at(store_path))) == {"seal_missing"}


def test_what_a_run_refers_to_is_checked_by_verify(store: LocalStore, store_path: Path) -> None:
    digest = store.put_bytes(b"weights")
    path = store.path_of(digest)
    assert path is not None
    path.chmod(0o600)
    path.write_bytes(b"heavier")
    result = verify(store)
    assert result.verdict == "ok"
    assert any("`instrument verify` checks" in sentence for sentence in result.says)
    assert _told_of(store.verify()) == {"object_changed"}


def test_T51_a_seal_made_anew_with_its_journals_is_found(  # noqa: N802
    store: LocalStore, store_path: Path
) -> None:
    for run_id in RUNS:
        (directory,) = store_path.glob(f"runs/*/{run_id}")
        shutil.rmtree(directory)
        add_run(store, run_id)  # the same run, made again at another time
        (seal,) = directory.glob("run.json")
        from instrument_local.stamps import stamp, unstamp

        content = unstamp(seal.read_bytes()).replace(b'"loss":0.5', b'"loss":0.1')
        seal.chmod(0o600)
        seal.write_bytes(stamp(content))
    assert {each.kind for each in store.verify().problems} >= {"seal_changed"}


def test_T56_a_run_that_was_removed_on_purpose_is_no_damage(  # noqa: N802
    store: LocalStore, store_path: Path
) -> None:
    layout = Layout(store_path, SystemClock(), Disk())
    why = "asked for by the person"
    event = RunDropped(
        at=AT, who=this_user(), why=why, run_id=RUNS[0], digest=None, rule="redaction"
    )
    note(layout, event)
    (directory,) = store_path.glob(f"runs/*/{RUNS[0]}")
    shutil.rmtree(directory)
    result = verify(store)
    assert (result.verdict, result.dropped_runs) == ("ok", (RUNS[0],))
    assert [(each.kind, each.severity) for each in result.problems] == [("redacted", "note")]
    found = store.verify()
    assert found.ok
    assert _told_of(found) == {"redacted"}
    assert any(entry.event.why == why for entry in store.ledger.entries())
    (directory,) = store_path.glob(f"runs/*/{RUNS[1]}")
    shutil.rmtree(directory)  # one removal on purpose excuses no other
    assert not store.verify().ok


def test_T56_an_object_that_was_removed_on_purpose_is_a_note(  # noqa: N802
    store: LocalStore, store_path: Path
) -> None:
    digest = store.put_bytes(b"weights")
    path = store.path_of(digest)
    assert path is not None
    path.unlink()
    assert not store.verify().ok
    layout = Layout(store_path, SystemClock(), Disk())
    note(
        layout,
        ObjectsDropped(at=AT, who=this_user(), digests=(digest,), size_bytes=7, rule="--keep 1"),
    )
    found = store.verify()
    assert found.ok
    assert _told_of(found) == {"object_dropped"}


def test_a_checkpoint_of_another_store_is_refused(store: LocalStore, tmp_path: Path) -> None:
    other = filled(tmp_path / "other").ledger.checkpoint()
    with pytest.raises(UsageError, match="is of store"):
        verify(store, Evidence(since=other))
    for bad in ("", "x", "a/1/b", str(tmp_path / "nothing"), "\n\n\n", "a/01/" + "A" * 43 + "="):
        with pytest.raises(UsageError, match=r"no checkpoint|nor a checkpoint"):
            verify(store, Evidence(since=bad))


def test_a_checkpoint_is_taken_as_a_line_a_note_or_a_file_of_either(
    store: LocalStore, tmp_path: Path
) -> None:
    text = store.ledger.checkpoint()
    line = "/".join(text.splitlines())
    file = tmp_path / "checkpoint"
    add_run(store, THIRD)
    for content in (text, line, line + "\n"):
        file.write_text(content)
        for since in (content, str(file)):
            forget(Path(store.location))
            result = verify(store, Evidence(since=since))
            assert (result.verdict, result.anchored, result.size) == ("ok", 3, 4)


def test_the_first_look_is_believed_and_the_next_is_compared(store: LocalStore) -> None:
    forget(Path(store.location))
    assert verify(store).verdict == "ok-unanchored"
    add_run(store, THIRD)
    result = verify(store)
    assert (result.verdict, result.anchored, result.size) == ("ok", 3, 4)
    assert verify(store).anchored == 4


def test_an_empty_ledger_is_whole(store_path: Path) -> None:
    result = verify(store_at(store_path))
    assert (result.verdict, result.size, result.checkpoint) == ("ok-unanchored", 0, None)
    assert not store_path.exists()
