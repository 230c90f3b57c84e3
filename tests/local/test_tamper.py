"""Whatever is changed in a store, `verify` finds it and names the file."""

import hashlib
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from instrument.clock import SystemClock
from instrument.errors import InstrumentError, IntegrityError
from instrument.naming import parse_reference
from instrument.protocols import Verification
from instrument.records import ArtifactLogged, EnvironmentCaptured, Metrics, Params, RunFinished
from instrument.testing.samples import AT, draft, process_started, record_run
from instrument.vocabulary import RunState
from instrument_local import LocalStore, open_store
from instrument_local.lines import TAIL_LENGTH, chain_of, finish_line, genesis

RUN = "20260304-050607-0123456789ab"
OPEN_RUN = "20260304-crashed"


def _fill(path: Path) -> LocalStore:
    """A small store with something of every kind in it."""
    store = open_store(path, SystemClock())
    digest = store.put_bytes(b"weights")
    version = store.claim(draft("model", b"weights"))
    store.claim(draft("child", b"weights", parents=("model:v1",)))
    store.tag(parse_reference("model:v1"), "best", AT)
    logged = ArtifactLogged(ref="model:v1", type="model", digest=version.digest, size_bytes=7)
    captured = EnvironmentCaptured(level=1, snapshot=digest, health=())
    record_run(store, RUN, Params(values={"lr": 1}, source="config"), captured, logged)
    store.seal(RUN)
    record_run(store, OPEN_RUN, Metrics(values={"loss": 1.0}, step=0), finish=False)
    assert store.ledger.integrate() == 4  # the versions, the alias and the seal
    return store


def _verify(path: Path) -> Verification | None:
    """The result, or None where the store refuses to be opened at all."""
    try:
        return open_store(path, SystemClock()).verify()
    except InstrumentError:
        return None


def _files(path: Path) -> list[Path]:
    return sorted(file for file in path.rglob("*") if file.is_file())


def _write(file: Path, data: bytes) -> None:
    file.chmod(0o600)
    file.write_bytes(data)


@pytest.mark.parametrize(
    "every", [7, pytest.param(1, marks=[pytest.mark.faults, pytest.mark.slow])]
)
def test_every_changed_byte_of_every_file_is_found(store_path: Path, every: int) -> None:
    assert _fill(store_path).verify().problems == ()
    missed = []
    for file in _files(store_path):
        if file.is_relative_to(store_path / "ledger"):
            continue  # tests/ledger does the same there
        data = file.read_bytes()
        for position in range(len(file.name) % every, len(data), every):
            changed = bytearray(data)
            changed[position] ^= 1 << position % 8
            _write(file, bytes(changed))
            result = _verify(store_path)
            name = file.relative_to(store_path).as_posix()
            if result is not None and not any(found.path == name for found in result.problems):
                missed.append((name, position))
        _write(file, data)
    assert missed == []
    result = _verify(store_path)
    assert result is not None
    assert result.problems == ()


def test_only_the_newline_of_an_open_journal_and_the_ignore_file_are_mere_notes(
    store_path: Path,
) -> None:
    _fill(store_path)
    harmless = []
    for file in _files(store_path):
        data = file.read_bytes()
        for position in (0, len(data) // 2, len(data) - 1):
            _write(file, data[:position] + bytes([data[position] ^ 1]) + data[position + 1 :])
            result = _verify(store_path)
            if result is not None and result.ok:
                harmless.append((file.name, len(data) - 1 - position))
        _write(file, data)
    harmless = [(name, place) for name, place in harmless if name != "1.done"]  # a lock let go
    assert set(harmless) == {(".gitignore", 1), (".gitignore", 0), ("1-0-host-1-1000.jsonl", 0)}


@pytest.mark.parametrize("removed", [1, 2, 40])
def test_a_file_that_lost_its_end_is_found(store_path: Path, removed: int) -> None:
    _fill(store_path)
    for file in _files(store_path):
        data = file.read_bytes()
        _write(file, data[: max(len(data) - removed, 0)])
        result = _verify(store_path)
        assert result is None or result.problems, file
        _write(file, data)


def test_a_file_that_is_gone_is_found_unless_nothing_refers_to_it(store_path: Path) -> None:
    _fill(store_path)
    unnoticed = []
    for file in _files(store_path):
        away = store_path.with_name("away")
        shutil.move(file, away)
        result = _verify(store_path)
        if result is not None and not result.problems:
            unnoticed.append(file.name)
        shutil.move(away, file)
    # What has neither seal nor successor can vanish unseen.
    assert set(unnoticed) == {".gitignore", "1.done", "1-0-host-1-1000.jsonl"}


def _journal(store_path: Path, run_id: str) -> Path:
    (path,) = store_path.glob(f"runs/*/{run_id}/*.jsonl")
    return path


def _drop(lines: list[bytes]) -> list[bytes]:
    return lines[:1] + lines[2:]


def _swap(lines: list[bytes]) -> list[bytes]:
    return [lines[0], lines[2], lines[1], *lines[3:]]


def _repeat(lines: list[bytes]) -> list[bytes]:
    return [*lines[:2], lines[1], *lines[2:]]


def _garbage(lines: list[bytes]) -> list[bytes]:
    return [*lines[:2], b"\x00\xff garbage\n", *lines[2:]]


@pytest.mark.parametrize("change", [_drop, _swap, _repeat, _garbage])
def test_lines_cannot_be_dropped_moved_repeated_or_added(
    store_path: Path, change: Callable[[list[bytes]], list[bytes]]
) -> None:
    store = open_store(store_path, SystemClock())
    metrics = [Metrics(values={"loss": step}, step=step) for step in range(3)]
    record_run(store, OPEN_RUN, *metrics, finish=False)
    path = _journal(store_path, OPEN_RUN)
    path.write_bytes(b"".join(change(path.read_bytes().splitlines(keepends=True))))
    kinds = {problem.kind for problem in store.verify().problems}
    assert "chain_broken" in kinds
    assert len(list(store.entries(OPEN_RUN))) >= 3  # the rest can still be read


def test_a_whole_journal_cannot_be_carried_over_to_another_run(store_path: Path) -> None:
    store = open_store(store_path, SystemClock())
    record_run(store, RUN)
    record_run(store, OPEN_RUN)
    shutil.copyfile(_journal(store_path, RUN), _journal(store_path, OPEN_RUN))
    assert [problem.path for problem in store.verify().problems] == [
        _journal(store_path, OPEN_RUN).relative_to(store_path).as_posix()
    ]
    assert store.verify(RUN).ok
    assert not store.verify(OPEN_RUN).ok


def test_nothing_can_be_added_to_a_closed_journal_after_the_seal(store_path: Path) -> None:
    store = _fill(store_path)
    path = _journal(store_path, RUN)
    with path.open("ab") as stream:
        stream.write(b'{"seq":9}\n')
    assert "journal_size" in {problem.kind for problem in store.verify().problems}


def test_a_writer_that_outlives_the_seal_is_no_damage(store_path: Path) -> None:
    store = open_store(store_path, SystemClock())
    late = store.begin(process_started(RUN, rank=1))
    record_run(store, RUN)
    store.seal(RUN)
    late.take(Metrics(values={"late": 1.0}, step=0), AT)
    late.close()
    assert store.run(RUN).metrics == {"late": 1.0}
    assert store.seal(RUN).metrics == {"late": 1.0}
    assert store.runs()[0].metrics == {"late": 1.0}
    assert store.verify().problems == ()


def test_expected_and_found_are_named(store_path: Path) -> None:
    store = _fill(store_path)
    good = hashlib.sha256(b"weights").hexdigest()
    path = store_path / "objects" / good[:2] / good
    _write(path, b"WEIGHTS")
    (problem,) = store.verify().problems
    assert problem.kind == "object_changed"
    assert problem.path == f"objects/{good[:2]}/{good}"
    assert problem.expected == f"sha256:{good}"
    assert problem.found == f"sha256:{hashlib.sha256(b'WEIGHTS').hexdigest()}"
    for selector in (RUN, "model:v1"):
        assert store.verify(selector).problems == (problem,)
    for read in (store.get_bytes, store.open):
        with pytest.raises(IntegrityError, match="has changed"):
            read(f"sha256:{good}")


def test_a_time_without_an_offset_is_damage_and_stops_nobody(store_path: Path) -> None:
    store = _fill(store_path)
    journal = _journal(store_path, OPEN_RUN)
    chain, lines = genesis(OPEN_RUN, journal.stem), []
    for line in journal.read_bytes().splitlines(keepends=True):
        body = line[:-TAIL_LENGTH].replace(
            b'Z","record":{"kind":"metrics"', b'","record":{"kind":"metrics"'
        )
        chain = chain_of(body, chain)
        lines.append(finish_line(body, chain))
    _write(journal, b"".join(lines))
    (problem,) = store.verify().problems
    assert (problem.kind, problem.severity) == ("line_damaged", "damage")
    assert {run.id for run in store.runs()} == {RUN, OPEN_RUN}
    assert "could not read line" in str(store.run(OPEN_RUN).recording.problems)


def test_an_object_that_is_gone_names_who_refers_to_it(store_path: Path) -> None:
    store = _fill(store_path)
    good = hashlib.sha256(b"weights").hexdigest()
    (store_path / "objects" / good[:2] / good).unlink()
    (problem,) = store.verify().problems
    assert (problem.kind, problem.expected) == ("object_missing", f"sha256:{good}")
    assert problem.found is not None
    assert problem.found.endswith("refers to it")


def test_a_symbolic_link_is_never_followed(store_path: Path, tmp_path: Path) -> None:
    store = _fill(store_path)
    secret = tmp_path / "secret"
    secret.write_bytes(b"weights")
    for file in _files(store_path):
        if file.parent == store_path:
            continue
        data = file.read_bytes()
        secret.write_bytes(data)
        file.unlink()
        file.symlink_to(secret)
        result = store.verify()
        assert any(
            found.path == file.relative_to(store_path).as_posix() for found in result.problems
        )
        file.unlink()
        file.write_bytes(data)
    assert store.verify().ok


def test_a_damaged_file_does_not_keep_the_others_from_being_read(store_path: Path) -> None:
    store = _fill(store_path)
    for damaged in (_journal(store_path, OPEN_RUN), store_path / "artifacts/child/v1.json"):
        _write(damaged, b"\xff" + damaged.read_bytes()[1:])
    assert {run.id for run in store.runs()} == {RUN, OPEN_RUN}
    broken = store.run(OPEN_RUN)
    assert any("could not read line 1 of journal" in line for line in broken.recording.problems)
    assert [version.name for version in store.artifacts()] == ["model"]
    with pytest.raises(IntegrityError):
        store.resolve(parse_reference("child:v1"))
    assert store.claim(draft("child", b"new")).version == 2  # never under the damaged one's name


@pytest.mark.skipif(os.getuid() == 0, reason="root may read everything")
def test_an_unreadable_run_is_named_and_the_rest_works(store_path: Path) -> None:
    store = _fill(store_path)
    directory = _journal(store_path, OPEN_RUN).parent
    directory.chmod(0)
    try:
        assert any(found.kind == "unreadable" for found in store.verify().problems)
        assert store.run(RUN).state is RunState.COMPLETED
    finally:
        directory.chmod(0o700)


def test_a_run_can_be_continued_after_a_damaged_seal(store_path: Path) -> None:
    store = _fill(store_path)
    (seal,) = store_path.glob("runs/*/*/run.json")
    relative = seal.relative_to(store_path).as_posix()
    _write(seal, b"{}")
    assert store.run(RUN).state is RunState.COMPLETED
    journal = store.begin(process_started(RUN, attempt=2))
    journal.take(RunFinished(state=RunState.FAILED, duration_seconds=1.0), AT)
    journal.close()
    assert store.seal(RUN).state is RunState.FAILED
    kinds = {problem.kind: problem.path for problem in store.verify().problems}
    assert kinds == dict.fromkeys(("seal_damaged", "seal_changed"), relative)
