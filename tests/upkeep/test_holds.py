"""Retention periods and legal holds: nothing that they cover goes before its time."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cli.support import Cli
from upkeep.keeping import (
    add_run,
    logged,
    run_id,
    runs_with_checkpoints,
    scope,
    snapshot,
    store_at,
    subjects,
    there,
    used,
)

from instrument.errors import HeldError, NotFoundError
from instrument_local import LocalStore
from instrument_local.upkeep import collecting

UNTIL = datetime(2999, 1, 1, tzinfo=UTC)


@pytest.fixture
def store(store_path: Path) -> LocalStore:
    return store_at(store_path)


def test_a_collection_that_would_break_a_hold_is_refused_as_a_whole(
    store: LocalStore, store_path: Path
) -> None:
    made = runs_with_checkpoints(store)
    store.upkeep.hold("ckpt:v2", UNTIL, "audit")
    before = snapshot(store_path)
    with pytest.raises(HeldError, match=r"ckpt:v2, which the hold on ckpt:v2 forbids.*keep held"):
        store.upkeep.collect(scope(older_than="1h"))
    assert snapshot(store_path) == before
    store.upkeep.collect(scope(older_than="1h", keep=["held"]))
    assert there(store, made) == ["ckpt:v2"]


def test_a_held_run_holds_all_that_it_made_and_used(store: LocalStore) -> None:
    made = runs_with_checkpoints(store)
    add_run(store, 5, used(made[0]), logged(made[1]))
    store.upkeep.hold(run_id(5), UNTIL, None)
    store.upkeep.hold(run_id(3), UNTIL, None)
    plan = store.upkeep.plan(scope(older_than="1h", keep=["held"]))
    assert subjects(plan) == ["ckpt:v4"]


def test_a_hold_ends_by_itself_or_when_it_is_lifted(store: LocalStore) -> None:
    runs_with_checkpoints(store, 2)
    soon = datetime.now(UTC) - timedelta(seconds=5)
    store.upkeep.hold("ckpt:v1", soon, None)
    store.upkeep.hold("ckpt:v2", UNTIL, None)
    assert [each.subject for each in store.upkeep.holds()] == ["ckpt:v2"]
    store.upkeep.hold("ckpt:v2", None, "over")
    assert store.upkeep.holds() == []
    assert len(subjects(store.upkeep.plan(scope(older_than="1h")))) == 2
    with pytest.raises(NotFoundError, match="no hold on ckpt:v2"):
        store.upkeep.hold("ckpt:v2", None, "again")


def test_a_hold_is_made_longer_but_not_shorter(store: LocalStore) -> None:
    runs_with_checkpoints(store, 1)
    store.upkeep.hold("ckpt:v1", UNTIL, None)
    store.upkeep.hold("ckpt:v1", UNTIL + timedelta(days=1), None)
    with pytest.raises(HeldError, match="shorter by lifting it first"):
        store.upkeep.hold("ckpt:v1", UNTIL, None)
    (held,) = store.upkeep.holds()
    assert held.until == UNTIL + timedelta(days=1)


def test_a_hold_that_is_set_while_gc_runs_is_kept(
    store: LocalStore, store_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = runs_with_checkpoints(store, 2)
    hold = lambda _: store_at(store_path).upkeep.hold("ckpt:v1", UNTIL, None)  # noqa: E731 - short
    monkeypatch.setattr(collecting.Collector, "_settle", hold)
    with pytest.raises(HeldError):
        store.upkeep.collect(scope(older_than="1h"))
    assert there(store, made) == ["ckpt:v1", "ckpt:v2"]


def test_the_commands(store: LocalStore, cli: Cli) -> None:
    runs_with_checkpoints(store)
    assert cli("hold", "set", "ckpt:latest", "--until", "2999-01-01", "--why", "audit").code == 0
    assert cli("hold", "set", run_id(1), "--until", "forever").code == 0
    listed = cli("hold", "list")
    assert "ckpt:v4" in listed.out
    assert "forever" in listed.out
    (first, _) = cli("hold", "list", "--json").json
    assert (first["subject"], first["until"]) == (run_id(1), "9999-12-31T00:00:00Z")
    kept = cli("runs", "delete", run_id(1), "--why", "tidy", "--yes")
    assert kept.code == 1
    assert f"{run_id(1)} is held until the hold is lifted, by " in kept.err
    assert f"{run_id(1)} held until it is lifted" in " ".join(cli("ledger", "log").out.split())
    refused = cli("gc", "--older-than", "1h", "--dry-run")
    assert refused.code == 1
    assert "instrument hold list" in refused.err
    assert cli("hold", "lift", "ckpt:v4").code == 2  # without a reason
    assert cli("hold", "lift", "ckpt:v4", "--why", "done").code == 0
    assert "hold on ckpt:v4 lifted" in cli("ledger", "log").out


@pytest.mark.parametrize("until", ["tomorrow", "2030-13-01", "2030-1-1", ""])
def test_a_day_that_is_none(store: LocalStore, cli: Cli, until: str) -> None:
    runs_with_checkpoints(store, 1)
    refused = cli("hold", "set", "ckpt:v1", "--until", until)
    assert refused.code == 2
    assert "is no day" in refused.err
