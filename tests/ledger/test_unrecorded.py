"""Aliases and versions that somebody put into the store, and that no record tells of."""

import secrets
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import msgspec
import pytest

from instrument import ExperimentContext
from instrument.clock import SystemClock
from instrument.naming import parse_reference
from instrument.protocols import Damage
from instrument.protocols.ledger import Evidence
from instrument.testing.samples import AT
from instrument_local import LocalStore, open_store
from instrument_local.stamps import stamp


@pytest.fixture
def store(store_path: Path) -> LocalStore:
    """Three versions of a model; ``prod`` is the first one."""
    for number in range(3):
        with ExperimentContext(name="train", capture_level=1, monitor_hardware=False) as run:
            run.log_artifact("model", type="model", data={"weights": number})
    store = open_store(store_path, SystemClock())
    store.tag(parse_reference("model:v1"), "prod", AT)
    assert store.verify().problems == ()
    return store


def _forge(path: Path, source: Path, **changes: Any) -> None:
    content = {**msgspec.json.decode(source.read_bytes()), **changes}
    del content["check"]
    path.write_bytes(stamp(msgspec.json.encode(content)))


@pytest.mark.parametrize(
    ("alias", "changes"),
    [
        ("prod@2", lambda fact: {"version": 3}),
        ("prod@2", lambda fact: {"version": 3, "move": secrets.token_hex(8)}),
        ("prod@2", lambda fact: {"version": 3, "move": None}),
        ("golden@1", lambda fact: {"alias": "golden", "move": None}),
        ("golden@1", lambda fact: {"alias": "golden"}),
        ("latest@1", lambda fact: {"alias": "latest", "highest": 3}),
    ],
)
def test_an_alias_that_no_entry_tells_of_is_damage_until_it_is_pointed_anew(
    store: LocalStore, alias: str, changes: Callable[[Any], dict[str, Any]]
) -> None:
    directory = Path(store.location, "artifacts/model")
    source = directory / "prod@1.json"
    _forge(directory / f"{alias}.json", source, **changes(msgspec.json.decode(source.read_bytes())))
    for problems in _found_by_all(store):
        found = [(each.kind, each.path) for each in problems]
        assert found == [("alias_unrecorded", f"artifacts/model/{alias}.json")]
    assert store.ledger.verify(Evidence()).verdict == "tampered"
    assert not store.verify().ok
    assert store.repair().steps == ()
    store.tag(parse_reference("model:v2"), alias.partition("@")[0], AT)
    assert store.verify().ok
    assert store.ledger.verify(Evidence()).verdict == "ok"


@pytest.mark.parametrize("change", ["the same move", "no move"])
def test_a_move_of_before_does_not_tell_of_an_alias_that_is_put_back(
    store: LocalStore, change: str
) -> None:
    store.tag(parse_reference("model:v2"), "prod", AT)
    directory = Path(store.location, "artifacts/model")
    changes = {"move": None} if change == "no move" else {}
    _forge(directory / "prod@3.json", directory / "prod@1.json", **changes)
    for problems in _found_by_all(store):
        assert [each.kind for each in problems] == ["alias_unrecorded"]


@pytest.mark.parametrize("gone", [["prod@3"], ["prod@1", "prod@3"]])
def test_a_last_move_that_is_gone_is_found_though_an_earlier_one_was_to_the_same_version(
    store: LocalStore, gone: list[str]
) -> None:
    for days, version in ((1, "v2"), (2, "v1")):
        store.tag(parse_reference(f"model:{version}"), "prod", AT + timedelta(days))
    assert store.ledger.verify(Evidence()).problems == ()
    for name in gone:
        Path(store.location, f"artifacts/model/{name}.json").unlink()
    assert [each.kind for each in store.ledger.verify(Evidence()).problems] == ["alias_missing"]
    assert "alias_missing" in {each.kind for each in store.verify().problems}
    store.repair()
    assert store.ledger.verify(Evidence()).verdict == "ok"


@pytest.mark.parametrize("is_last", [True, False])
def test_the_check_of_the_ledger_tells_of_an_alias_that_is_damaged(
    store: LocalStore, is_last: bool
) -> None:
    if not is_last:
        store.tag(parse_reference("model:v2"), "prod", AT + timedelta(1))
    path = Path(store.location, "artifacts/model/prod@1.json")
    path.chmod(0o600)
    path.write_bytes(path.read_bytes().replace(b'"version":1', b'"version":2'))
    assert [each.kind for each in store.ledger.verify(Evidence()).problems] == ["alias_damaged"]
    store.repair()
    assert store.ledger.verify(Evidence()).verdict == "ok"


def _found_by_all(store: LocalStore) -> list[tuple[Damage, ...]]:
    """What every check of the store, of an artifact and of the ledger finds."""
    results = (store.verify(), store.verify("model:v1"), store.ledger.verify(Evidence()))
    return [result.problems for result in results]


def test_a_version_that_its_run_does_not_tell_of_is_noted(store: LocalStore) -> None:
    directory = Path(store.location, "artifacts/model")
    _forge(directory / "v4.json", directory / "v3.json", version=4)
    [noted] = store.verify().problems
    assert (noted.kind, noted.path) == ("version_unrecorded", "artifacts/model/v4.json")
    assert noted.severity == "note"


def test_a_move_that_waits_to_be_entered_tells_of_its_alias(store: LocalStore) -> None:
    store.tag(parse_reference("model:v2"), "prod", AT)
    assert list(Path(store.location, "ledger/pending").iterdir())
    assert open_store(Path(store.location), SystemClock()).verify("model:v2").problems == ()
