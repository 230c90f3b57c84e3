"""Processes record, pack and list at once: each list is true when it is made."""

import subprocess
import sys
from pathlib import Path

import pytest

from instrument.clock import SystemClock
from instrument.testing.samples import record_run, run_started
from instrument_local import open_store
from instrument_local.liveness import Markers

RECORD = """
import sys
from pathlib import Path
from instrument.clock import SystemClock
from instrument.testing.samples import record_run, run_started
from instrument_local import open_store
path, prefix, count = sys.argv[1:]
store = open_store(Path(path), SystemClock())
for number in range(int(count)):
    run_id = f"{prefix}-{number:03}"
    record_run(store, run_id, run_started(run_id))
    store.seal(run_id)
    print(run_id, flush=True)
"""
PACK = """
import sys
from pathlib import Path
from instrument.clock import SystemClock
from instrument_local import open_store
store = open_store(Path(sys.argv[1]), SystemClock())
while not Path(sys.argv[1], "stop").exists():
    store.pack(everything=True)
"""


def test_a_list_has_every_run_that_was_there_when_it_was_asked_for(store_path: Path) -> None:
    open_store(store_path, SystemClock()).put_bytes(b"the store is there")
    command = [sys.executable, "-c"]
    packer = subprocess.Popen([*command, PACK, str(store_path)])
    writers = [
        subprocess.Popen(
            [*command, RECORD, str(store_path), prefix, "15"], stdout=subprocess.PIPE, text=True
        )
        for prefix in ("20260101-a", "20260201-b")
    ]
    reader = open_store(store_path, SystemClock())
    done: set[str] = set()
    for _ in range(15):
        for writer in writers:
            assert writer.stdout is not None
            done.add(writer.stdout.readline().strip())
        assert done <= {run.id for run in reader.runs()}
        assert done <= {run.id for run in open_store(store_path, SystemClock()).runs()}
    (store_path / "stop").touch()
    for writer in writers:
        writer.communicate(timeout=60)
    assert packer.wait(60) == 0
    assert [writer.returncode for writer in writers] == [0, 0]
    (store_path / "stop").unlink()
    reader.pack(everything=True)
    assert {run.id for run in reader.runs()} == done
    assert len(done) == 30
    assert reader.verify().ok
    assert not [file for file in (store_path / "runs").rglob("*") if file.is_file()]


def test_a_run_that_is_packed_while_the_index_looks_is_listed(
    store_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = open_store(store_path, SystemClock())
    run_id = "20260101-a-000"
    record_run(store, run_id, run_started(run_id))
    store.seal(run_id)
    look = Markers.alive_run_ids

    def pack_then_look(markers: Markers) -> set[str]:
        """The index asks this after it has listed the packs."""
        monkeypatch.setattr(Markers, "alive_run_ids", look)
        assert open_store(store_path, SystemClock()).pack(everything=True).runs == 1
        return look(markers)

    monkeypatch.setattr(Markers, "alive_run_ids", pack_then_look)
    assert [run.id for run in store.runs()] == [run_id]
