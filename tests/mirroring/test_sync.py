"""A run is sent to a mirror once, and again only when there is more of it."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from mirroring import list_mirror
from mirroring.making_runs import (
    RUN_ID,
    at,
    begin,
    end,
    keep,
    logged,
    loss,
    process,
    record_run,
)

from instrument import registry
from instrument.errors import NotFoundError, UsageError
from instrument.mirroring import MirrorReport, sync_run
from instrument.records import ProcessFinished
from instrument.testing.memory import MemoryBackend

Sync = Callable[..., MirrorReport]


class Located(MemoryBackend):
    """A store in memory with a directory for marks."""

    def __init__(self, directory: Path) -> None:
        super().__init__()
        self._directory = directory

    @property
    def location(self) -> str:
        return str(self._directory)


@pytest.fixture
def store(tmp_path: Path) -> Located:
    directory = tmp_path / "located"
    directory.mkdir()
    return Located(directory)


@pytest.fixture(autouse=True)
def sent(monkeypatch: pytest.MonkeyPatch) -> list[list_mirror.ListMirror]:
    """The mirrors that got a run; the table of our own backends has no public way in."""
    known = registry.Known("mirroring.list_mirror:open_mirror", "mirror")
    monkeypatch.setitem(registry._KNOWN, "list", known)
    monkeypatch.setattr(list_mirror, "begun", [])
    return list_mirror.begun


def sync(
    store: MemoryBackend, run: str = RUN_ID, *, offline: bool = False, dry_run: bool = False
) -> MirrorReport:
    return sync_run(store, "list", run, offline=offline, dry_run=dry_run)


def mark(store: Located, suffix: str = "") -> Path:
    return Path(store.location) / "mirrors" / "list" / f"{RUN_ID}{suffix}.json"


def test_the_second_time_nothing_is_sent(
    store: Located, sent: list[list_mirror.ListMirror]
) -> None:
    record_run(store, logged(keep(store, "model", "model", {"w": b"w"})))
    first = sync(store)
    second = sync(store, RUN_ID[:10])
    assert len(sent) == 1
    assert (first.complete, first.skipped) == (True, None)
    assert second.complete
    assert (second.run_id, second.records, second.artifacts) == (RUN_ID, 5, 1)
    assert second.skipped is not None
    assert second.skipped.startswith("list has this run since ")
    written = json.loads(mark(store).read_bytes())
    assert {name: written[name] for name in ("run_id", "mirror", "records", "artifacts")} == {
        "run_id": RUN_ID,
        "mirror": "list",
        "records": 5,
        "artifacts": 1,
    }


def test_a_dry_run_counts_and_sends_nothing(
    store: Located, sent: list[list_mirror.ListMirror]
) -> None:
    record_run(store, logged(keep(store, "model", "model", {"w": b"w"})))
    report = sync(store, dry_run=True)
    assert (report.records, report.artifacts) == (5, 1)
    assert (report.complete, report.skipped) == (False, "dry run")
    assert sent == []
    assert not mark(store).exists()


def test_a_run_that_went_on_is_sent_again_whole(
    store: Located, sent: list[list_mirror.ListMirror]
) -> None:
    record_run(store, loss(1.0, 0))
    sync(store)
    first = mark(store).read_bytes()
    records = store.begin(process(attempt=2))
    records.take(loss(2.0, 1), at(3000))
    end(records)

    assert sync(store).skipped is None
    assert sorted(map(float, sent[1].losses())) == [1.0, 2.0]
    assert mark(store).read_bytes() == first
    assert mark(store, ".2").exists()
    assert sync(store).skipped is not None
    assert len(sent) == 2


def test_what_was_mirrored_offline_can_still_be_sent_online(
    store: Located, sent: list[list_mirror.ListMirror]
) -> None:
    record_run(store)
    sync(store, offline=True)
    assert sync(store, offline=True).skipped is not None
    assert sync(store, offline=False).skipped is None
    assert sync(store, offline=True).skipped is not None
    assert len(sent) == 2


def test_what_the_mirror_only_wrote_is_never_said_to_be_there(
    store: Located,
    sent: list[list_mirror.ListMirror],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """As with WANDB_MODE=offline: nobody told us, the mirror did."""
    record_run(store)
    with monkeypatch.context() as patch:
        patch.setattr(list_mirror, "writes_to", tmp_path / "offline-run")
        (tmp_path / "offline-run").mkdir()
        assert sync(store).offline_directory == str(tmp_path / "offline-run")
        told = sync(store)
        assert told.skipped is not None
        assert len(sent) == 1
    again = sync(store, offline=True)
    assert again == told
    assert told.skipped.startswith(f"written offline to {tmp_path}/offline-run at ")
    assert told.skipped.endswith(f"`instrument sync --to list {RUN_ID}` sends it when online")
    assert sync(store).skipped is None
    assert len(sent) == 2
    now = sync(store)
    assert now.skipped is not None
    assert now.skipped.startswith("list has this run since ")


def test_a_mirror_that_cannot_say_whether_it_sends_is_tried(
    store: Located, sent: list[list_mirror.ListMirror], monkeypatch: pytest.MonkeyPatch
) -> None:
    record_run(store)
    sync(store, offline=True)
    monkeypatch.setattr(list_mirror.ListMirror, "offline", property(lambda self: 1 / 0))
    assert sync(store).skipped is None
    assert len(sent) == 2


def test_what_was_written_offline_and_removed_is_written_again(
    store: Located,
    sent: list[list_mirror.ListMirror],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    record_run(store)
    monkeypatch.setattr(list_mirror, "writes_to", tmp_path / "never-made")
    sync(store, offline=True)
    assert sync(store, offline=True).skipped is None
    assert len(sent) == 2


def test_an_incomplete_mirror_leaves_no_mark(
    store: Located, monkeypatch: pytest.MonkeyPatch
) -> None:
    record_run(store)
    with monkeypatch.context() as patch:
        patch.setattr(list_mirror.ListMirror, "close", lambda self: 1 / 0)
        assert not sync(store).complete
    assert not mark(store).exists()
    assert sync(store).complete
    assert mark(store).exists()


def test_a_mark_that_was_cut_off_counts_as_none(
    store: Located, sent: list[list_mirror.ListMirror]
) -> None:
    record_run(store)
    mark(store).parent.mkdir(parents=True)
    mark(store).write_bytes(b'{"run_id": "2026')
    assert sync(store).skipped is None
    assert sync(store).skipped is not None


def test_a_mark_that_cannot_be_written_is_told(store: Located) -> None:
    record_run(store)
    (Path(store.location) / "mirrors").write_bytes(b"in the way")
    report = sync(store)
    assert report.complete
    [problem] = report.problems
    assert problem.startswith("mirrored, but this could not be noted in the store: ")


def test_a_store_without_a_directory_is_synced_each_time(
    sent: list[list_mirror.ListMirror],
) -> None:
    store = MemoryBackend()
    record_run(store)
    assert sync(store).complete
    assert sync(store).complete
    assert len(sent) == 2


def test_a_run_that_still_runs_is_not_sent(
    store: Located, sent: list[list_mirror.ListMirror]
) -> None:
    records = begin(store)
    with pytest.raises(UsageError, match=f"run {RUN_ID} is still running; sync it when it"):
        sync(store)
    assert sent == []
    records.take(ProcessFinished(lost=0, overhead={}), at(5))
    records.close()
    assert sync(store).complete


def test_what_is_not_there_is_an_error(store: Located) -> None:
    record_run(store)
    with pytest.raises(NotFoundError):
        sync(store, "nosuchrun")
    with pytest.raises(NotFoundError):
        sync_run(store, "nowhere", RUN_ID, offline=False, dry_run=False)
    with pytest.raises(UsageError):
        sync_run(store, "local", RUN_ID, offline=False, dry_run=False)
