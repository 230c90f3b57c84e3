"""What goes out of one store comes into another, and answers the same there."""

import os
import shutil
from pathlib import Path

import msgspec
import pytest
from bundles.making import (
    DATA,
    RUN,
    WEIGHTS,
    answers,
    bundle_of,
    files_of,
    full_run,
    log,
    logged,
    store_at,
    taken_apart,
    used,
)

from instrument.audit import Exported, GapFound, Imported
from instrument.errors import IntegrityError, NotFoundError, UsageError
from instrument.lineage import build_graph
from instrument.naming import parse_reference
from instrument.protocols.ledger import Evidence
from instrument.records import Metrics, ProcessFinished, RunFinished
from instrument.testing.clock import FakeClock
from instrument.testing.samples import AT, process_started, record_run, run_started
from instrument.vocabulary import RunState
from instrument_local import LocalStore

OTHER = "20260304-050608-0000000000bb"


@pytest.fixture
def ours(tmp_path: Path) -> LocalStore:
    store = store_at(tmp_path / "ours")
    full_run(store)
    return store


@pytest.fixture
def theirs(tmp_path: Path) -> LocalStore:
    return store_at(tmp_path / "theirs")


def test_a_run_answers_the_same_in_an_empty_store(
    ours: LocalStore, theirs: LocalStore, tmp_path: Path
) -> None:
    bundle = bundle_of(ours, tmp_path / "b", why="for Bob")
    brought = theirs.bundles.import_(bundle, why="from Ann")
    assert [each.change for each in brought.runs] == ["new"]
    assert brought.verified == "proof"
    assert brought.objects == 8
    assert answers(theirs) == answers(ours)
    assert theirs.runs() == ours.runs()
    assert set(build_graph(theirs).edges()) == set(build_graph(ours).edges())
    assert theirs.verify().problems == ()
    assert theirs.verify(RUN).ok
    assert theirs.ledger.verify(Evidence()).verdict in {"ok", "ok-unanchored"}
    proof = theirs.ledger.check_proof(theirs.ledger.proof_of(RUN))
    assert getattr(proof.event, "run_id", None) == RUN
    model = theirs.resolve(parse_reference("model"))
    assert model.origin == f"{ours.info()['store_id']}/model:v1"


def test_a_run_that_made_what_the_bundle_brings_stays_elsewhere(
    ours: LocalStore, theirs: LocalStore, tmp_path: Path
) -> None:
    model = ours.resolve(parse_reference("model"))
    started = msgspec.structs.replace(run_started("child"), parent_run_id=RUN)
    record_run(ours, OTHER, started, used(model))
    ours.seal(OTHER)
    theirs.bundles.import_(bundle_of(ours, tmp_path / "b", OTHER))
    for result in (theirs.verify(), theirs.verify(OTHER)):
        assert result.ok
        (found,) = result.problems
        assert (found.kind, found.expected, found.severity) == ("run_elsewhere", RUN, "note")
        assert f"in store {ours.info()['store_id']}" in str(found.found)
    (made_here,) = Path(ours.location).glob(f"runs/*/{RUN}")
    shutil.rmtree(made_here)
    assert "run_elsewhere" not in {each.kind for each in ours.verify().problems}


def test_who_took_it_out_and_in_and_why_is_in_both_ledgers(
    ours: LocalStore, theirs: LocalStore, tmp_path: Path
) -> None:
    written = ours.bundles.export([RUN], tmp_path / "b", why="for Bob")
    theirs.bundles.import_(tmp_path / "b", why="from Ann")
    (out,) = [e.event for e in ours.ledger.entries() if isinstance(e.event, Exported)]
    theirs.ledger.integrate()
    (in_,) = [e.event for e in theirs.ledger.entries() if isinstance(e.event, Imported)]
    assert not any(isinstance(e.event, GapFound) for e in theirs.ledger.entries())
    assert (out.bundle, out.why, out.runs) == (written.digest, "for Bob", (RUN,))
    assert (in_.bundle, in_.why, in_.runs) == (written.digest, "from Ann", (RUN,))
    assert in_.origin == ours.info()["store_id"]
    assert in_.who.uid == os.getuid()


def test_again_changes_nothing(ours: LocalStore, theirs: LocalStore, tmp_path: Path) -> None:
    bundle = bundle_of(ours, tmp_path / "b")
    theirs.bundles.import_(bundle)
    before = files_of(theirs)
    again = theirs.bundles.import_(bundle)
    assert ([each.change for each in again.runs], again.objects) == (["same"], 0)
    assert not any(each.is_new for each in again.artifacts)
    assert files_of(theirs) == before
    own = ours.bundles.import_(bundle)
    assert [each.change for each in own.runs] == ["same"]
    assert [each.here for each in own.artifacts] == ["data:v1", "model:v1"]


def test_a_dry_run_tells_the_same_and_writes_nothing(
    ours: LocalStore, theirs: LocalStore, tmp_path: Path
) -> None:
    bundle = bundle_of(ours, tmp_path / "b")
    dry = theirs.bundles.import_(bundle, dry_run=True)
    assert not Path(theirs.location).exists()
    assert theirs.bundles.import_(bundle) == dry


def test_the_same_runs_at_the_same_time_are_the_same_bytes(tmp_path: Path) -> None:
    store = LocalStore(tmp_path / "store", FakeClock())
    full_run(store)
    full_run(store, OTHER, b"other weights")
    store.ledger.integrate()
    shutil.copytree(tmp_path / "store", tmp_path / "copy")
    store.bundles.export([RUN, OTHER], tmp_path / "a")
    copy = LocalStore(tmp_path / "copy", FakeClock())
    copy.bundles.export([OTHER, RUN, RUN], tmp_path / "b")
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


@pytest.mark.parametrize("packed", ["ours", "theirs"])
def test_packed_runs_travel_too(
    ours: LocalStore, theirs: LocalStore, tmp_path: Path, packed: str
) -> None:
    expected = answers(ours)
    if packed == "ours":
        ours.pack(everything=True)
    theirs.bundles.import_(bundle_of(ours, tmp_path / "b"))
    if packed == "theirs":
        theirs.pack(everything=True)
    assert answers(theirs) == expected
    assert theirs.verify().problems == ()


def test_half_of_it_was_here(ours: LocalStore, theirs: LocalStore, tmp_path: Path) -> None:
    full_run(ours, OTHER, b"other weights")
    theirs.bundles.import_(bundle_of(ours, tmp_path / "half"))
    brought = theirs.bundles.import_(bundle_of(ours, tmp_path / "whole", RUN, OTHER))
    assert {each.id: each.change for each in brought.runs} == {RUN: "same", OTHER: "new"}
    assert answers(theirs, RUN, OTHER) == answers(ours, RUN, OTHER)
    assert theirs.verify().problems == ()


def test_a_run_that_grew_meanwhile_grows_here(
    ours: LocalStore, theirs: LocalStore, tmp_path: Path
) -> None:
    theirs.bundles.import_(bundle_of(ours, tmp_path / "first"))
    journal = ours.begin(process_started(RUN, attempt=2))
    journal.take(Metrics(values={"loss": 0.25}, step=2), AT)
    journal.take(RunFinished(state=RunState.COMPLETED, duration_seconds=1.0), AT)
    journal.take(ProcessFinished(lost=0, overhead={}), AT)
    journal.close()
    ours.seal(RUN)
    brought = theirs.bundles.import_(bundle_of(ours, tmp_path / "second"))
    assert [each.change for each in brought.runs] == ["grown"]
    assert theirs.run(RUN).attempts == 2
    assert answers(theirs) == answers(ours)
    older = theirs.bundles.import_(tmp_path / "first")
    assert [each.change for each in older.runs] == ["same"]
    assert theirs.verify().problems == ()


def test_an_imported_run_goes_on_here(ours: LocalStore, theirs: LocalStore, tmp_path: Path) -> None:
    log(theirs, "model", b"mine")
    theirs.bundles.import_(bundle_of(ours, tmp_path / "b"))
    local = log(theirs, "model", b"more of mine", run_id=RUN)
    journal = theirs.begin(process_started(RUN, attempt=2))
    journal.take(logged(local), AT)
    journal.take(RunFinished(state=RunState.COMPLETED, duration_seconds=1.0), AT)
    journal.take(ProcessFinished(lost=0, overhead={}), AT)
    journal.close()
    assert theirs.seal(RUN).outputs == ["model:v2", "model:v3"]
    assert theirs.run(RUN).outputs == ["model:v2", "model:v3"]
    assert theirs.verify().problems == ()
    third = store_at(tmp_path / "third")
    third.bundles.import_(bundle_of(theirs, tmp_path / "on"))
    assert third.run(RUN).outputs == ["model:v1", "model:v2"]
    assert third.get_bytes(third.resolve(parse_reference("model:v1")).digest) == WEIGHTS
    assert third.verify().problems == ()


def test_parents_come_along_however_far(theirs: LocalStore, tmp_path: Path) -> None:
    store = store_at(tmp_path / "deep")
    parents: tuple[str, ...] = ()
    for number in range(60):
        version = log(store, f"step{number % 3}", b"%d" % number, parents=parents)
        parents = (version.ref,)
    record_run(store, RUN, used(version))
    brought = theirs.bundles.import_(bundle_of(store, tmp_path / "b"))
    assert len(brought.artifacts) == 60
    assert answers(theirs)["versions"] == answers(store)["versions"]
    assert theirs.verify().problems == ()


@pytest.mark.parametrize(("limit", "objects"), [(-1, 6), (len(DATA), 7), (None, 8)])
def test_bytes_may_stay_behind(
    ours: LocalStore, theirs: LocalStore, tmp_path: Path, limit: int | None, objects: int
) -> None:
    written = ours.bundles.export([RUN], tmp_path / "b", max_object_bytes=limit)
    assert (written.objects, sum(written.left_out.values())) == (objects, 8 - objects)
    brought = theirs.bundles.import_(tmp_path / "b")
    assert (brought.objects, brought.left_out) == (objects, 8 - objects)
    assert theirs.run(RUN) == ours.run(RUN)
    result = theirs.verify()
    assert result.ok
    assert {each.kind for each in result.problems} == ({"object_dropped"} if objects < 8 else set())
    if objects < 8:
        with pytest.raises(NotFoundError):
            theirs.get_bytes(theirs.resolve(parse_reference("model")).digest)
        whole = theirs.bundles.import_(bundle_of(ours, tmp_path / "whole"))
        assert (whole.objects, whole.left_out) == (8 - objects, 0)
        assert theirs.verify().problems == ()


def test_what_is_exported_must_have_ended_and_be_whole(ours: LocalStore, tmp_path: Path) -> None:
    with pytest.raises(NotFoundError, match="no run"):
        bundle_of(ours, tmp_path / "b", "20260304-nothing")
    started = process_started(OTHER, pid=os.getpid(), host=os.uname().nodename)
    journal = ours.begin(started)
    with pytest.raises(UsageError, match="goes on still"):
        bundle_of(ours, tmp_path / "b", RUN, OTHER)
    journal.close()
    (tmp_path / "there").write_text("mine")
    with pytest.raises(UsageError, match="is there already"):
        bundle_of(ours, tmp_path / "there")
    assert (tmp_path / "there").read_text() == "mine"
    data = ours.path_of(ours.resolve(parse_reference("data")).digest)
    assert data is not None
    data.chmod(0o600)
    data.write_bytes(b"x" * len(DATA))
    with pytest.raises(IntegrityError, match="is not as it was"):
        bundle_of(ours, tmp_path / "b")
    assert sorted(path.name for path in tmp_path.iterdir() if path.is_file()) == ["there"]
    assert not [e for e in ours.ledger.entries() if isinstance(e.event, Exported)]


def test_a_run_that_died_is_closed_and_travels(theirs: LocalStore, tmp_path: Path) -> None:
    store = store_at(tmp_path / "died")
    record_run(store, RUN, Metrics(values={"loss": 1.0}, step=0), finish=False)
    theirs.bundles.import_(bundle_of(store, tmp_path / "b"))
    assert theirs.run(RUN).state is RunState.INTERRUPTED
    assert theirs.run(RUN) == store.run(RUN)


def test_large_and_repetitive_files_travel(theirs: LocalStore, tmp_path: Path) -> None:
    store = store_at(tmp_path / "large")
    contents = {
        "weights": os.urandom(3 << 20),
        "zeros": bytes(8 << 20),
        "text": "".join(f"row,{number}\n" for number in range(50_000)).encode(),
    }
    versions = [log(store, name, data) for name, data in contents.items()]
    versions.append(log(store, "empty", b""))
    record_run(store, RUN, *map(logged, versions))
    bundle = bundle_of(store, tmp_path / "b")
    # Zeros shrink so far that no reader would believe it, so they are stored as they are.
    assert 11 << 20 < bundle.stat().st_size < (11 << 20) + 200_000
    theirs.bundles.import_(bundle)
    for name, data in contents.items():
        assert theirs.get_bytes(theirs.resolve(parse_reference(name)).digest) == data
    assert theirs.verify().problems == ()


def test_files_in_a_bundle_are_those_of_the_store_byte_for_byte(
    ours: LocalStore, tmp_path: Path
) -> None:
    _, contents = taken_apart(bundle_of(ours, tmp_path / "b"))
    store = files_of(ours)
    for path, data in contents.items():
        if not path.startswith("proofs/"):
            assert store[path] == data
    assert {path.split("/")[0] for path in contents} == {"runs", "proofs", "artifacts", "objects"}
