"""gc where no byte is left: it says what it needs, and with that it goes on."""

import os
from pathlib import Path

import pytest
from cli.support import Cli
from faults.small_disk import in_memory
from upkeep.keeping import run_id, runs_with_checkpoints, store_at, there

COMMANDS = [
    ("gc", "--keep", "best=1:metrics.loss:min", "--yes"),
    ("runs", "delete", run_id(1), "--why", "space", "--yes"),
    ("store", "pack", "--all"),
]


def test_on_a_full_disk_it_says_what_it_needs_and_goes_on_with_that(
    cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with in_memory(tmp_path / "small", "3m") as small:
        monkeypatch.setenv("INSTRUMENT_STORE", str(small / "store"))
        store = store_at(small / "store")
        made = runs_with_checkpoints(store)
        filler = small / "filler"
        for kilobytes in (0, 4):  # not even the lock, and not the event
            _fill(filler, kilobytes)
            for command in COMMANDS:
                told = cli(*command)
                assert told.code == 3
                assert "No space left on device" in told.err
                assert "make 1 MB free on that disk first: also what frees space" in told.err
                _fill(filler, kilobytes)
        assert there(store, made) == [each.ref for each in made]
        _fill(filler, 8)
        assert cli(*COMMANDS[0]).code == 0
        assert there(store, made) == ["ckpt:v1"]
        assert store.verify().ok


def _fill(filler: Path, left_kilobytes: int) -> None:
    """Use all of the disk but so much."""
    with filler.open("ab") as stream:
        stream.truncate(0)
        free = os.statvfs(filler).f_bavail * os.statvfs(filler).f_frsize
        stream.write(bytes(free - left_kilobytes * 1024))
