"""A git (or a wrapper of it) that leaves processes behind, which hold its pipes open."""

import os
import shutil
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from instrument.capture.git import Git


@pytest.fixture
def wrapped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A git first in PATH, whose body the test writes; what it leaves behind ends with the test."""
    real = shutil.which("git")
    assert real is not None
    wrapper = tmp_path / "bin" / "git"
    wrapper.parent.mkdir()
    monkeypatch.setenv("PATH", f"{wrapper.parent}:{os.environ['PATH']}")
    monkeypatch.setenv("REAL_GIT", real)
    monkeypatch.setenv("ENOUGH", str(tmp_path / "enough"))
    wrapper.touch(mode=0o755)
    yield wrapper
    (tmp_path / "enough").touch()


STAYING = 'for i in $(seq 400); do [ -e "$ENOUGH" ] && break; sleep 0.1; done'


def test_its_answer_counts_though_its_pipes_stay_open(wrapped: Path) -> None:
    wrapped.write_text(f'#!/bin/sh\n({STAYING}) &\nexec "$REAL_GIT" "$@"\n')
    began = time.monotonic()
    with Git(Path("/"), "version") as call:
        answer = call.output(2)
    assert answer.code == 0
    assert answer.out.startswith(b"git version")
    assert time.monotonic() - began < 30  # and not for as long as the other process lives


def test_the_limit_holds_though_a_child_of_it_keeps_its_pipes(wrapped: Path) -> None:
    wrapped.write_text(f"#!/bin/sh\n({STAYING}) &\nwait\n")
    began = time.monotonic()
    with pytest.raises(TimeoutError), Git(Path("/"), "version") as call:
        call.output(0.5)
    assert time.monotonic() - began < 30
