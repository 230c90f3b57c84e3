"""A seal that somebody forges, or adds, does not pass for what the journals of a run tell."""

import json
from pathlib import Path
from typing import Any

import pytest

from instrument.clock import SystemClock
from instrument.protocols import Damage
from instrument.records import Metrics, Params
from instrument.testing.samples import record_run, run_started
from instrument_local import LocalStore, open_store
from instrument_local.stamps import stamp, unstamp

RUN = "20260304-050607-0123456789ab"
DIGEST = f"sha256:{'0' * 64}"


@pytest.fixture
def store(store_path: Path) -> LocalStore:
    """A sealed run."""
    store = open_store(store_path, SystemClock())
    params = Params(values={"lr": 0.1}, source="config")
    record_run(store, RUN, run_started("x"), params, Metrics(values={"loss": 0.5}, step=0))
    store.seal(RUN)
    return store


def _seal(store: LocalStore, name: str = "run.json", run_id: str = RUN) -> Path:
    return Path(store.location, "runs/202603", run_id, name)


def _forge(store: LocalStore, name: str, run_id: str = RUN, **fields: Any) -> None:
    """Put there a seal as the true one is, but for some fields of the summary."""
    seal = json.loads(unstamp(_seal(store, run_id=run_id).read_bytes()))
    seal["run"] |= fields
    path = _seal(store, name, run_id)
    path.unlink(missing_ok=True)
    path.write_bytes(stamp(json.dumps(seal, separators=(",", ":")).encode()))
    path.chmod(0o600)


def _told(store: LocalStore) -> list[Damage]:
    kinds = {"seal_untrue", "seal_otherwise"}
    return [each for each in store.verify().problems if each.kind in kinds]


@pytest.mark.parametrize("is_known", [False, True])
@pytest.mark.parametrize("is_packed", [False, True])
def test_a_seal_that_is_added_is_found(store: LocalStore, is_known: bool, is_packed: bool) -> None:
    if is_known:
        store.ledger.integrate()
    _forge(store, "run.2.json", metrics={"loss": 0.001})
    if is_packed:
        store.pack(everything=True)
    (found,) = _told(store)
    assert (found.severity, Path(found.path).name) == ("damage", "run.2.json")
    assert found.expected == "metrics: {'loss': 0.5}, as its journals tell"
    assert found.found == "metrics: {'loss': 0.001}"
    assert not store.verify(RUN).ok


@pytest.mark.parametrize(
    ("fields", "severity"),
    [
        ({"params": {"lr": 0.2}}, "damage"),
        ({"state": "FAILED"}, "damage"),
        ({"outputs": ["model:v1"]}, "damage"),
        ({"command": ["other.py"]}, "damage"),
        ({"started_at": "2026-03-04T05:06:08Z"}, "damage"),
        ({"exit_code": 3}, "damage"),
        ({"environment": DIGEST}, "damage"),
        ({"function": "n" * 1000}, "damage"),
        ({"duration_seconds": 9.5}, "note"),  # other versions may make them otherwise
        ({"telemetry": {"cpu": {"mean": 1.0}}}, "note"),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else value,
)
def test_whatever_a_seal_tells_is_held_against_the_journals(
    store: LocalStore, fields: dict[str, Any], severity: str
) -> None:
    assert store.verify().problems == ()
    _forge(store, "run.json", **fields)
    (found,) = _told(store)
    (name,) = fields
    assert (found.severity, Path(found.path).name) == (severity, "run.json")
    assert str(found.expected).startswith(name)
    assert len(str(found.found)) < 300


def test_what_another_version_computes_otherwise_is_noted_once(store: LocalStore) -> None:
    """Or every run of before would be told, at each check, after a formula has changed."""
    _forge(store, "run.json", duration_seconds=9.5)
    for number in range(3):
        run_id = f"20260304-{number}"
        record_run(store, run_id, run_started("x"))
        store.seal(run_id)
        _forge(store, "run.json", run_id, duration_seconds=9.5)
    (found,) = _told(store)
    assert (found.kind, found.severity) == ("seal_otherwise", "note")
    assert "and 3 more seals do" in str(found.found)


@pytest.mark.parametrize("name", ["run.0.json", "run.1.json", "run.02.json"])
def test_what_is_not_called_like_a_seal_is_none(store: LocalStore, name: str) -> None:
    _forge(store, name, metrics={"loss": 0.001})
    (found,) = store.verify().problems
    assert (found.kind, Path(found.path).name) == ("unexpected_file", name)
    assert store.run(RUN).metrics == {"loss": 0.5}


def test_two_processes_that_seal_a_run_at_once_tell_the_same(store: LocalStore) -> None:
    _seal(store, "run.2.json").write_bytes(_seal(store).read_bytes())
    _seal(store, "run.2.json").chmod(0o600)
    assert store.verify().problems == ()
