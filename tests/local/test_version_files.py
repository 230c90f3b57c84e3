"""A version holds some content only if its file is whole, whatever its beginning says."""

import os
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import pytest

from instrument.clock import SystemClock
from instrument.errors import StoreError
from instrument.naming import parse_reference
from instrument.protocols import Draft
from instrument.testing.samples import AT, record_run, run_started
from instrument.vocabulary import File
from instrument_local import LocalStore, open_store


def _draft(store: LocalStore, content: bytes) -> Draft:
    digest = store.put_bytes(content)
    return Draft(
        name="model",
        type="model",
        digest=digest,
        size_bytes=len(content),
        files=(File(path="m.bin", digest=digest, size_bytes=len(content)),),
        is_tree=False,
        format=None,
        run_id=None,
        created_at=datetime(2026, 1, 1, tzinfo=UTC),
        metadata={"said": "by the user"},
    )


def _again(store_path: Path) -> LocalStore:
    """The store as another process finds it."""
    return open_store(store_path, SystemClock())


def test_content_that_a_name_has_keeps_its_version_in_the_next_process(store_path: Path) -> None:
    store = _again(store_path)
    first, second = (store.claim(_draft(store, content)) for content in (b"one", b"two"))
    again = _again(store_path)
    assert again.claim(_draft(again, b"one")).ref == first.ref
    assert again.claim(_draft(again, b"two")).ref == second.ref
    assert again.claim(_draft(again, b"three")).version == 3


def test_what_is_made_is_what_is_read(store_path: Path) -> None:
    store = _again(store_path)
    made = store.claim(_draft(store, b"one"))
    assert list(_again(store_path).artifacts("model")) == [made]


def test_a_damaged_version_is_not_taken_for_the_content_its_beginning_names(
    store_path: Path,
) -> None:
    store = _again(store_path)
    store.claim(_draft(store, b"one"))
    path = store_path / "artifacts" / "model" / "v1.json"
    path.chmod(0o600)
    path.write_bytes(path.read_bytes().replace(b"by the user", b"by somebody"))
    again = _again(store_path)
    assert again.claim(_draft(again, b"one")).version == 2


@pytest.mark.parametrize(
    "put",
    [
        lambda path: path.symlink_to("/nowhere"),
        lambda path: path.symlink_to("v1.json"),
        Path.mkdir,
        os.mkfifo,
        lambda path: path.write_text("junk"),
    ],
    ids=["a link to nothing", "a link to a version", "a directory", "a pipe", "junk"],
)
def test_what_stands_in_the_place_of_a_version_stops_no_other(
    store_path: Path, put: Callable[[Path], object]
) -> None:
    store = _again(store_path)
    store.claim(_draft(store, b"one"))
    put(store_path / "artifacts/model/v2.json")
    for each in (store, _again(store_path)):
        assert each.claim(_draft(each, b"one")).version == 1
        assert each.claim(_draft(each, b"three")).ref == "model:v3"
    assert _again(store_path).verify().problems


@pytest.mark.parametrize(
    ("file", "first"),
    [
        ("artifacts/model/v999999999.json", "artifacts/model/v2.json"),
        ("artifacts/model/best@999999999999.json", "artifacts/model/best@2.json"),
        ("runs/202603/20260304-run/run.999999.json", "runs/202603/20260304-run/run.2.json"),
    ],
)
def test_a_file_with_a_number_out_of_the_row_does_not_keep_a_check_from_its_end(
    store_path: Path, file: str, first: str
) -> None:
    store = _again(store_path)
    store.claim(_draft(store, b"one"))
    store.tag(parse_reference("model:v1"), "best", AT)
    record_run(store, "20260304-run", run_started("x"))
    store.seal("20260304-run")
    assert store.repair().verification.problems == ()
    (store_path / file).write_text("{}")
    found = {each.path: each.found for each in store.verify().problems}
    assert {file, first} <= set(found)
    assert str(found[first]).startswith("nothing; nor the 99")
    assert [step.error for step in store.repair().steps if step.error] == []
    assert store.resolve(parse_reference("model:best")).version == 1


def test_a_version_is_refused_that_nobody_would_find_again(store_path: Path) -> None:
    store = _again(store_path)
    store.claim(_draft(store, b"one"))
    (store_path / "artifacts/model/v999999999.json").write_text("{}")
    with pytest.raises(StoreError, match=r"no number is left for .*; move away the one before"):
        store.claim(_draft(store, b"two"))
    assert store.claim(_draft(store, b"one")).version == 1
