"""The ledger knows of every move of an alias before it is made."""

import os
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import pytest
from local.faulty_disk import FaultyDisk

from instrument.audit import AliasMoved
from instrument.clock import SystemClock
from instrument.errors import StoreError
from instrument.naming import parse_reference
from instrument.testing.samples import AT, draft
from instrument_local import LocalStore, open_store
from instrument_local.versions import LocalVersions


@pytest.fixture
def store(store_path: Path) -> LocalStore:
    store = open_store(store_path, SystemClock())
    for content in (b"a", b"b"):
        store.put_bytes(content)
        store.claim(draft("model", content))
    return store


def _moves(store: LocalStore) -> list[tuple[str, int, int | None]]:
    events = (entry.event for entry in store.ledger.entries())
    return [
        (event.alias, event.version, event.before)
        for event in events
        if isinstance(event, AliasMoved)
    ]


def _where(store: LocalStore, alias: str) -> int | None:
    return store.resolve(parse_reference(f"model:{alias}")).version


def test_nothing_moves_that_cannot_be_noted(store: LocalStore, store_path: Path) -> None:
    blocked, aside = store_path / "ledger", store_path / "aside"
    blocked.rename(aside)
    blocked.write_text("in the way")
    with pytest.raises(StoreError, match="cannot note the event alias_moved"):
        store.tag(parse_reference("model:v1"), "latest", AT)
    with pytest.raises(StoreError, match="cannot note the event alias_moved"):
        store.claim(draft("model", b"a"))
    assert _where(store, "latest") == 2
    blocked.unlink()
    aside.rename(blocked)
    store.tag(parse_reference("model:v1"), "latest", AT)
    store.ledger.integrate()
    assert _moves(store) == [("latest", 1, 2)]
    assert store.verify().problems == ()


LOOKS: dict[str, Callable[[LocalStore], object]] = {
    "verify": lambda store: store.verify(),
    "repair": lambda store: store.repair(),
    "integrate": lambda store: store.ledger.integrate(),
}


@pytest.mark.parametrize("look", LOOKS)
def test_a_move_that_a_kill_cut_off_is_finished(
    store: LocalStore, look: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    child = os.fork()
    if child == 0:
        monkeypatch.setattr(LocalVersions, "_point", lambda *_, **__: os._exit(9))
        store.tag(parse_reference("model:v1"), "best", AT)
        os._exit(1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 9
    LOOKS[look](store)
    assert _where(store, "best") == 1
    assert _moves(store) == [("best", 1, None)]
    assert store.verify().problems == ()
    facts = sorted(Path(store.location).glob("artifacts/model/best@*.json"))
    assert len(facts) == 1


def test_what_is_taken_in_is_not_done_twice(store: LocalStore) -> None:
    for second, version in enumerate((1, 2, 1)):
        at = AT + timedelta(seconds=second)
        store.tag(parse_reference(f"model:v{version}"), "best", at)
    store.ledger.integrate()
    assert _moves(store) == [("best", 1, None), ("best", 2, 1), ("best", 1, 2)]
    assert len(list(Path(store.location).glob("artifacts/model/best@*.json"))) == 3
    assert _where(store, "best") == 1


def test_a_move_that_failed_is_not_made_later(store_path: Path, store: LocalStore) -> None:
    disk = FaultyDisk(2, only=("link",))  # the first is the event, the second the fact
    faulty = LocalStore(store_path, SystemClock(), disk)
    with pytest.raises(StoreError):
        faulty.tag(parse_reference("model:v1"), "best", AT)
    store.ledger.integrate()
    assert _moves(store) == []


def test_content_of_an_older_version_moves_latest_and_the_ledger_knows(store: LocalStore) -> None:
    assert store.claim(draft("model", b"a")).version == 1
    assert store.claim(draft("model", b"a")).version == 1
    store.ledger.integrate()
    assert _moves(store) == [("latest", 1, 2)]
