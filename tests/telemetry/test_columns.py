"""Samples as columns: kept, read back, drawn, and told to programs."""

import csv
import gzip
import io
import json
import subprocess
import time
from pathlib import Path

import pytest

import instrument
from instrument.clock import SystemClock
from instrument.errors import IntegrityError, NotFoundError
from instrument.readings import Trace
from instrument.records import TelemetrySampled, TelemetrySummarised
from instrument.telemetry import Sampler, columns as module
from instrument.telemetry.columns import Columns, Keeper, read_compressed, run_telemetry


class Objects:
    """Bytes by a name."""

    def __init__(self) -> None:
        self.kept: dict[str, bytes] = {}

    def put(self, data: bytes) -> str:
        self.kept[f"object {len(self.kept)}"] = data
        return list(self.kept)[-1]


def test_columns_come_back_as_they_were() -> None:
    columns = Columns()
    columns.add({"a": 1.0}, 1.0)
    columns.add({"a": 2.5, "b": 7.0}, 2.0)
    columns.add({"b": 8.0}, 3.0)
    data = columns.compressed()
    assert data == columns.compressed()
    assert read_compressed(data) == columns
    plain = json.loads(gzip.decompress(data))  # without anything of ours
    assert plain["readings"] == {"a": [1.0, 2.5, None], "b": [None, 7.0, 8.0]}
    with pytest.raises(IntegrityError):
        read_compressed(data[:-9] + b"x" * 9)


def test_few_samples_make_no_object_and_many_make_several(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(module, "SAMPLES_AN_OBJECT", 100)
    objects = Objects()
    few = Keeper(objects.put)
    few.add({"a": 1.0}, 1.0)
    assert few.finish() == ()
    many = Keeper(objects.put)
    for sample in range(250):
        many.add({"a": float(sample)} | ({"late": 1.0} if sample >= 240 else {}), float(sample))
    digests = many.finish()
    assert len(digests) == 3
    whole = module._joined(read_compressed(objects.kept[digest]) for digest in digests)  # no store
    assert whole.elapsed_seconds == whole.readings["a"] == [float(n) for n in range(250)]
    assert whole.readings["late"] == [None] * 240 + [1.0] * 10


WATCHED = """
import time, sys
from instrument import ExperimentContext
from instrument.telemetry import sampler
import instrument.background as background
background.TELEMETRY_DELAY_SECONDS = 0
real = sampler.Sampler.__init__
sampler.Sampler.__init__ = lambda self, recorder, clock, **options: real(
    self, recorder, clock, 0.01, **options)
with ExperimentContext(name="watched", project="p") as run:
    while sum(e.record.__class__.__name__ == "TelemetrySampled"
              for e in run.store.entries(run.id)) < int(sys.argv[1]):
        time.sleep(0.05)
print(run.id)
"""


def watched(python: str, samples: int) -> str:
    """Id of a run that was sampled this often at least."""
    command = [python, "-c", WATCHED, str(samples)]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()


@pytest.mark.parametrize("samples", [3, 70])
def test_the_columns_of_a_run_are_its_samples(python: str, samples: int) -> None:
    run_id = watched(python, samples)
    found = run_telemetry(run_id)
    store = instrument.ExperimentContext().store
    assert store is not None
    trace, expected = Trace(), Columns()
    kept: tuple[str, ...] = ()
    for entry in store.entries(run_id):
        if isinstance(entry.record, TelemetrySampled):
            record = entry.record
            elapsed = record.elapsed_seconds
            expected.add(trace.take(record.values, elapsed, whole=record.whole)[0], elapsed)
        elif isinstance(entry.record, TelemetrySummarised):
            kept = entry.record.columns
    assert found == expected
    assert len(found.elapsed_seconds) >= samples
    assert len(kept) == (samples == 70)
    assert instrument.run_telemetry is run_telemetry


def test_no_run_no_columns() -> None:
    with pytest.raises(NotFoundError):
        run_telemetry("20200101-000000-000000000000")


def command(python: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    line = [python, "-m", "instrument", "runs", "telemetry", *arguments]
    return subprocess.run(line, capture_output=True, text=True, check=False)


def test_the_command(python: str, tmp_path: Path) -> None:
    run_id = watched(python, 5)
    page = command(python, run_id).stdout
    assert any("process memory" in line and "▁" in line for line in page.splitlines())

    columns = json.loads(command(python, run_id, "--json").stdout)
    rows = list(csv.reader(io.StringIO(command(python, run_id, "--format", "csv").stdout)))
    assert rows[0] == ["elapsed_seconds", *columns["readings"]]
    assert [float(row[0]) for row in rows[1:]] == columns["elapsed_seconds"]

    target = tmp_path / "run.prom"
    done = command(python, run_id, "--format", "prometheus", "--output", str(target))
    assert (done.returncode, done.stdout) == (0, "")
    lines = target.read_text().splitlines()
    memory = next(line for line in lines if line.startswith("instrument_process_memory_bytes{"))
    assert memory.startswith(f'instrument_process_memory_bytes{{run="{run_id}",name="watched"')
    assert float(memory.split()[-1]) == columns["readings"]["process.memory_bytes"][-1]
    assert "# TYPE instrument_process_memory_bytes gauge" in lines
    assert list(tmp_path.glob(".*.part")) == []


@pytest.mark.parametrize(
    ("arguments", "why"),
    [
        (["--json", "--format", "csv"], "exclude each other"),
        (["--output", "x"], "--output needs"),
        (["--format", "csv", "--output", "/nowhere/x"], "cannot be written"),
    ],
)
def test_what_makes_no_sense(python: str, arguments: list[str], why: str) -> None:
    with instrument.ExperimentContext(monitor_hardware=False) as run:
        pass
    done = command(python, run.id, *arguments)
    assert done.returncode == 2
    assert why in done.stderr


def test_a_store_that_takes_no_object_loses_no_sample() -> None:
    class Kept:
        def __init__(self) -> None:
            self.problems: list[str] = []
            self.samples = 0

        def record(self, record: object) -> None:
            self.samples += isinstance(record, TelemetrySampled)

        def problem(self, doing: str, error: BaseException) -> None:
            self.problems.append(f"{doing}: {error}")

    def full(data: bytes) -> str:
        raise OSError("No space left on device")

    kept = Kept()
    sampler = Sampler(kept, SystemClock(), 0.002, put=full)
    sampler.start()
    while kept.samples < 70:
        time.sleep(0.01)
    sampler.stop()
    assert kept.problems == ["keep the telemetry's columns: No space left on device"]
