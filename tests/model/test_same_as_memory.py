"""Whatever is done to a store, the local one and the one in memory answer the same.

The local store is also opened again, packed, repaired, verified and its ledger taken in between the
steps; nobody may notice.
"""

import shutil
import tempfile
from pathlib import Path
from typing import Any

import hypothesis
import msgspec
import pytest
from hypothesis import strategies as st
from hypothesis.stateful import (
    Bundle,
    RuleBasedStateMachine,
    initialize,
    invariant,
    multiple,
    rule,
    run_state_machine_as_test,
)

from instrument.clock import SystemClock
from instrument.errors import InstrumentError
from instrument.naming import parse_reference
from instrument.protocols import Records, Store
from instrument.query import parse
from instrument.records import Metrics, Params, ProcessFinished, RunFinished
from instrument.summary import RunSummary
from instrument.testing import MemoryBackend
from instrument.testing.samples import AT, draft, process_started, run_started
from instrument.vocabulary import ArtifactVersion, RunState
from instrument_local import LocalStore
from instrument_local.files import Disk

NAMES = st.sampled_from(["model", "data.set", "A+b"])
ALIASES = st.sampled_from(["best", "latest", "prod", "v1.2.0"])
CONTENTS = st.sampled_from([b"", b"a", b"b", b"c" * 10_000])
RUN_IDS = st.sampled_from([f"2026030{number}-run" for number in range(1, 5)])
VALUES = st.one_of(st.integers(-5, 5), st.just("NaN"), st.floats(0, 1), st.just("Infinity"))
QUERIES = ("metrics.loss > 0", "params.lr == 1", "state == 'COMPLETED'", "name ~ 'n'")


def _answer(call: Any, *arguments: Any) -> Any:
    """What `call` returns, or the type of what it raises."""
    try:
        answer = call(*arguments)
    except InstrumentError as error:
        return type(error)
    return _unchecked(answer) if isinstance(answer, ArtifactVersion) else answer


def _unchecked(version: ArtifactVersion) -> ArtifactVersion:
    """`version` without the check, which only what lies in a file has."""
    return msgspec.structs.replace(version, check=None)


def _timeless(run: RunSummary) -> RunSummary:
    """`run` without what the clock says: the two take the first record at different moments."""
    return msgspec.structs.replace(run, ended_at=None, duration_seconds=None)


def _runs(store: Store, query: str | None = None, limit: int | None = None) -> list[RunSummary]:
    found = store.runs(parse(query) if query else None, limit)
    return [_timeless(run) for run in found]


class SameAsMemory(RuleBasedStateMachine):
    """Does everything twice."""

    journals = Bundle("journals")

    @initialize()
    def begin_both(self) -> None:
        self.place = Path(tempfile.mkdtemp(prefix="instrument-model-"))
        self.memory: Store = MemoryBackend()
        self.open_again()

    def teardown(self) -> None:
        for records in getattr(self, "open_journals", []):
            records.close()
        shutil.rmtree(self.place, ignore_errors=True)

    @rule()
    def open_again(self) -> None:
        disk = Disk()
        disk.fsync = disk.fdatasync = lambda fd: None
        self.local = LocalStore(self.place / "store", SystemClock(), disk)

    @rule(data=CONTENTS)
    def put(self, data: bytes) -> None:
        assert self.local.put_bytes(data) == self.memory.put_bytes(data)

    @rule(name=NAMES, data=CONTENTS, parent=st.none() | NAMES)
    def claim(self, name: str, data: bytes, parent: str | None) -> None:
        self.put(data)
        wanted = draft(name, data, parents=(f"{parent}:v1",) if parent else ())
        assert _answer(self.local.claim, wanted) == _answer(self.memory.claim, wanted)

    @rule(name=NAMES, number=st.integers(1, 4), alias=ALIASES)
    def tag(self, name: str, number: int, alias: str) -> None:
        reference = parse_reference(f"{name}:v{number}")
        done = _answer(self.local.tag, reference, alias, AT)
        assert done == _answer(self.memory.tag, reference, alias, AT)

    @rule(target=journals, run_id=RUN_IDS, rank=st.integers(0, 1))
    def begin(self, run_id: str, rank: int) -> Any:
        process = process_started(run_id, rank=rank)
        both = (self.local.begin(process), self.memory.begin(process))
        for records in both:
            records.take(run_started(f"run {run_id}"), AT)
        return multiple(both)

    @rule(both=journals, values=st.dictionaries(st.sampled_from(["loss", "acc"]), VALUES))
    def log(self, both: tuple[Records, Records], values: dict[str, float | str]) -> None:
        for records in both:
            records.take(Metrics(values=values, step=None), AT)
            records.take(Params(values={"lr": 1}, source="config"), AT)

    @rule(both=journals, finished=st.booleans())
    def close(self, both: tuple[Records, Records], finished: bool) -> None:
        for records in both:
            if finished:
                records.take(RunFinished(state=RunState.COMPLETED, duration_seconds=1.0), AT)
                records.take(ProcessFinished(lost=0, overhead={}), AT)
            records.close()

    @rule(run_id=RUN_IDS)
    def seal(self, run_id: str) -> None:
        done = _answer(lambda: _timeless(self.local.seal(run_id)))
        assert done == _answer(lambda: _timeless(self.memory.seal(run_id)))

    @rule()
    def pack(self) -> None:
        self.local.pack(everything=True)

    @rule()
    def integrate(self) -> None:
        self.local.ledger.integrate()

    @rule()
    def repair(self) -> None:
        done = self.local.repair()
        assert [step.error for step in done.steps if step.error] == []
        assert done.verification.ok

    @rule()
    def verify(self) -> None:
        result = self.local.verify()
        # A process may outlive the seal of its run: what it says then is noted.
        assert {each.kind for each in result.problems} <= {"journal_went_on"}, result.problems
        assert result.ok
        assert self.memory.verify().ok

    @invariant()
    def same_runs(self) -> None:
        assert _runs(self.local) == _runs(self.memory)
        for run in _runs(self.memory):
            assert _timeless(self.local.run(run.id)) == run
            local = [(e.writer, e.seq, e.record) for e in self.local.entries(run.id)]
            memory = [(e.writer, e.seq, e.record) for e in self.memory.entries(run.id)]
            assert local == memory
            assert self.local.is_open(run.id) == self.memory.is_open(run.id)

    @invariant()
    def same_answers(self) -> None:
        for query in QUERIES:
            assert _runs(self.local, query, 2) == _runs(self.memory, query, 2)

    @invariant()
    def same_artifacts(self) -> None:
        versions = list(self.memory.artifacts())
        assert [_unchecked(version) for version in self.local.artifacts()] == versions
        for version in versions:
            for alias in (*version.aliases, f"v{version.version}"):
                reference = parse_reference(f"{version.name}:{alias}")
                here = _unchecked(self.local.resolve(reference))
                assert here == self.memory.resolve(reference)
            assert self.local.get_bytes(version.digest) == self.memory.get_bytes(version.digest)


def _run(examples: int, steps: int) -> None:
    run_state_machine_as_test(
        SameAsMemory,
        settings=hypothesis.settings(
            max_examples=examples, stateful_step_count=steps, deadline=None
        ),
    )


def test_the_two_never_differ() -> None:
    _run(examples=12, steps=20)


@pytest.mark.slow
@pytest.mark.faults
@pytest.mark.timeout(3600)
def test_the_two_never_differ_at_length() -> None:
    _run(examples=400, steps=60)
