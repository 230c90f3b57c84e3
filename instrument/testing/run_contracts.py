"""What every store promises about records and runs."""
# ruff: noqa: D102, S101, PLR2004 - tests: the name is the documentation, and tests assert

from datetime import timedelta
from functools import partial
from typing import Final

import pytest

from instrument.errors import NotFoundError
from instrument.protocols import Store
from instrument.query import matches, parse
from instrument.records import Entry, Metrics, Params, Record, RunFinished
from instrument.testing.samples import (
    AT,
    process_started,
    record_run,
    run_started,
    together,
    varied_runs,
)
from instrument.vocabulary import RunState

EXPRESSIONS: Final = (
    "params.lr == 0.1",
    "params.lr != 0.1",
    "params.lr == null",
    "params.lr != null",
    "params.model ~ 'small'",
    "metrics.loss < 0.5 and state == 'COMPLETED'",
    "not (metrics.loss < 0.5)",
    "metrics.loss > 1",
    "metrics.nan == 0 or metrics.nan != 0",
    "metrics.big > 1e300",
    "tags contains 'base'",
    "not tags contains 'base'",
    "name ~ '2' or attempts >= 1",
    "params.flag == true",
    "rank_count == 1.0",
    "git.commit == null",
)


class RecordsContract:
    """The promises of `instrument.protocols.Records`."""

    def test_records_come_back_in_order_with_their_times(self, store: Store) -> None:
        process = process_started("run-0001")
        journal = store.begin(process)
        taken: list[Record] = [process]
        for step in range(50):
            record = Metrics(values={"loss": step / 7, "bad": "NaN"}, step=step)
            journal.take(record, AT + timedelta(microseconds=step))
            taken.append(record)
        entries = list(store.entries("run-0001"))
        assert [entry.record for entry in entries] == taken
        assert [entry.seq for entry in entries] == list(range(51))
        assert [entry.at for entry in entries[1:]] == [
            AT + timedelta(microseconds=step) for step in range(50)
        ]
        journal.close()
        assert journal.lost == 0

    def test_threads_may_take_at_once(self, store: Store) -> None:
        journal = store.begin(process_started("run-0001"))

        def take(thread: int) -> None:
            for step in range(100):
                journal.take(Metrics(values={f"m{thread}": step}, step=step), AT)

        together([partial(take, thread) for thread in range(8)])
        journal.close()
        entries = list(store.entries("run-0001"))
        assert [entry.seq for entry in entries] == list(range(801))
        for thread in range(8):
            steps = [_value(entry, f"m{thread}") for entry in entries]
            assert [step for step in steps if step is not None] == list(range(100))

    def test_close_and_flush_are_idempotent_and_what_comes_later_is_lost(
        self, store: Store
    ) -> None:
        journal = store.begin(process_started("run-0001"))
        for _ in range(2):
            journal.flush()
        for _ in range(2):
            journal.close()
        journal.take(Params(values={"late": 1}, source="config"), AT)
        journal.flush()
        assert journal.lost == 1
        assert len(list(store.entries("run-0001"))) == 1

    def test_writers_of_one_run_have_a_journal_each(self, store: Store) -> None:
        journals = [store.begin(process_started("run-0001", rank=rank)) for rank in (0, 1, 1)]
        for number, journal in enumerate(journals):
            journal.take(Params(values={"writer": number}, source="config"), AT)
            journal.close()
        entries = list(store.entries("run-0001"))
        writers = [entry.writer for entry in entries]
        assert len(set(writers)) == 3
        assert writers == sorted(writers)
        assert [entry.seq for entry in entries] == [0, 1] * 3

    def test_a_run_that_is_not_there_has_no_entries(self, store: Store) -> None:
        for _ in range(2):
            with pytest.raises(NotFoundError):
                list(store.entries("run-0001"))
            with pytest.raises(NotFoundError):
                store.seal("run-0001")
            record_run(store, "run-0002")


class CatalogueContract:
    """The promises of `instrument.protocols.Catalogue`, and of `Store.seal`."""

    def test_the_state_follows_the_records(self, store: Store) -> None:
        journal = store.begin(process_started("run-0001"))
        journal.take(run_started("first"), AT)
        assert store.run("run-0001").state is RunState.RUNNING
        journal.close()
        assert store.run("run-0001").state is RunState.INTERRUPTED
        assert not store.run("run-0001").recording.complete
        record_run(store, "run-0002", run_started("second"))
        done = store.run("run-0002")
        assert (done.state, done.name, done.recording.complete) == (
            RunState.COMPLETED,
            "second",
            True,
        )
        assert {run.id: run.state for run in store.runs()} == {
            "run-0001": RunState.INTERRUPTED,
            "run-0002": RunState.COMPLETED,
        }

    def test_a_new_attempt_reopens_a_run(self, store: Store) -> None:
        record_run(store, "run-0001")
        store.seal("run-0001")
        assert [run.attempts for run in store.runs()] == [1]
        journal = store.begin(process_started("run-0001", attempt=2))
        assert store.run("run-0001").state is RunState.RUNNING
        assert [run.state for run in store.runs()] == [RunState.RUNNING]
        journal.take(RunFinished(state=RunState.FAILED, duration_seconds=2.0), AT)
        assert store.is_open("run-0001")
        journal.close()
        assert not store.is_open("run-0001")
        for run in (store.seal("run-0001"), store.run("run-0001"), *store.runs()):
            assert (run.state, run.attempts) == (RunState.FAILED, 2)
        assert store.verify().ok

    def test_sealing_changes_no_answer(self, store: Store) -> None:
        record_run(store, "run-0001", run_started("x"), Metrics(values={"loss": 1.0}, step=0))
        before = store.run("run-0001")
        assert store.seal("run-0001") == store.seal("run-0001") == before
        assert store.run("run-0001") == before
        assert store.runs() == [before]
        assert len(list(store.entries("run-0001"))) == 5

    def test_runs_are_listed_newest_first(self, store: Store) -> None:
        assert store.runs() == []
        for number in range(5):
            record_run(store, f"run-000{number}")
        assert [run.id for run in store.runs()] == [f"run-000{n}" for n in (4, 3, 2, 1, 0)]
        assert [run.id for run in store.runs(limit=2)] == ["run-0004", "run-0003"]
        assert store.runs(limit=0) == []

    def test_a_run_is_found_by_id_by_prefix_and_as_latest(self, store: Store) -> None:
        with pytest.raises(NotFoundError):
            store.run("latest")
        for run_id in ("abcd", "abcd-2", "20260102-030405-aaaa", "wxyz-1"):
            record_run(store, run_id)
        assert store.run("abcd").id == "abcd"
        assert store.run("abcd-").id == "abcd-2"
        assert store.run("2026").id == store.run("20260102-030405-a").id == "20260102-030405-aaaa"
        assert store.run("latest").id == "wxyz-1"
        with pytest.raises(NotFoundError, match=r"abcd.*abcd-2"):
            store.run("abc")
        for selector in ("nobody", "../abcd", "20260102-030405-b"):
            with pytest.raises(NotFoundError):
                store.run(selector)

    @pytest.mark.parametrize("expression", EXPRESSIONS)
    def test_where_means_what_the_query_module_says(self, store: Store, expression: str) -> None:
        varied_runs(store)
        condition = parse(expression)
        found = [run.id for run in store.runs(where=condition)]
        assert found == [run.id for run in store.runs() if matches(condition, run)]
        assert [run.id for run in store.runs(where=condition, limit=1)] == found[:1]


def _value(entry: Entry, metric: str) -> float | str | None:
    return entry.record.values.get(metric) if isinstance(entry.record, Metrics) else None
