"""Stores to log into, and the way there."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from instrument import registry
from instrument.artifacts import Artifact, log_value, serialisers, use
from instrument.clock import SystemClock
from instrument.protocols import Store
from instrument.testing.memory import MemoryBackend
from instrument.vocabulary import ArtifactVersion

Log = Callable[..., ArtifactVersion]
RoundTrip = Callable[..., Artifact]


@pytest.fixture
def store() -> Store:
    """What is said of values holds for every store; modules about files put `any_store` here."""
    return MemoryBackend()


@pytest.fixture(params=["memory", "local"])
def any_store(request: pytest.FixtureRequest, store_path: Path) -> Store:
    """One with files and one without."""
    if request.param == "memory":
        return MemoryBackend()
    return registry.open_store("local", store_path, SystemClock())


@pytest.fixture(autouse=True)
def nothing_registered(monkeypatch: pytest.MonkeyPatch) -> None:
    """What one test registers is gone for the next."""
    monkeypatch.setattr(serialisers, "_registered", {})


@pytest.fixture
def log(store: Store) -> Log:
    """`log_value` with what every call of it needs."""

    def call(data: Any = None, name: str = "thing", **arguments: Any) -> ArtifactVersion:
        arguments = {"type": "other", "clock": SystemClock(), **arguments}
        return log_value(store, name=name, data=data, **arguments)

    return call


@pytest.fixture
def round_trip(store: Store, log: Log) -> RoundTrip:
    """Logs a value and takes it in the hand."""
    return lambda data, **arguments: use(store, log(data, **arguments).ref)
