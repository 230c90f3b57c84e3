"""``doctor`` on what a store's users should know: records that wait elsewhere, who may write."""

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from cli.support import Cli, Writer

RUN = "20260304-050607-0123456789ab"
# What a process leaves that ended while its store hung.
LEFT = f"""
import os
from instrument.clock import SystemClock
from instrument.records import Metrics
from instrument.testing.samples import AT, process_started, run_started
from instrument_local.liveness import this_process
from instrument_local.spool import SpoolHome

here = this_process()
process = process_started({RUN!r}, host=here.host, boot_id=here.boot_id, pid=here.pid)
spool = SpoolHome(process, SystemClock()).new()
spool.take(run_started("left"), AT)
spool.take(Metrics(values={{"loss": 0.5}}, step=3), AT)
os._exit(0)
"""


def _checks(cli: Cli, name: str) -> list[dict[str, Any]]:
    result = cli("doctor", "--json")
    assert result.code == 0
    return [each for each in result.json["checks"] if each["name"] == name]


@pytest.fixture
def spool(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A spool of a process that has ended."""
    place = tmp_path / "local"
    place.mkdir()
    monkeypatch.setenv("SLURM_TMPDIR", str(place))
    subprocess.run([sys.executable, "-c", LEFT], check=True)
    [found] = place.glob("instrument-spool-*/*")
    return found


def test_doctor_tells_of_records_that_wait_until_repair_has_them(
    cli: Cli, writer: Writer, spool: Path
) -> None:
    writer.run("another")
    [check] = (each for each in _checks(cli, "spool") if str(spool) in each["detail"])
    assert check["status"] == "warning"
    assert check["detail"] == f"records of run {RUN} wait in {spool}"
    assert f"repair --from {spool}" in check["hint"]
    done = cli("repair", "--from", spool)
    assert (done.code, "nothing that is missed" in done.err) == (0, False)
    assert cli("runs", "show", RUN, "--json").json["metrics"]["loss"] == 0.5
    assert [each for each in _checks(cli, "spool") if str(spool) in each["detail"]] == []


def test_t23_doctor_warns_of_what_others_may_write(
    cli: Cli, writer: Writer, store_path: Path
) -> None:
    writer.run("private")
    assert _checks(cli, "access") == _checks(cli, "owner") == []
    (store_path / "tmp").mkdir(exist_ok=True)
    (store_path / "tmp").chmod(0o777)
    [check] = _checks(cli, "access")
    assert (check["status"], str(store_path / "tmp") in check["detail"]) == ("warning", True)
    assert "chmod" in check["hint"]
    store_path.chmod(0o770)
    [check] = _checks(cli, "access")
    assert f"{store_path} and 1 more" in check["detail"]


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a file away")
def test_t23_doctor_warns_of_what_belongs_to_somebody_else(
    cli: Cli, writer: Writer, store_path: Path
) -> None:
    writer.run("ours")
    os.chown(store_path / "FORMAT", 12345, -1)
    [check] = _checks(cli, "owner")
    assert (check["status"], str(store_path / "FORMAT") in check["detail"]) == ("warning", True)
