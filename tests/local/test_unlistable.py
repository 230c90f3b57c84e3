"""A store that cannot be listed says so in one line, wherever it is asked.

A directory that is a link to itself fails as one on a network disk that went away does, for root as
well: with an error that is neither "not there" nor "no directory".
"""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from cli.support import Result, as_ordinary_user, call

import instrument
from instrument.clock import SystemClock
from instrument.errors import StoreError
from instrument.testing.samples import draft, record_run
from instrument_local import LocalStore, open_store

RUN = "20260304-050607-0123456789ab"


@pytest.fixture
def filled(store_path: Path) -> LocalStore:
    store = open_store(store_path, SystemClock())
    store.put_bytes(b"weights")
    store.claim(draft("model", b"weights"))
    record_run(store, RUN)
    store.seal(RUN)
    return store


def _make_unlistable(directory: Path) -> None:
    directory.rename(directory.with_name(f"{directory.name}-before"))
    directory.symlink_to(directory)


QUESTIONS: dict[str, Callable[[Path], object]] = {
    "runs": lambda store: instrument.runs(store=store),
    "latest": lambda store: instrument.run(store=store),
    "prefix": lambda store: instrument.run(RUN[:12], store=store),
}


@pytest.mark.parametrize("question", QUESTIONS)
@pytest.mark.parametrize("part", ["runs", "runs/202603"])
def test_runs_that_cannot_be_listed(filled: LocalStore, part: str, question: str) -> None:
    assert QUESTIONS[question](Path(filled.location))
    _make_unlistable(Path(filled.location, part))
    with pytest.raises(StoreError) as caught:
        QUESTIONS[question](Path(filled.location))
    message = str(caught.value)
    assert "\n" not in message
    for said in (f"cannot list the runs of {filled.location}", "symbolic links", "check "):
        assert said in message


def test_packs_that_cannot_be_listed(filled: LocalStore) -> None:
    packs = Path(filled.location, "packs")
    packs.symlink_to(packs)
    with pytest.raises(StoreError, match="cannot list the runs"):
        instrument.runs(store=filled.location)


def test_artifacts_that_cannot_be_listed(filled: LocalStore) -> None:
    _make_unlistable(Path(filled.location, "artifacts"))
    with pytest.raises(StoreError, match="cannot list the artifacts of"):
        list(filled.artifacts())


def test_the_command_tells_it_in_one_line_and_exits_with_3(filled: LocalStore) -> None:
    _make_unlistable(Path(filled.location, "runs"))
    command = [sys.executable, "-m", "instrument", "--store", filled.location, "runs", "list"]
    for options in ([], ["--json"]):
        done = subprocess.run([*command, *options], capture_output=True, text=True, check=False)
        assert (done.returncode, done.stdout) == (3, "")
        assert done.stderr.startswith("error: cannot list the runs of ")
        assert done.stderr.count("\n") == 1


def _list(*options: str) -> Result:
    return call("runs", "list", *options, behind=as_ordinary_user())


@pytest.mark.parametrize("sealed", [True, False])
def test_runs_that_cannot_be_read_are_told_at_each_list(
    filled: LocalStore, store_path: Path, *, sealed: bool
) -> None:
    record_run(filled, "20260304-closed")
    if sealed:
        filled.seal("20260304-closed")
    directory = store_path / "runs/202603/20260304-closed"
    directory.chmod(0)
    try:
        for _ in range(2):  # when the index is made, and when it is there
            listed = _list("--json")
            assert (listed.code, [run["id"] for run in listed.json]) == (0, [RUN])
            assert listed.err == (
                "warning: 1 run cannot be read: 20260304-closed (Permission denied); "
                "`instrument verify` tells more\n"
            )
        assert _list("--where", "id ~ 'closed'").err.startswith("warning: 1 run cannot be read")
    finally:
        directory.chmod(0o700)
    listed = _list("--json")
    assert (len(listed.json), listed.err) == (2, "")


def test_of_many_runs_that_cannot_be_read_a_few_are_named(
    filled: LocalStore, store_path: Path
) -> None:
    for number in range(9):
        record_run(filled, f"20260304-{number}")
        (store_path / f"runs/202603/20260304-{number}").chmod(0)
    told = _list().err
    assert told.startswith("warning: 9 runs cannot be read: 20260304-0 (Permission denied), ")
    assert (told.count("Permission denied"), told.count("and 4 more")) == (5, 1)


def test_verify_tells_whose_it_is_that_another_may_not_read(
    filled: LocalStore, store_path: Path
) -> None:
    if os.getuid() != 0:
        pytest.skip("SKIPPED LOUDLY: only root gives files to another user")
    record_run(filled, "20260304-of-another")
    directory = store_path / "runs/202603/20260304-of-another"
    directory.chmod(0)
    os.chown(directory, 65534, 65534)
    problems = call("verify", "--json", behind=as_ordinary_user()).json["problems"]
    (found,) = [each["found"] for each in problems if each["kind"] == "unreadable"]
    assert found == "Permission denied: it belongs to user 65534, and you are user 0"


def test_a_run_that_has_only_just_begun_is_no_warning(filled: LocalStore, store_path: Path) -> None:
    (store_path / "runs/202603/20260304-new").mkdir()
    listed = call("runs", "list", "--json")
    assert (len(listed.json), listed.err) == (1, "")


def test_a_pack_that_can_be_read_again_is(filled: LocalStore, store_path: Path) -> None:
    filled.pack(everything=True)
    (pack,) = store_path.glob("packs/*.pack")
    pack.chmod(0)
    listed = _list("--json")
    assert (listed.json, "warning: 1 pack cannot be read" in listed.err) == ([], True)
    assert "no other run (store " in listed.err
    pack.chmod(0o600)
    listed = _list("--json")
    assert ([run["id"] for run in listed.json], listed.err) == ([RUN], "")


@pytest.mark.parametrize("place", ["", "inside/it"])
def test_a_store_that_may_not_be_read_is_not_taken_for_none(
    filled: LocalStore, store_path: Path, place: str
) -> None:
    user, store = as_ordinary_user(), ("--store", store_path / place)
    store_path.chmod(0)
    try:
        for command in (
            ["runs", "list"],
            ["verify"],
            ["ledger", "verify"],
            ["export", RUN, "-o", "x"],
        ):
            told = call(*store, *command, behind=user)
            assert (told.code, told.out) == (3, "")
            assert " cannot be read: Permission denied; " in told.err
        doctor = call(*store, "doctor", "--json", behind=user)
        checks = {each["name"]: each for each in doctor.json["checks"]}
        assert (doctor.code, checks["store"]["status"]) == (1, "failed")
        assert "cannot be read: Permission denied" in checks["store"]["detail"]
        lost = call(*store, "run", "--", "true", behind=user)
        assert (lost.code, lost.err.count("Permission denied")) == (0, 1)
        assert "there is no store" not in lost.err
    finally:
        store_path.chmod(0o700)


def test_the_index_answers_again_when_the_store_does(filled: LocalStore) -> None:
    runs = Path(filled.location, "runs")
    _make_unlistable(runs)
    with pytest.raises(StoreError):
        instrument.runs(store=filled.location)
    runs.unlink()
    runs.with_name("runs-before").rename(runs)
    assert [run.id for run in instrument.runs(store=filled.location)] == [RUN]
