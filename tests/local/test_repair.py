"""Repair sets right what can be set right, loses nothing, tells the ledger, and can be stopped."""

import hashlib
import os
import shutil
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from local.faulty_disk import CALLS, FaultyDisk

from instrument.audit import Repaired
from instrument.clock import SystemClock
from instrument.naming import parse_reference
from instrument.protocols.ledger import Evidence
from instrument.protocols.repair import Repair
from instrument.records import ArtifactLogged, Metrics, RunFinished
from instrument.testing.samples import AT, draft, process_started, record_run, run_started
from instrument.vocabulary import ArtifactVersion, RunState
from instrument_local import LocalStore, open_store, spool
from instrument_local.files import Disk
from instrument_local.layout import Layout
from instrument_local.liveness import Markers
from instrument_local.quarantine import Why
from instrument_local.stamps import unstamp
from instrument_local.versions import LocalVersions

NOT_REACHED, FAILED = 0, 3
RUN = "20260304-050607-0123456789ab"
DEAD = "20260304-crashed"
DIGEST = f"sha256:{hashlib.sha256(b'weights').hexdigest()}"


@pytest.fixture
def store(store_path: Path) -> LocalStore:
    """A sealed run, a run whose process died, a version with an alias."""
    store = open_store(store_path, SystemClock())
    store.put_bytes(b"weights")
    store.claim(draft("model", b"weights"))
    store.put_bytes(b"other")
    store.claim(draft("model", b"other"))
    store.tag(parse_reference("model:v1"), "best", AT)
    record_run(store, RUN, run_started("x"), Metrics(values={"loss": 0.5}, step=0))
    store.seal(RUN)
    record_run(store, DEAD, Metrics(values={"loss": 1.0}, step=0), finish=False)
    store.ledger.integrate()
    return store


def _path(store: LocalStore, digest: str = DIGEST) -> Path:
    return Path(store.location, "objects", digest[7:9], digest[7:])


def _overwrite(path: Path, data: bytes = b"damaged") -> None:
    path.chmod(0o600)
    path.write_bytes(data)


def _done(repair: Repair) -> list[tuple[str, str]]:
    assert [step.error for step in repair.steps if step.error] == []
    return [(step.action, step.path) for step in repair.steps]


def _bytes_of(root: Path) -> list[bytes]:
    return sorted(path.read_bytes() for path in root.rglob("*") if path.is_file())


def _seal(store: LocalStore) -> Path:
    (path,) = Path(store.location).glob(f"runs/*/{RUN}/run.json")
    return path


def test_the_run_of_a_dead_process_is_sealed_and_its_journal_is_as_it_was(
    store: LocalStore,
) -> None:
    (journal,) = Path(store.location).glob(f"runs/*/{DEAD}/*.jsonl")
    before = journal.read_bytes()
    done = store.repair(why="the cluster went down")
    assert _done(done) == [("sealed", f"runs/202603/{DEAD}")]
    assert done.verification.problems == ()
    assert journal.read_bytes() == before
    assert store.run(DEAD).state is RunState.INTERRUPTED
    assert (journal.parent / "run.json").exists()
    assert store.repair().steps == ()


def test_what_came_from_a_process_that_was_thought_dead_is_told_and_sealed(
    store: LocalStore,
) -> None:
    late = "20260304-late"
    journal = store.begin(process_started(late))
    journal.take(Metrics(values={"loss": 2.0}, step=0), AT)
    journal.sync()
    for marker in Path(store.location).glob(f"open/{late}~*"):
        marker.unlink()  # as when nobody heard of the process for long
    store.repair()
    assert store.verify().problems == ()
    journal.take(Metrics(values={"loss": 1.0}, step=1), AT)
    journal.close()
    for problems in (store.verify().problems, store.ledger.verify(Evidence()).problems):
        (note,) = problems
        assert (note.kind, note.severity) == ("journal_went_on", "note")
        assert "as sealed in run.json" in str(note.expected)
    assert store.changed_files(late) == ()
    assert _done(store.repair(why="it lived")) == [("sealed", f"runs/202603/{late}")]
    assert store.verify().problems == store.ledger.verify(Evidence()).problems == ()
    assert store.run(late).metrics == {"loss": 1.0}


def test_a_living_run_is_left_alone(store: LocalStore, store_path: Path) -> None:
    store.repair()
    journal = store.begin(process_started("20260304-alive", boot_id=None))
    assert store.repair().steps == ()
    assert not list(store_path.glob("runs/*/20260304-alive/run.json"))
    journal.close()


def test_every_step_is_in_the_ledger_with_who_when_and_why(store: LocalStore) -> None:
    _overwrite(_path(store))
    done = store.repair(why="a broken disk")
    events = [e.event for e in store.ledger.entries() if isinstance(e.event, Repaired)]
    assert [(event.action, event.path) for event in events] == _done(done)
    assert {event.why for event in events} == {"a broken disk"}
    assert all(event.who.host for event in events)


def test_a_dry_run_changes_nothing_and_tells_the_same_steps(store: LocalStore) -> None:
    _overwrite(_path(store))
    root = Path(store.location)
    store.verify()
    before = {path: path.lstat().st_mtime_ns for path in root.rglob("*") if path.is_file()}
    planned = store.repair(dry_run=True)
    after = {path: path.lstat().st_mtime_ns for path in root.rglob("*") if path.is_file()}
    assert after == before
    assert planned.dry_run
    assert [step.action for step in planned.steps] == ["quarantined", "sealed"]
    assert _done(store.repair()) == _done(planned)


def test_a_damaged_object_is_set_aside_with_a_reason_and_what_is_lost_is_still_told(
    store: LocalStore,
) -> None:
    _overwrite(_path(store), b"rotten bits")
    done = store.repair(why="test")
    (problem,) = done.verification.problems
    assert (problem.kind, problem.expected) == ("object_missing", DIGEST)
    (kept,) = Path(store.location).glob(f"quarantine/*/objects/{DIGEST[7:9]}/{DIGEST[7:]}")
    assert kept.read_bytes() == b"rotten bits"
    import msgspec

    reason = kept.with_name(f"{kept.name}.why.json").read_bytes()
    why = msgspec.json.decode(unstamp(reason), type=Why)
    assert (why.kind, why.expected, why.why) == ("object_changed", DIGEST, "test")
    assert store.repair().steps == ()


@pytest.mark.parametrize("place", ["file", "directory", "store", "tmp"])
def test_a_lost_object_comes_back_from_whoever_has_its_bytes(
    store: LocalStore, tmp_path: Path, place: str
) -> None:
    sources = tmp_path / "elsewhere"
    if place == "store":
        shutil.copytree(store.location, sources)
    elif place == "tmp":
        Path(store.location, "tmp", "1-complete").write_bytes(b"weights")
    else:
        sources.mkdir()
        (sources / "noise.bin").write_bytes(b"not these")
        (sources / "model.bin").write_bytes(b"weights")
    _overwrite(_path(store))
    named = {"file": [sources / "model.bin"], "tmp": []}.get(place, [sources])
    done = store.repair(sources=named)
    assert done.verification.problems == ()
    assert ("restored", f"objects/{DIGEST[7:9]}/{DIGEST[7:]}") in _done(done)
    assert store.get_bytes(DIGEST) == b"weights"


def test_what_only_looks_like_the_lost_bytes_is_not_taken(
    store: LocalStore, tmp_path: Path
) -> None:
    false = tmp_path / "backup" / "objects" / DIGEST[7:9] / DIGEST[7:]
    false.parent.mkdir(parents=True)
    false.write_bytes(b"hostile")
    _path(store).unlink()
    assert not store.repair(sources=[tmp_path / "backup"]).verification.ok
    assert not _path(store).exists()


def test_a_link_in_the_place_of_an_object_is_set_aside(store: LocalStore, tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.write_bytes(b"weights")
    _path(store).unlink()
    _path(store).symlink_to(outside)
    done = store.repair(sources=[outside])
    assert done.verification.problems == ()
    assert not _path(store).is_symlink()
    assert outside.read_bytes() == b"weights"


def test_a_run_is_not_sealed_as_running_where_a_second_look_finds_it_alive(
    store: LocalStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As when its marker could be read the first time, and not the second."""
    monkeypatch.setattr(Markers, "alive", lambda *_: True)
    (step,) = [each for each in store.repair().steps if DEAD in each.path]
    assert "may be recording still" in str(step.error)
    assert not list(Path(store.location).glob(f"runs/*/{DEAD}/run*.json"))
    monkeypatch.undo()
    assert store.repair().verification.problems == ()
    assert store.run(DEAD).state is RunState.INTERRUPTED


def test_an_alias_comes_back_from_the_ledger(store: LocalStore) -> None:
    _overwrite(Path(store.location, "artifacts/model/best@1.json"))
    assert store.repair().verification.problems == ()
    assert store.resolve(parse_reference("model:best")).version == 1


@pytest.mark.parametrize("run_id", [None, "20260304-made"])
def test_latest_does_not_move_away_from_what_was_logged_after_the_move_that_is_restored(
    store: LocalStore, run_id: str | None
) -> None:
    for content in (b"a", b"b"):
        store.claim(draft("a", content, run_id=run_id))
    store.tag(parse_reference("a:v1"), "latest", AT)
    fact = Path(store.location, "artifacts/a/latest@1.json")
    before = fact.read_bytes()
    store.repair()
    store.claim(draft("a", b"c"))
    fact.unlink()
    assert _done(store.repair()) == [("restored", "artifacts/a/latest@1.json")]
    assert fact.read_bytes() == before
    assert store.resolve(parse_reference("a")).version == 3
    assert store.repair().steps == ()


def test_a_move_that_is_restored_outlasts_what_an_import_had_brought(store: LocalStore) -> None:
    LocalVersions(Layout(Path(store.location), SystemClock(), Disk())).hold_latest("model", 1, AT)
    store.claim(draft("model", b"imported"))
    store.repair()
    store.tag(parse_reference("model:v1"), "latest", AT)
    store.repair()
    fact = Path(store.location, "artifacts/model/latest@2.json")
    before = fact.read_bytes()
    fact.unlink()
    assert _done(store.repair()) == [("restored", "artifacts/model/latest@2.json")]
    assert fact.read_bytes() == before
    assert store.resolve(parse_reference("model")).version == 1


@pytest.mark.parametrize("left", [None, b"damaged"])
def test_an_alias_comes_back_that_points_where_it_would_without(
    store: LocalStore, left: bytes | None
) -> None:
    store.tag(parse_reference("model:v2"), "latest", AT)
    store.repair()
    fact = Path(store.location, "artifacts/model/latest@1.json")
    before = fact.read_bytes()
    fact.unlink() if left is None else _overwrite(fact, left)
    assert ("restored", "artifacts/model/latest@1.json") in _done(store.repair())
    assert fact.read_bytes() == before
    assert store.repair().steps == ()


@pytest.mark.parametrize("alias", ["good", "latest"])
@pytest.mark.parametrize("left", [None, b"damaged"])
@pytest.mark.parametrize("lost", [(1,), (2, 3), (1, 3, 4)])
def test_moves_are_told_again_in_their_places(
    store: LocalStore, alias: str, left: bytes | None, lost: tuple[int, ...]
) -> None:
    for version in (2, 1, 2, 1):
        store.tag(parse_reference(f"model:v{version}"), alias, datetime.now(UTC))
    store.repair()
    directory = Path(store.location, "artifacts/model")
    before = {path: path.read_bytes() for path in directory.iterdir()}
    for number in lost:
        fact = directory / f"{alias}@{number}.json"
        fact.unlink() if left is None else _overwrite(fact, left)
    assert not store.verify().ok
    done = store.repair()
    assert (done.verification.ok, done.verification.problems) == (True, ())
    assert {path: path.read_bytes() for path in directory.iterdir()} == before
    assert store.resolve(parse_reference(f"model:{alias}")).version == 1
    assert store.repair().steps == ()


def test_the_last_file_about_an_alias_holds_whatever_the_order_in_the_ledger(
    store: LocalStore,
) -> None:
    """As when two processes move it at once: who notes first may write last."""
    for version, seconds in ((2, 9), (1, 5)):
        store.tag(parse_reference(f"model:v{version}"), "good", AT + timedelta(seconds=seconds))
    store.repair()
    for number in (1, 2):
        _overwrite(Path(store.location, f"artifacts/model/good@{number}.json"))
        assert store.repair().verification.ok
        assert store.resolve(parse_reference("model:good")).version == 1


def test_a_move_is_not_told_again_where_its_place_is_not_known(store: LocalStore) -> None:
    """An import holds `latest` by a file that no move tells of."""
    store.tag(parse_reference("model:v1"), "latest", AT)
    LocalVersions(Layout(Path(store.location), SystemClock(), Disk())).hold_latest("model", 0, AT)
    store.tag(parse_reference("model:v2"), "latest", AT + timedelta(seconds=1))
    store.repair()
    for number in (1, 2):
        _overwrite(Path(store.location, f"artifacts/model/latest@{number}.json"))
    assert {action for action, _ in _done(store.repair())} == {"quarantined"}
    assert store.resolve(parse_reference("model")).version == 2
    assert store.repair().steps == ()


def test_a_lost_move_of_latest_is_not_made_again_over_what_an_import_held(
    store: LocalStore,
) -> None:
    store.tag(parse_reference("model:v1"), "latest", AT)
    store.claim(draft("model", b"third"))
    LocalVersions(Layout(Path(store.location), SystemClock(), Disk())).hold_latest("model", 1, AT)
    store.repair()
    store.claim(draft("model", b"imported"))
    Path(store.location, "artifacts/model/latest@1.json").unlink()
    assert _done(store.repair()) == [("restored", "artifacts/model/latest@1.json")]
    assert {each.kind for each in store.verify().problems} == {"object_missing"}
    assert store.resolve(parse_reference("model")).version == 3


def test_the_file_of_a_version_keeps_its_place_however_damaged(store: LocalStore) -> None:
    path = Path(store.location, "artifacts/model/v2.json")
    _overwrite(path, b"")
    done = store.repair()
    assert [problem.kind for problem in done.verification.problems] == ["version_damaged"]
    assert path.exists()
    assert store.claim(draft("model", b"third")).version == 3, "its name is never free again"


@pytest.mark.parametrize("left", [None, b"", b"damaged"])
@pytest.mark.parametrize("name", ["model", "thing"])  # in the ledger; in the seal of a run
def test_the_file_of_a_version_comes_back_from_a_copy(
    store: LocalStore, tmp_path: Path, name: str, left: bytes | None
) -> None:
    store.put_bytes(b"thing")
    made = store.claim(draft("thing", b"thing", run_id="20260304-made"))
    _log(store, "20260304-made", made)
    store.repair()
    copy = shutil.copytree(store.location, tmp_path / "copy")
    path = Path(store.location, f"artifacts/{name}/v1.json")
    before, other = path.read_bytes(), path.parent / "v2.json"
    path.unlink() if left is None else _overwrite(path, left)
    _overwrite(copy / "artifacts/model/v2.json")
    planned = store.repair(dry_run=True, sources=[copy])
    done = store.repair(why="a broken disk", sources=[copy])
    assert _done(done) == _done(planned) == [("restored", f"artifacts/{name}/v1.json")]
    assert path.read_bytes() == before
    assert done.verification.problems == ()
    assert not other.exists() or other.read_bytes() != b"damaged", "an intact one stays"
    kept = list(Path(store.location).glob(f"quarantine/*/artifacts/{name}/v1.json"))
    assert [each.read_bytes() for each in kept] == ([] if left is None else [left])
    (event,) = (
        each.event
        for each in store.ledger.entries()
        if isinstance(each.event, Repaired) and each.event.action == "restored"
    )
    assert (event.path, event.why) == (f"artifacts/{name}/v1.json", "a broken disk")
    assert store.repair(sources=[copy]).steps == ()


@pytest.mark.parametrize("name", ["model", "thing"])
def test_another_file_of_a_version_is_not_taken(
    store: LocalStore, tmp_path: Path, name: str
) -> None:
    run_id = "20260304-made"
    other = open_store(tmp_path / "other", SystemClock())
    for each, content in ((store, b"thing"), (other, b"another thing")):
        made = each.claim(draft("thing", content, run_id=run_id))
        each.claim(draft("model", content))
        _log(each, run_id, made)
    store.repair()
    path = Path(store.location, f"artifacts/{name}/v1.json")
    _overwrite(path)
    assert store.repair(sources=[tmp_path / "other"]).steps == ()
    assert path.read_bytes() == b"damaged"


def _log(store: LocalStore, run_id: str, made: ArtifactVersion) -> None:
    logged = ArtifactLogged(
        ref=made.ref,
        type=made.type,
        digest=made.digest,
        size_bytes=made.size_bytes,
        check=made.check,
    )
    record_run(store, run_id, logged)
    store.seal(run_id)


def test_a_lost_seal_is_made_again_and_is_the_one_that_the_ledger_knows(store: LocalStore) -> None:
    before = _seal(store).read_bytes()
    _overwrite(_seal(store))
    assert "seal_damaged" in {problem.kind for problem in store.verify().problems}
    assert store.repair().verification.problems == ()
    assert _seal(store).read_bytes() == before


def test_a_seal_that_cannot_be_the_same_again_does_not_take_its_place(store: LocalStore) -> None:
    (journal,) = _seal(store).parent.glob("*.jsonl")
    _seal(store).unlink()
    lines = journal.read_bytes().splitlines(keepends=True)
    journal.write_bytes(b"".join(lines[:-1]))
    done = store.repair()
    kinds = {(problem.kind, Path(problem.path).name) for problem in done.verification.problems}
    assert ("seal_missing", "run.json") in kinds
    assert not _seal_path_exists(store)
    assert (journal.parent / "run.2.json").exists()


@pytest.mark.parametrize("harm", ["cut", "gone", "changed and longer"])
def test_a_sealed_run_that_lost_records_is_damaged_and_not_sealed_again(
    store: LocalStore, harm: str
) -> None:
    store.repair()
    (journal,) = _seal(store).parent.glob("*.jsonl")
    data = journal.read_bytes()
    if harm == "gone":
        journal.rename(journal.with_name("away"))
    else:
        _overwrite(journal, data[:-30] if harm == "cut" else b"#" + data + data)
    entries = len(list(store.ledger.entries()))
    done = store.repair()
    assert done.steps == ()
    assert {Path(each.path).name for each in done.verification.problems} >= {journal.name}
    assert len(list(store.ledger.entries())) == entries
    if harm == "cut":  # as the end of a process, `export`, `store pack` and `gc` do
        store.seal(RUN)
    assert [path.name for path in journal.parent.glob("run*.json")] == ["run.json"]
    _overwrite(journal, data) if harm != "gone" else journal.with_name("away").rename(journal)
    assert store.repair().verification.ok
    assert store.run(RUN).state is RunState.COMPLETED


def _seal_path_exists(store: LocalStore) -> bool:
    return bool(list(Path(store.location).glob(f"runs/*/{RUN}/run.json")))


def test_a_damaged_journal_is_evidence_and_stays(store: LocalStore) -> None:
    (journal,) = Path(store.location).glob(f"runs/*/{DEAD}/*.jsonl")
    data = bytearray(journal.read_bytes())
    data[len(data) // 3] ^= 1
    _overwrite(journal, bytes(data))
    done = store.repair()
    assert journal.read_bytes() == bytes(data)
    assert {problem.path for problem in done.verification.problems} == {
        journal.relative_to(store.location).as_posix()
    }


def test_packing_that_was_stopped_is_finished_and_a_damaged_copy_makes_way(
    store: LocalStore, tmp_path: Path
) -> None:
    shutil.copytree(Path(store.location, "runs"), tmp_path / "runs")
    store.repair()
    store.pack(everything=True)
    shutil.copytree(tmp_path / "runs", Path(store.location, "runs"), dirs_exist_ok=True)
    again = open_store(Path(store.location), SystemClock())
    done = again.repair()
    assert ("finished", f"runs/202603/{RUN}") in _done(done)
    assert not list(Path(store.location).glob(f"runs/*/{RUN}/*"))
    assert done.verification.problems == ()

    shutil.copytree(tmp_path / "runs", Path(store.location, "runs"), dirs_exist_ok=True)
    (journal,) = Path(store.location).glob(f"runs/*/{RUN}/*.jsonl")
    _overwrite(journal)
    again = open_store(Path(store.location), SystemClock())
    assert not again.verify().ok
    assert ("quarantined", journal.relative_to(store.location).as_posix()) in _done(again.repair())
    assert again.repair().verification.ok
    assert again.run(RUN).metrics == {"loss": 0.5}


def test_records_that_wait_on_a_local_disk_are_taken_in(
    store: LocalStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home = tmp_path / "spools"
    home.mkdir()
    monkeypatch.setattr(spool, "_local_directory", lambda: home)
    monkeypatch.setattr(spool, "_places", lambda: iter([home]))
    spools = spool.SpoolHome(process_started(RUN), SystemClock())
    waiting = spools.new()
    waiting.take(Metrics(values={"loss": 0.25}, step=1), AT)
    assert store.repair().steps == () or waiting, "its process lives"
    waiting.journal.close()
    before = _bytes_of(spools.directory)
    done = store.repair()
    assert ("adopted", f"runs/202603/{RUN}") in _done(done)
    assert done.verification.ok
    assert store.run(RUN).metrics == {"loss": 0.25}
    assert {run.id: run.metrics for run in store.runs()}[RUN] == {"loss": 0.25}
    assert not spools.directory.exists()
    journal = next(each for each in before if b'"metrics"' in each)
    assert journal in _bytes_of(Path(store.location, "runs")), "byte for byte"
    assert store.repair().steps == ()


def test_a_spool_of_a_run_that_is_not_here_is_taken_only_when_it_is_named(
    store: LocalStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home = tmp_path / "spools"
    home.mkdir()
    monkeypatch.setattr(spool, "_local_directory", lambda: home)
    monkeypatch.setattr(spool, "_places", lambda: iter([home]))
    spools = spool.SpoolHome(process_started("20260304-hung"), SystemClock())
    waiting = spools.new()
    waiting.take(RunFinished(state=RunState.COMPLETED, duration_seconds=1.0), AT)
    waiting.journal.close()
    assert "adopted" not in {step.action for step in store.repair().steps}
    assert spools.directory.exists()
    assert "adopted" in {step.action for step in store.repair(sources=[spools.directory]).steps}
    assert store.run("20260304-hung").state is RunState.COMPLETED


def test_a_marker_of_a_dead_process_goes(store: LocalStore) -> None:
    from instrument_local.liveness import Markers, this_process

    layout = Layout(Path(store.location), SystemClock(), Disk())
    here = this_process()
    process = process_started(RUN, boot_id="0" * 36, host=here.host)
    marker = Markers(layout).open(process, "1-0-host-1")
    assert ("removed", f"open/{marker.name}") in _done(store.repair())
    assert not marker.exists()


def _repair_apart(path: Path, disk: FaultyDisk, source: Path) -> int:
    """Repair in a child, whose lock ends with it."""
    child = os.fork()
    if child == 0:
        code = FAILED
        try:
            done = LocalStore(path, SystemClock(), disk).repair(sources=[source])
            failed = any(step.error for step in done.steps)
            code = NOT_REACHED if disk.calls < disk.fail and not failed else FAILED
        except OSError:
            pass
        finally:
            os._exit(code)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


@pytest.mark.faults
@pytest.mark.parametrize("every", [13, pytest.param(1, marks=pytest.mark.slow)])
def test_a_repair_that_fails_anywhere_loses_nothing_and_can_be_done_again(
    store: LocalStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, every: int
) -> None:
    _overwrite(_path(store), b"rotten")
    _overwrite(Path(store.location, "artifacts/model/best@1.json"), b"{}")
    source = tmp_path / "source"
    version = source / "artifacts/model/v2.json"
    version.parent.mkdir(parents=True)
    shutil.copy(Path(store.location, "artifacts/model/v2.json"), version)
    _overwrite(Path(store.location, "artifacts/model/v2.json"), b"broken")
    (source / "source.bin").write_bytes(b"weights")
    codes = list[int]()
    for number, fail in enumerate(range(1, 400, every)):
        path = tmp_path / f"copy-{fail}"
        shutil.copytree(store.location, path)
        for name in ("XDG_STATE_HOME", "XDG_CACHE_HOME"):
            monkeypatch.setenv(name, f"{path}-{name}")
        code = _repair_apart(path, FaultyDisk(fail, forever=number % 2 == 0, only=CALLS), source)
        kept = _bytes_of(path)
        assert b"rotten" in kept
        assert b"{}" in kept
        assert b"broken" in kept
        again = open_store(path, SystemClock())
        assert again.repair(sources=[source]).verification.ok
        assert again.get_bytes(DIGEST) == b"weights"
        assert again.resolve(parse_reference("model:best")).version == 1
        assert (path / "artifacts/model/v2.json").read_bytes() == version.read_bytes()
        shutil.rmtree(path)
        codes.append(code)
        if code == NOT_REACHED:
            break
    assert set(codes) == {NOT_REACHED, FAILED}


@pytest.mark.parametrize("harm", ["cut", "gone", "changed"])
def test_a_sealed_journal_comes_back_from_a_copy_of_the_store(
    store: LocalStore, tmp_path: Path, harm: str
) -> None:
    store.repair()
    copy = tmp_path / "copy"
    shutil.copytree(store.location, copy)
    (journal,) = _seal(store).parent.glob("*.jsonl")
    data = journal.read_bytes()
    if harm == "gone":
        journal.unlink()
    else:
        _overwrite(journal, data[:-30] if harm == "cut" else data.replace(b"loss", b"gain"))
    done = store.repair(sources=[copy])
    assert [(step.action, step.error) for step in done.steps] == [("restored", None)]
    assert done.verification.ok
    assert journal.read_bytes() == data
    kept = list(Path(store.location).glob(f"quarantine/*/runs/*/*/{journal.name}"))
    assert len(kept) == (harm != "gone")


def test_a_journal_does_not_come_back_from_a_copy_that_is_another_one(
    store: LocalStore, tmp_path: Path
) -> None:
    store.repair()
    (journal,) = _seal(store).parent.glob("*.jsonl")
    data = journal.read_bytes()
    copy = tmp_path / "copy" / journal.relative_to(store.location)
    copy.parent.mkdir(parents=True)
    copy.write_bytes(data.replace(b"loss", b"gain"))
    _overwrite(journal, data[:-30])
    assert store.repair(sources=[tmp_path / "copy"]).steps == ()
    assert journal.read_bytes() == data[:-30]


@pytest.mark.parametrize("left", [0, 1, 300])
def test_a_run_whose_sealed_journal_was_cut_is_told_as_its_seal_has_it(
    store: LocalStore, left: int
) -> None:
    store.repair()
    (journal,) = _seal(store).parent.glob("*.jsonl")
    before = store.run(RUN)
    data = journal.read_bytes()
    journal.unlink()
    if left:
        journal.write_bytes(data[:left])
    after = store.run(RUN)
    assert (after.state, after.metrics) == (RunState.COMPLETED, before.metrics)
    assert not after.recording.complete
    [told] = after.recording.problems
    assert told.startswith(f"journal {journal.stem} is damaged: {left} of {len(data)} bytes")
    assert [run.state for run in store.runs() if run.id == RUN] == [RunState.COMPLETED]
    assert store.seal(RUN) == after
