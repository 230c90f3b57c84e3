"""Something else stands in the place of a file: it makes way, and the file comes back."""

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from instrument.clock import SystemClock
from instrument.errors import IntegrityError, StoreError
from instrument.naming import parse_reference
from instrument.testing.samples import AT, draft
from instrument_local import LocalStore, open_store


@pytest.fixture
def store(store_path: Path) -> LocalStore:
    return open_store(store_path, SystemClock())


def _link(path: Path) -> None:
    path.unlink()
    path.symlink_to("/nowhere")


def _directory(path: Path) -> None:
    path.unlink()
    path.mkdir()


def _empty(path: Path) -> None:
    path.chmod(0o600)
    path.write_bytes(b"")


@pytest.mark.parametrize("put", [_link, _directory, _empty])
def test_what_stands_in_the_place_of_an_alias_makes_way_at_once_and_stops_nobody(
    store: LocalStore, put: Callable[[Path], None]
) -> None:
    made = [store.claim(draft("model", content)) for content in (b"1", b"2")]
    for content in (b"1", b"2"):
        store.put_bytes(content)
    store.tag(parse_reference(made[0].ref), "prod", AT)
    assert store.verify().ok
    put(Path(store.location, "artifacts/model/prod@1.json"))
    assert not store.verify().ok
    again = open_store(Path(store.location), SystemClock())
    assert again.claim(draft("model", b"2")).ref == made[1].ref
    assert [each.ref for each in again.artifacts("model")] == [each.ref for each in made]
    with pytest.raises((IntegrityError, StoreError)):
        again.resolve(parse_reference("model:prod"))
    done = again.repair()
    assert [step.action for step in done.steps] == ["quarantined", "restored"]
    assert done.verification.ok
    assert again.resolve(parse_reference("model:prod")).ref == made[0].ref


@pytest.mark.parametrize(("place", "put"), [("v2.json", _link), ("object", _directory)])
def test_a_file_comes_back_from_a_copy_where_something_else_stands_in_its_place(
    store: LocalStore, tmp_path: Path, place: str, put: Callable[[Path], None]
) -> None:
    for content in (b"1", b"2"):
        store.put_bytes(content)
        store.claim(draft("model", content))
    assert store.verify().ok
    shutil.copytree(store.location, tmp_path / "copy")
    path = Path(store.location, "artifacts/model", place)
    if place == "object":
        found = store.path_of(store.put_bytes(b"2"))
        assert found is not None
        path = found
    data = path.read_bytes()
    put(path)
    done = store.repair(sources=[tmp_path / "copy"])
    assert [step.error for step in done.steps if step.error] == []
    assert done.verification.ok
    assert path.read_bytes() == data
    assert not path.is_symlink()
