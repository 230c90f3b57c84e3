"""Which versions the rules let go, and which objects go with them."""

from pathlib import Path
from typing import Any

import msgspec
import pytest
from upkeep.keeping import (
    add_run,
    add_version,
    captured,
    days_ago,
    grow_old,
    logged,
    metric,
    run_id,
    runs_with_checkpoints,
    scope,
    snapshot,
    store_at,
    subjects,
    there,
    used,
)

from instrument.errors import IntegrityError, StoreError, UsageError
from instrument.naming import parse_reference
from instrument.protocols.upkeep import Scope
from instrument.records import TelemetrySummarised
from instrument.testing.samples import AT, draft, process_started
from instrument.vocabulary import File
from instrument_local import LocalStore


@pytest.fixture
def store(store_path: Path) -> LocalStore:
    return store_at(store_path)


def test_the_newest_runs_keep_what_they_made_and_what_they_used(store: LocalStore) -> None:
    made = runs_with_checkpoints(store)
    add_run(store, 5, used(made[0]))
    assert subjects(store.upkeep.plan(scope(keep=["last=2"]))) == ["ckpt:v2", "ckpt:v3"]
    done = store.upkeep.collect(scope(keep=["last=2"]), "tidy")
    assert (done.objects, done.kept) == (2, {"last=2": 2})
    assert there(store, made) == ["ckpt:v1", "ckpt:v4"]
    assert store.verify().ok
    assert [version.ref for version in store.artifacts()] == [each.ref for each in made]


def test_a_run_that_logged_the_same_again_keeps_it(store: LocalStore) -> None:
    made = runs_with_checkpoints(store)
    add_run(store, 5, logged(made[1]))
    assert subjects(store.upkeep.plan(scope(keep=["last=1"]))) == ["ckpt:v1", "ckpt:v3", "ckpt:v4"]


def test_tags_keep_and_latest_is_none(store: LocalStore) -> None:
    runs_with_checkpoints(store)
    store.tag(parse_reference("ckpt:v2"), "best", AT)
    assert subjects(store.upkeep.plan(scope(keep=["tagged"]))) == ["ckpt:v1", "ckpt:v3", "ckpt:v4"]
    kept = scope(keep=["alias=best", "alias=latest"])
    assert subjects(store.upkeep.plan(kept)) == ["ckpt:v1", "ckpt:v3"]


@pytest.mark.parametrize(("mode", "gone"), [("min", ["v3", "v4"]), ("max", ["v1", "v2"])])
def test_the_best_by_the_metric_of_the_run(store: LocalStore, mode: str, gone: list[str]) -> None:
    runs_with_checkpoints(store)
    plan = store.upkeep.plan(scope(keep=[f"best=2:metrics.loss:{mode}"]))
    assert subjects(plan) == [f"ckpt:{number}" for number in gone]


def test_the_best_by_the_metric_of_the_version_before_that_of_the_run(store: LocalStore) -> None:
    add_run(store, 1, metric(0.0))
    for number, loss in enumerate([0.3, 0.1, float("nan"), 0.2]):
        add_version(store, "model", b"%d" % number, run=run_id(1), loss=loss)
    grow_old(store)
    plan = store.upkeep.plan(scope(keep=["best=2:metrics.loss:min"]))
    assert subjects(plan) == ["model:v1", "model:v3"]


def test_what_has_no_metric_is_not_among_the_best(store: LocalStore) -> None:
    add_run(store, 1)
    add_version(store, "model", b"unknown", run=run_id(1))
    add_version(store, "model", b"known", run=run_id(1), loss=9.0)
    grow_old(store)
    assert subjects(store.upkeep.plan(scope(keep=["best=2:loss:max"]))) == ["model:v1"]


COUNTED = [
    ("best=1:metrics.loss:max", 1),
    ("last=1", 1),
    ("last=2", 2),
    ("tagged", 0),
    ("alias=latest", 0),
    ("used", 0),
]


@pytest.mark.parametrize(("rule", "left"), COUNTED)
def test_what_was_collected_takes_no_place_and_is_not_told_as_kept(
    store: LocalStore, rule: str, left: int
) -> None:
    made = runs_with_checkpoints(store)
    add_run(store, 5, used(made[3]))
    store.tag(parse_reference("ckpt:v4"), "prod", AT)
    store.upkeep.collect(scope(where="metrics.loss >= 3"))
    plan = store.upkeep.plan(scope(keep=[rule]))
    assert plan.kept == ({rule: left} if left else {})
    assert subjects(plan) == ["ckpt:v1", "ckpt:v2"][: 2 - left]


def test_what_is_left_of_a_version_stays_as_it_would_and_takes_no_place(store: LocalStore) -> None:
    """It may come back: from a copy, or by an import."""
    part, rest = store.put_bytes(b"part"), store.put_bytes(b"rest")
    parts = (File(path="a", digest=part, size_bytes=4), File(path="b", digest=rest, size_bytes=4))
    for number, files in ((1, parts), (2, ()), (3, ())):
        fields: dict[str, Any] = {"is_tree": True, "files": files} if files else {}
        add_version(store, "ckpt", b"%d" % number, run=run_id(number), loss=number, **fields)
        add_run(store, number)
    (lies_at,) = Path(store.location).glob(f"objects/*/{rest.removeprefix('sha256:')}")
    lies_at.unlink()
    grow_old(store)
    plan = store.upkeep.plan(scope(keep=["best=1:metrics.loss:min"]))
    assert (subjects(plan), plan.kept) == (["ckpt:v3"], {"best=1:metrics.loss:min": 1})


def test_a_run_that_never_had_any_takes_its_place_among_the_newest(store: LocalStore) -> None:
    runs_with_checkpoints(store, 2)
    add_run(store, 3)
    assert subjects(store.upkeep.plan(scope(keep=["last=2"]))) == ["ckpt:v1"]


def test_age_type_and_runs_narrow_what_may_go(store: LocalStore) -> None:
    runs_with_checkpoints(store)
    add_version(store, "report", b"text", run=run_id(1), type="evaluation", days=40)
    grow_old(store)

    def plan(**words: Any) -> list[str | None]:
        return subjects(store.upkeep.plan(scope(**words)))

    assert plan(older_than="18d") == ["ckpt:v1", "ckpt:v2", "report:v1"]
    assert plan(older_than="18d", types=["evaluation"]) == ["report:v1"]
    assert plan(where="metrics.loss >= 3") == ["ckpt:v3", "ckpt:v4"]
    assert plan(where="metrics.loss >= 3", keep=["last=1"]) == ["ckpt:v3"]


def test_what_was_logged_by_hand_goes_only_by_its_type(store: LocalStore) -> None:
    add_version(store, "corpus", b"text", type="dataset")
    grow_old(store)
    assert subjects(store.upkeep.plan(scope(older_than="1h"))) == []
    assert subjects(store.upkeep.plan(scope(older_than="1h", types=["dataset"]))) == ["corpus:v1"]


def test_used_keeps_inputs_of_any_run(store: LocalStore) -> None:
    made = runs_with_checkpoints(store)
    add_run(store, 5, used(made[2]))
    assert "ckpt:v3" not in subjects(store.upkeep.plan(scope(keep=["used"])))


def test_parents_go_unless_they_are_asked_for(store: LocalStore) -> None:
    for number in (1, 2, 3):
        parents = (f"chain:v{number - 1}",) if number > 1 else ()
        add_version(store, "chain", b"%d" % number, run=run_id(1), parents=parents)
    add_run(store, 1)
    grow_old(store)
    assert subjects(store.upkeep.plan(scope(keep=["alias=latest"]))) == ["chain:v1", "chain:v2"]
    assert subjects(store.upkeep.plan(scope(keep=["alias=latest"], keep_parents=True))) == []


def test_parents_are_those_of_every_run_that_logged_it_but_for_what_came_of_it(
    store: LocalStore,
) -> None:
    for name in ("first", "second"):
        add_version(store, name, name.encode(), run=run_id(1))
    scores = add_version(store, "scores", b"1.0", run=run_id(1), parents=("first:v1",))
    plot = add_version(store, "plot", b"plot", run=run_id(1), parents=("scores:v1",))
    add_run(store, 1, logged(scores), logged(plot))
    again = ("second:v1", "plot:v1")
    add_run(store, 2, msgspec.structs.replace(logged(scores), again=True, parents=again))
    store.tag(parse_reference("scores"), "kept", AT)
    grow_old(store)
    for keep_parents, going in ((False, ["first:v1", "second:v1", "plot:v1"]), (True, ["plot:v1"])):
        plan = store.upkeep.plan(scope(keep=["tagged"], keep_parents=keep_parents))
        assert sorted(map(str, subjects(plan))) == sorted(going)


def test_an_object_goes_with_the_last_who_needs_it(store: LocalStore) -> None:
    shared, own = store.put_bytes(b"shared"), store.put_bytes(b"own")
    files = (
        File(path="a", digest=shared, size_bytes=6),
        File(path="b", digest=own, size_bytes=3),
    )
    add_run(store, 1)
    for name in ("one", "two"):
        listing = name.encode()
        store.put_bytes(listing)
        given = files if name == "one" else files[:1]
        fields = {"is_tree": True, "created_at": days_ago(5), "files": given}
        store.claim(draft(name, listing, run_id=run_id(1), **fields))
    store.tag(parse_reference("two"), "kept", AT)
    grow_old(store)
    (drop,) = store.upkeep.collect(scope(keep=["tagged"])).drops
    assert (drop.subject, drop.size_bytes) == ("one:v1", len(b"one") + 3)
    assert store.contains(shared)
    assert not store.contains(own)
    assert store.verify().ok


def test_captures_of_runs_go_by_their_own_name(store: LocalStore) -> None:
    columns = store.put_bytes(b"columns")
    summary = TelemetrySummarised(values={}, samples=1, interval_seconds=1.0, columns=(columns,))
    both, first = store.put_bytes(b"both"), store.put_bytes(b"first")
    add_run(store, 1, captured(both), captured(first), summary)
    add_run(store, 2, captured(both))
    grow_old(store)
    assert subjects(store.upkeep.plan(scope(keep=["last=1"]))) == []
    (drop,) = store.upkeep.collect(scope(types=["capture"], keep=["last=1"])).drops
    assert (drop.subject, set(drop.digests)) == (run_id(1), {first, columns})
    assert store.verify().ok


def test_only_what_nothing_names_is_unreferenced(store: LocalStore, store_path: Path) -> None:
    made = runs_with_checkpoints(store)
    lost, env = store.put_bytes(b"nobody's"), store.put_bytes(b"environment")
    add_run(store, 5, captured(env))
    store.pack(everything=True)
    (store_path / "tmp/123-unfinished").write_bytes(b"half")
    (store_path / f"open/{run_id(5)}~0123456789abcdef.reserve").write_bytes(b"r" * 100)
    grow_old(store)
    done = store.upkeep.collect(scope(unreferenced=True))
    assert [drop.digests for drop in done.drops] == [(lost,)]
    assert len(done.leftovers) == 2
    assert done.size_bytes == len(b"nobody's") + 4 + 100
    assert there(store, made) == [each.ref for each in made]
    assert store.contains(env)
    assert not list((store_path / "tmp").iterdir())
    assert not list((store_path / "open").iterdir())


def test_a_run_that_died_is_sealed_before_its_marker_goes(
    store: LocalStore, store_path: Path
) -> None:
    journal = store.begin(process_started(run_id(1)))  # of a host that is no more
    (marker,) = (store_path / "open").glob("*.json")
    kept = marker.read_bytes()
    journal.take(metric(1.0), AT)
    journal.close()
    marker.write_bytes(kept)
    grow_old(store)
    store.upkeep.collect(scope(unreferenced=True))
    assert not list((store_path / "open").iterdir())
    assert (store_path / f"runs/202603/{run_id(1)}/run.json").exists()


def test_what_a_run_uses_that_is_recording_now_stays(store: LocalStore, store_path: Path) -> None:
    made = runs_with_checkpoints(store)
    journal = store.begin(process_started(run_id(9)))
    journal.take(used(made[0]), AT)
    assert "ckpt:v1" not in subjects(store.upkeep.plan(scope(older_than="1h")))
    journal.close()
    assert "ckpt:v1" in subjects(store.upkeep.plan(scope(older_than="1h")))


def test_the_young_stay_by_the_clock_of_the_disk(store: LocalStore) -> None:
    made = runs_with_checkpoints(store)
    grow_old(store, days=0.9)
    plan = store.upkeep.plan(scope(older_than="1h"))
    assert (plan.objects, plan.young) == (0, 4)
    grow_old(store, days=-400)  # a clock that jumped
    assert store.upkeep.collect(scope(older_than="1h")).objects == 0
    assert there(store, made) == [each.ref for each in made]


def test_packed_runs_keep_what_they_name(store: LocalStore) -> None:
    env = store.put_bytes(b"environment")
    add_run(store, 1, captured(env))
    made = add_version(store, "ckpt", b"w", run=run_id(1))
    add_run(store, 2, used(made))
    store.pack(everything=True)
    grow_old(store)
    both = Scope(policies=scope(keep=["used"]).policies, unreferenced=True)
    assert store.upkeep.collect(both).objects == 0


@pytest.mark.parametrize("part", ["journal", "pack", "version", "missing version"])
def test_where_not_all_references_can_be_known_nothing_goes(
    store: LocalStore, store_path: Path, part: str
) -> None:
    runs_with_checkpoints(store)
    if part == "pack":
        store.pack(everything=True)
    pattern = {"journal": "runs/*/*/*.jsonl", "pack": "packs/*"}.get(part, "artifacts/ckpt/v2.json")
    damaged = min(store_path.glob(pattern))
    data = bytearray(damaged.read_bytes())
    data[len(data) // 2] ^= 1
    if part == "missing version":
        damaged.unlink()
    else:
        damaged.write_bytes(data)
    before = snapshot(store_path)
    with pytest.raises((IntegrityError, StoreError)):
        store_at(store_path).upkeep.collect(scope(older_than="1h", unreferenced=False))
    assert snapshot(store_path) == before


def test_a_torn_last_line_counts_as_a_reference(store: LocalStore, store_path: Path) -> None:
    digest = store.put_bytes(b"environment")
    add_run(store, 1, seal=False)
    (journal,) = store_path.glob("runs/*/*/*.jsonl")
    with journal.open("ab") as stream:
        stream.write(b'{"seq":9,"at":"x","record":{"snapshot":"%b"' % digest.encode())
    grow_old(store)
    assert store.upkeep.collect(scope(unreferenced=True)).objects == 0


def test_a_rule_that_only_narrows_is_refused() -> None:
    with pytest.raises(UsageError, match="--type says what may go"):
        scope(types=["checkpoint"])
