"""A process that records: ``python writer.py STORE RUN_ID COUNT [ACKNOWLEDGE_FD]``."""

import os
import platform
import sys
import uuid
from datetime import UTC, datetime
from pathlib import Path

from instrument.clock import SystemClock
from instrument.records import Metrics, ProcessStarted, RunFinished
from instrument.vocabulary import RunState
from instrument_local import open_store


def this_process(run_id: str) -> ProcessStarted:
    """What the context says about this very process."""
    start = Path("/proc/self/stat").read_bytes().rpartition(b")")[2].split()[19]
    return ProcessStarted(
        run_id=run_id,
        attempt=1,
        rank=0,
        world_size=1,
        owner=True,
        writer_id=uuid.uuid4().hex,
        host=platform.node(),
        boot_id=Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip(),
        pid=os.getpid(),
        process_start=int(start),
        command=tuple(sys.argv),
        directory=None,
        python=platform.python_version(),
        user=None,
        recorder_version="0",
    )


def main(store: str, run_id: str, count: str, acknowledge: str = "") -> None:
    """Record `count` metrics; write one byte to the pipe when `take` has returned."""
    journal = open_store(Path(store), SystemClock()).begin(this_process(run_id))
    for step in range(int(count)):
        journal.take(Metrics(values={"loss": 0.5}, step=step), datetime.now(UTC))
        if acknowledge:
            os.write(int(acknowledge), b".")
    now = datetime.now(UTC)
    journal.take(RunFinished(state=RunState.COMPLETED, duration_seconds=1.0), now)
    journal.close()
    print(journal.lost)


if __name__ == "__main__":
    main(*sys.argv[1:])
