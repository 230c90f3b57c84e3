"""A store that cannot be listed says so in one line, wherever it is asked.

A directory that is a link to itself fails as one on a network disk that went away does, for root as
well: with an error that is neither "not there" nor "no directory".
"""

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

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


def test_the_index_answers_again_when_the_store_does(filled: LocalStore) -> None:
    runs = Path(filled.location, "runs")
    _make_unlistable(runs)
    with pytest.raises(StoreError):
        instrument.runs(store=filled.location)
    runs.unlink()
    runs.with_name("runs-before").rename(runs)
    assert [run.id for run in instrument.runs(store=filled.location)] == [RUN]
