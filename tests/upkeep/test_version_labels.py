"""A semantic version is an alias that never moves once it is set."""

from functools import partial
from pathlib import Path

import pytest
from upkeep.keeping import store_at

from instrument.errors import UsageError
from instrument.naming import parse_reference
from instrument.protocols import Store
from instrument.testing.memory import MemoryBackend
from instrument.testing.samples import AT, draft, together
from instrument_local import LocalStore


@pytest.fixture(params=["local", "memory"])
def store(request: pytest.FixtureRequest, store_path: Path) -> Store:
    found: Store = store_at(store_path) if request.param == "local" else MemoryBackend()
    for content in (b"one", b"two"):
        found.put_bytes(content)
        found.claim(draft("model", content))
    return found


@pytest.mark.parametrize("label", ["1.2.0", "v1.2.0", "2.0.0-rc.1", "v2.0.0+cu12"])
def test_a_label_stays_where_it_was_set(store: Store, label: str) -> None:
    store.tag(parse_reference("model:v1"), label, AT)
    store.tag(parse_reference("model:v1"), label, AT)
    with pytest.raises(UsageError, match=r"model:.* is v1, and a semantic version never moves"):
        store.tag(parse_reference("model:v2"), label, AT)
    assert store.resolve(parse_reference(f"model:{label}")).ref == "model:v1"


@pytest.mark.parametrize("alias", ["best", "latest", "1.2", "v1.x"])
def test_other_aliases_move(store: Store, alias: str) -> None:
    for version in (1, 2, 1):
        store.tag(parse_reference(f"model:v{version}"), alias, AT)
    assert store.resolve(parse_reference(f"model:{alias}")).version == 1


def test_an_alias_of_before_that_reads_like_a_version_is_no_obstacle(
    store_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = store_at(store_path)
    for content in (b"one", b"two"):
        store.put_bytes(content)
        store.claim(draft("model", content))
    with monkeypatch.context() as before:
        before.setattr("instrument_local.versions.check_alias", str)
        for alias in ("1", "V9"):
            store.tag(parse_reference("model:v2"), alias, AT)
    assert store.resolve(parse_reference("model:1")).version == 1
    found = store.resolve(parse_reference("model:V9"))
    assert (found.version, found.aliases) == (2, ("1", "V9", "latest"))
    assert store.verify().ok


def test_of_many_who_set_it_at_once_one_wins(store: Store, store_path: Path) -> None:
    def tag(version: int) -> bool:
        own = store_at(store_path) if isinstance(store, LocalStore) else store
        try:
            own.tag(parse_reference(f"model:v{version}"), "1.0.0", AT)
        except UsageError:
            return False
        return True

    won = together([partial(tag, number % 2 + 1) for number in range(8)])
    assert sum(won) == 4
