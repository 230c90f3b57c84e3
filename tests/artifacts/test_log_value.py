"""Giving content a version: names, parents, metadata, paths."""

import math
from pathlib import Path
from typing import Any

import pytest

from instrument.artifacts import log_value, unrecorded
from instrument.artifacts.logging import check_type
from instrument.clock import SystemClock
from instrument.errors import InstrumentError, NotFoundError, UsageError
from instrument.naming import parse_reference
from instrument.protocols import Store
from instrument.testing.clock import FakeClock
from instrument.vocabulary import ArtifactType


@pytest.fixture
def store(any_store: Store) -> Store:
    return any_store


def test_everything_said_is_kept(store: Store) -> None:
    clock = FakeClock()
    log_value(store, name="raw", type="dataset", data=[1], clock=clock)
    version = log_value(
        store,
        name="model",
        type=ArtifactType.MODEL,
        data={"w": 1},
        metadata={"loss": math.nan, "at": Path("x"), "tags": {"b", "a"}},
        parents=["raw", "raw:v1", "raw:latest"],
        run_id="20260101-000000-abc",
        clock=clock,
    )
    assert version == store.resolve(parse_reference("model:v1"))
    assert str(version) == "model:v1"
    assert version.type == "model"
    assert version.metadata == {"loss": "NaN", "at": "x", "tags": ["a", "b"]}
    assert version.parents == ("raw:v1",)
    assert version.run_id == "20260101-000000-abc"
    assert version.created_at == clock.now()
    assert version.aliases == ("latest",)


def test_secrets_in_metadata_are_removed(log: Any) -> None:
    about = {"api_key": "sesame", "from": {"url": "https://me:sesame@h.org/a?sig=sesame"}}
    metadata = log(data=1, metadata=about).metadata
    assert metadata["api_key"] == "[redacted]"
    assert metadata["from"]["url"] == "https://[redacted]@h.org/a?[redacted]"


def test_a_file_is_stored_as_it_is(store: Store, log: Any, tmp_path: Path) -> None:
    source = tmp_path / "weights.bin"
    source.write_bytes(b"\0\1")
    (tmp_path / "link").symlink_to(source)
    for given in ({"file_path": source}, {"file_path": str(source)}, {"data": source}):
        version = log(**given)
        assert (version.version, version.format, version.is_tree) == (1, None, False)
        assert (version.files[0].path, version.size_bytes) == ("weights.bin", 2)
    assert store.get_bytes(version.digest) == b"\0\1"
    assert log(file_path=tmp_path / "link", name="linked").files[0].path == "link"


def test_versions_count_up_and_equal_content_keeps_its_own(log: Any) -> None:
    versions = [log({"n": n}).version for n in (1, 2, 1, 3, 2)]
    assert versions == [1, 2, 1, 3, 2]


@pytest.mark.parametrize(
    ("arguments", "error", "reason"),
    [
        ({}, UsageError, "exactly one of data and file_path"),
        ({"data": 1, "file_path": "x"}, UsageError, "exactly one"),
        ({"file_path": "/no/such/file"}, NotFoundError, "/no/such/file does not exist"),
        ({"data": 1, "name": "bad name"}, UsageError, "bad name"),
        ({"data": 1, "name": "a/b"}, UsageError, "a/b"),
        ({"data": 1, "type": "Model"}, UsageError, "lower-case word"),
        ({"data": 1, "type": ""}, UsageError, "lower-case word"),
        ({"data": 1, "parents": ["ghost:v1"]}, NotFoundError, "ghost"),
        ({"data": 1, "parents": "ghost:v1"}, NotFoundError, "ghost"),
        ({"data": 1, "parents": 5}, UsageError, "is not a list"),
        ({"data": 1, "parents": ["a:b:c"]}, UsageError, "alias"),
        ({"data": 1, "metadata": {"x": object()}}, UsageError, "object"),
        ({"data": 1, "metadata": [1]}, UsageError, "give a dict"),
    ],
)
def test_what_is_wrong_is_said_before_anything_is_stored(
    store: Store, log: Any, arguments: dict[str, Any], error: type[InstrumentError], reason: str
) -> None:
    with pytest.raises(error, match=reason) as raised:
        log(**arguments)
    assert "\n" not in str(raised.value)
    assert list(store.artifacts()) == []
    assert not store.info().get("objects")


def test_a_special_file_is_refused(log: Any) -> None:
    with pytest.raises(InstrumentError, match="/dev/null"):
        log(file_path="/dev/null")


def test_nothing_is_left_in_the_temporary_directory(
    log: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(scratch))
    log({"a": 1})
    with pytest.raises(UsageError):
        log({"a": object()})
    assert list(scratch.iterdir()) == []


def test_the_stand_in_for_a_version_that_was_not_taken() -> None:
    version = unrecorded("model", "model")
    assert (version.ref, version.version, version.files) == ("model:unrecorded", None, ())


def test_all_usual_types_are_types() -> None:
    assert [check_type(kind) for kind in ArtifactType] == list(ArtifactType)


def test_threads_logging_at_once_lose_nothing(store: Store) -> None:
    from concurrent.futures import ThreadPoolExecutor

    def log(number: int) -> int | None:
        value = {"n": number % 10}
        clock = SystemClock()
        return log_value(store, name="many", type="other", data=value, clock=clock).version

    with ThreadPoolExecutor(8) as pool:
        versions = list(pool.map(log, range(40)))
    assert sorted(set(versions)) == list(range(1, 11))  # type: ignore[type-var]
    assert len(list(store.artifacts("many"))) == 10
