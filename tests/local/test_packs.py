"""`store pack`: what is packed reads, verifies and goes on the same, whatever stops the packing."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from instrument.clock import SystemClock
from instrument.errors import IntegrityError, NotFoundError
from instrument.protocols import Packs
from instrument.query import parse
from instrument.records import Metrics, Params
from instrument.testing.samples import AT, draft, process_started, record_run, run_started
from instrument.vocabulary import RunState
from instrument_local import LocalStore, open_store

COUNT = 40


def _record(store: LocalStore, run_id: str, *, lr: float = 0.1) -> None:
    record_run(
        store,
        run_id,
        run_started(f"name of {run_id}"),
        Params(values={"lr": lr}, source="config"),
        *(Metrics(values={"loss": 1 / (step + 1)}, step=step) for step in range(20)),
    )
    store.seal(run_id)


def _ids() -> list[str]:
    return [f"202601{day:02}-{'ab'[day % 2]}{day:03}" for day in range(1, COUNT + 1)]


@pytest.fixture
def store(store_path: Path) -> LocalStore:
    """A store with sealed runs."""
    store = open_store(store_path, SystemClock())
    for number, run_id in enumerate(_ids()):
        _record(store, run_id, lr=number / 10)
    return store


def _everything(store: LocalStore) -> object:
    """What can be asked of the runs."""
    return (
        store.runs(),
        store.runs(where=parse("params.lr < 1.05")),
        [store.run(run.id) for run in store.runs()],
        [list(store.entries(run.id)) for run in store.runs()],
        store.run("latest"),
        store.info()["runs"],
    )


def _files(path: Path) -> list[Path]:
    return [file for file in path.rglob("*") if file.is_file()]


def _packs(store: LocalStore) -> list[Path]:
    return sorted(Path(store.location).glob("packs/*"))


def test_packed_runs_are_what_they_were(store: LocalStore, store_path: Path) -> None:
    before = _everything(store)
    packing = store.pack(everything=True)
    assert (packing.packs, packing.runs, packing.files) == (1, COUNT, 2 * COUNT)
    assert packing.left == {}
    assert packing.size_bytes_after < packing.size_bytes_before / 4
    assert _files(store_path / "runs") == []
    assert len(_packs(store)) == 1
    for reader in (store, open_store(store_path, SystemClock())):
        assert _everything(reader) == before
        result = reader.verify()
        assert (result.ok, result.runs, result.problems) == (True, COUNT, ())
        assert reader.verify(_ids()[0]).ok
    assert store.pack(everything=True).packs == 0
    assert isinstance(store, Packs)


def test_an_index_made_from_packs_is_the_same(
    store: LocalStore, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    before = _everything(store)
    store.pack(everything=True)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "new"))
    assert _everything(store) == before
    for pack in _packs(store):
        pack.rename(tmp_path / pack.name)
    assert store.runs() == []


def test_a_packed_run_goes_on(store: LocalStore, store_path: Path) -> None:
    run_id = _ids()[3]
    store.pack(everything=True)
    again = open_store(store_path, SystemClock())
    journal = again.begin(process_started(run_id, attempt=2, pid=77))
    journal.take(Params(values={"lr": 7}, source="config"), AT)
    assert again.run(run_id).state is RunState.RUNNING
    assert [run.id for run in store.runs(where=parse("params.lr == 7"))] == [run_id]
    packing = store.pack(everything=True)
    assert (packing.packs, packing.left) == (0, {"still recording": 1})
    journal.close()
    again.seal(run_id)
    expected = _everything(store)
    (run,) = store.runs(where=parse("params.lr == 7"))
    assert (run.attempts, run.metrics) == (2, {"loss": 0.05})
    assert (store_path / "runs" / "202601" / run_id / "run.2.json").exists()
    assert store.verify().problems == ()
    assert store.pack(everything=True).packs == 0  # its second journal was not closed in order
    _age(store_path, days=8)
    assert store.pack(everything=True).packs == 1
    assert _files(store_path / "runs") == []
    assert _everything(store) == _everything(again) == expected
    assert store.verify().problems == ()


def _age(store_path: Path, *, days: float) -> None:
    for file in _files(store_path / "runs"):
        then = file.stat().st_mtime_ns - int(days * 86400e9)
        os.utime(file, ns=(then, then))


def test_a_process_that_records_again_under_its_name_hides_nothing_that_is_packed(
    store: LocalStore,
) -> None:
    run_id = _ids()[0]
    before = list(store.entries(run_id))
    store.pack(everything=True)
    journal = store.begin(process_started(run_id))  # the same process, attempt and rank
    journal.take(Metrics(values={"late": 1}, step=None), AT)
    journal.close()
    assert [each for each in store.entries(run_id) if each in before] == before
    assert store.run(run_id).metrics == {"loss": 0.05, "late": 1}
    assert store.verify().ok


def test_what_is_young_few_or_open_stays(store: LocalStore, store_path: Path) -> None:
    store.begin(process_started("20260101-open"))
    packing = store.pack()
    assert (packing.packs, packing.left) == (
        0,
        {"too young: pack them with --all": COUNT, "still recording": 1},
    )
    _age(store_path, days=2)
    assert store.pack().runs == COUNT
    _record(store, "20260201-0001")
    _age(store_path, days=2)
    assert store.pack().left["few: pack them with --all"] == 1
    assert store.pack(everything=True).runs == 1
    assert store.verify().ok


def test_a_killed_run_is_packed_after_a_week(store: LocalStore, store_path: Path) -> None:
    record_run(store, "20260101-dead", Params(values={"lr": 99}, source="config"), finish=False)
    assert store.pack(everything=True).left == {"not sealed": 1}
    _age(store_path, days=8)
    before = store.runs(where=parse("params.lr == 99"))
    assert store.pack(everything=True).runs == 1
    assert store.runs(where=parse("params.lr == 99")) == before
    assert before[0].state is RunState.INTERRUPTED
    # No public face: a run that is not final is read again for each list.
    assert store._summaries.read("20260101-dead").is_final
    assert not list(store_path.glob("runs/*/*"))


def test_files_of_somebody_else_stay(store: LocalStore, store_path: Path) -> None:
    note = store_path / "runs" / "202601" / _ids()[0] / "notes.txt"
    note.write_text("mine")
    store.pack(everything=True)
    assert _files(store_path / "runs") == [note]

    assert len(store.runs()) == COUNT
    assert [found.kind for found in store.verify().problems] == ["unexpected_file"]


def test_a_damaged_run_is_left_where_it_can_be_looked_at(
    store: LocalStore, store_path: Path
) -> None:
    (journal,) = (store_path / "runs" / "202601" / _ids()[0]).glob("*.jsonl")
    data = journal.read_bytes()
    journal.write_bytes(data.replace(b'"loss":0.5', b'"loss":0.4'))
    packing = store.pack(everything=True)
    assert packing.runs == COUNT - 1
    assert packing.left == {"damaged or unreadable: `instrument verify` tells": 1}
    assert journal.exists()


def test_every_changed_byte_of_a_pack_is_found(store: LocalStore) -> None:
    store.pack(everything=True)
    (pack,) = _packs(store)
    data = pack.read_bytes()
    shown = {str(pack.relative_to(store.location))}
    for place in [*range(0, len(data), 211), *range(len(data) - 40, len(data))]:
        changed = bytearray(data)
        changed[place] ^= 1 << place % 8
        pack.write_bytes(changed)
        result = open_store(Path(store.location), SystemClock()).verify()
        assert not result.ok, place
        assert "pack_damaged" in {found.kind for found in result.problems}
        assert shown & {found.path for found in result.problems}
    for wrong in (b"", data[:-1], data[1:], data + b"\n", data[:100], data * 2):
        pack.write_bytes(wrong)
        assert not open_store(Path(store.location), SystemClock()).verify().ok
    pack.write_bytes(data)
    assert store.verify().problems == ()


def test_damage_hits_its_group_only_and_says_which_runs(store: LocalStore) -> None:
    store.pack(everything=True)
    (pack,) = _packs(store)
    data = bytearray(pack.read_bytes())
    data[100] ^= 1
    pack.write_bytes(data)
    fresh = open_store(Path(store.location), SystemClock())
    problems = fresh.verify().problems
    lost = {f.path.split("/")[-1] for f in problems if f.kind == "run_unreadable"}
    assert lost
    assert lost < set(_ids())
    named = " ".join(found.expected or "" for found in problems)
    assert all(run_id in named for run_id in lost)
    assert {run.id for run in fresh.runs()} | lost == set(_ids())
    for run_id in _ids():
        if run_id in lost:
            with pytest.raises(IntegrityError, match="was changed"):
                fresh.run(run_id)
        else:
            assert fresh.run(run_id).id == run_id


def test_a_pack_that_lies_about_sizes_takes_no_memory(store: LocalStore) -> None:
    import msgspec

    from instrument_local.packs.contents import Group, Table, decode_table, encode_table

    group = Group(18, 100, 100 * 1001, "0" * 64, ("run-1",))
    line = encode_table(Table((group,)))[:-17]
    with pytest.raises(IntegrityError, match="group at 18"):
        decode_table(line, 118)
    fine = encode_table(Table((msgspec.structs.replace(group, raw_size_bytes=1000),)))[:-17]
    assert decode_table(fine, 118).groups[0].raw_size_bytes == 1000
    with pytest.raises(IntegrityError, match="groups end at"):
        decode_table(fine, 119)


def test_a_frame_gives_out_no_more_than_was_said() -> None:
    from instrument_local.packs.zstd import CHUNK_BYTES, deflate, inflate

    def zeros() -> Iterator[bytes]:
        for _ in range(64):
            yield bytes(1 << 20)

    frame = b"".join(deflate(zeros()))
    assert sum(map(len, inflate([frame], 64 << 20))) == 64 << 20
    seen: list[int] = []
    with pytest.raises(IntegrityError, match="more than 1000000"):
        seen.extend(map(len, inflate([frame], 1_000_000)))
    assert sum(seen) <= 1_000_000
    assert max(seen) <= CHUNK_BYTES
    for wrong in (frame[:-1], frame + b"x", frame * 2, b"", b"garbage", frame[4:]):
        with pytest.raises(IntegrityError):
            list(inflate([wrong], 64 << 20))


def test_a_long_journal_is_packed_and_read_in_pieces(store_path: Path) -> None:
    import random

    store = open_store(store_path, SystemClock())
    noise = random.Random(1)
    text = [noise.randbytes(40_000).hex() for _ in range(40)]  # 3 MB, in two lines of a group
    records = [Params(values={f"p{n}": value}, source="config") for n, value in enumerate(text)]
    record_run(store, "20260101-long", *records)
    store.seal("20260101-long")
    _record(store, "20260101-short")
    before = _everything(store)
    assert store.pack(everything=True).runs == 2
    fresh = open_store(store_path, SystemClock())
    assert _everything(fresh) == before
    assert fresh.verify().problems == ()


def test_other_things_of_the_store_are_left_alone(store: LocalStore, store_path: Path) -> None:
    store.put_bytes(b"content")
    store.claim(draft("model", b"content"))
    others = {file: file.read_bytes() for file in _files(store_path / "artifacts")}
    store.pack(everything=True)
    assert {file: file.read_bytes() for file in _files(store_path / "artifacts")} == others
    assert store.verify().problems == ()


def test_a_prefix_means_packed_runs_too(store: LocalStore) -> None:
    store.pack(everything=True)
    assert store.run("20260107-b").id == "20260107-b007"
    with pytest.raises(NotFoundError, match="9 runs start with '2026010'"):
        store.run("2026010")
    with pytest.raises(NotFoundError, match="no run starts"):
        store.run("é")
