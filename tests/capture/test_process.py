"""The first record of a journal."""

import json
import os
import subprocess
import sys
from pathlib import Path

import msgspec
import pytest

from instrument.capture.launch import place as place_here, process_start
from instrument.capture.process import process_started
from instrument.records import ProcessStarted, decode_record

LAUNCHERS = ("RANK", "WORLD_SIZE", "OMPI_COMM_WORLD_RANK", "OMPI_COMM_WORLD_SIZE", "PMI_RANK",
             "PMI_SIZE", "SLURM_PROCID", "SLURM_STEP_NUM_TASKS", "SLURM_JOB_ID")  # fmt: skip


@pytest.fixture(autouse=True)
def no_launcher(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in LAUNCHERS:
        monkeypatch.delenv(name, raising=False)


def started() -> ProcessStarted:
    return process_started(run_id="run-1", attempt=2, owner=True)


def test_tells_who_and_where() -> None:
    found = started()
    assert (found.run_id, found.attempt, found.owner) == ("run-1", 2, True)
    assert (found.rank, found.world_size) == (0, 1)
    assert found.pid == os.getpid()
    assert found.host == os.uname().nodename
    assert found.directory == str(Path.cwd())
    assert found.python == sys.version.split(maxsplit=1)[0]
    assert found.process_start == process_start(os.getpid())
    assert found.process_start is not None
    assert found.boot_id
    assert found.user


def test_every_journal_gets_a_name_of_its_own() -> None:
    names = {started().writer_id for _ in range(50)}
    assert len(names) == 50
    assert all(len(bytes.fromhex(name)) == 16 for name in names)


def test_a_later_process_started_later(python: str) -> None:
    child = subprocess.Popen([python, "-c", "input()"], stdin=subprocess.PIPE)
    own, its = process_start(os.getpid()), process_start(child.pid)
    child.communicate(b"\n")
    assert own is not None
    assert its is not None
    assert its > own
    assert process_start(child.pid) is None


@pytest.mark.parametrize(
    ("variables", "place"),
    [
        ({"RANK": "3", "WORLD_SIZE": "8"}, (3, 8)),
        ({"OMPI_COMM_WORLD_RANK": "1", "OMPI_COMM_WORLD_SIZE": "2"}, (1, 2)),
        ({"PMI_RANK": "5", "PMI_SIZE": "6"}, (5, 6)),
        ({"SLURM_PROCID": "7", "SLURM_STEP_NUM_TASKS": "16"}, (7, 16)),
        ({"SLURM_PROCID": "0", "SLURM_NTASKS": "16"}, (0, 1)),  # the batch script itself
        (
            {"RANK": "1", "WORLD_SIZE": "2", "SLURM_PROCID": "0", "SLURM_STEP_NUM_TASKS": "1"},
            (1, 2),
        ),
        ({"RANK": "x", "WORLD_SIZE": "8"}, (0, 1)),
        ({"RANK": "9", "WORLD_SIZE": "8"}, (0, 1)),
        ({"RANK": "1"}, (0, 1)),
    ],
)
def test_rank(
    monkeypatch: pytest.MonkeyPatch, variables: dict[str, str], place: tuple[int, int]
) -> None:
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    found = started()
    assert (found.rank, found.world_size) == place
    assert place_here().rank == place[0]


def test_the_job_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SLURM_JOB_ID", "4711")
    assert started().scheduler["SLURM_JOB_ID"] == "4711"


def test_a_removed_directory_and_odd_bytes(python: str, tmp_path: Path) -> None:
    gone = tmp_path / "gone"
    gone.mkdir()
    program = (
        "import os, sys, msgspec; os.rmdir(os.getcwd())\n"
        "from instrument.capture.process import process_started\n"
        "r = process_started(run_id='run-1', attempt=1, owner=True)\n"
        "sys.stdout.buffer.write(msgspec.json.encode(r))"
    )
    done = subprocess.run(
        [python, "-c", program, b"--odd\xff", "--token=sesame"],
        cwd=gone, capture_output=True, check=True,
        env={**os.environ, "LOGNAME": "", "USER": ""},
    )  # fmt: skip
    found = decode_record(done.stdout)
    assert isinstance(found, ProcessStarted)
    assert found.directory is None
    assert "sesame" not in json.dumps(msgspec.to_builtins(found))
    assert found.command[-2] == "--odd\\udcff"
