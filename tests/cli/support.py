"""The command as its users have it: a process of its own; and a way to fill a store for it."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
import pytest

from instrument.protocols import Draft, Store
from instrument.records import (
    ArtifactLogged,
    ArtifactUsed,
    CodeCaptured,
    EnvironmentCaptured,
    Metrics,
    Params,
    ProcessFinished,
    ProcessStarted,
    RunFinished,
    RunStarted,
    SeedsRecorded,
)
from instrument.vocabulary import ArtifactVersion, GitState, RunState

BEGAN = datetime(2026, 11, 21, 4, 0, tzinfo=UTC)


class Result(NamedTuple):
    """What a command did."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        """Stdout, which must be exactly one JSON value."""
        return json.loads(self.out)


Cli = Callable[..., Result]


def call(
    *arguments: object,
    env: Mapping[str, str | None] | None = None,
    cwd: Path | None = None,
    stdin: str | None = None,
    behind: Sequence[str] = (),
) -> Result:
    """Run ``instrument ARGUMENTS``.

    Args:
        *arguments: The command line.
        env: Variables to add; None takes one away.
        cwd: Where to run it; here by default.
        stdin: What is piped to it; by default it has the one of the tests.
        behind: What starts it: `as_ordinary_user()`, for one.
    """
    variables: dict[str, str | None] = {**os.environ, **(env or {})}
    done = subprocess.run(
        [*behind, sys.executable, "-m", "instrument", *map(str, arguments)],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
        cwd=cwd,
        input=stdin,
        env={name: value for name, value in variables.items() if value is not None},
    )
    return Result(done.returncode, done.stdout, done.stderr)


def as_ordinary_user() -> list[str]:
    """What makes root a user whom permissions stop."""
    if os.getuid() != 0:
        return []
    if shutil.which("setpriv") is None:
        pytest.skip("SKIPPED LOUDLY: needs setpriv, or another user than root")
    return ["setpriv", "--inh-caps=-all", "--bounding-set=-dac_override,-dac_read_search"]


class Writer:
    """Puts runs and artifacts into a store as a recorder would, with chosen ids and times."""

    def __init__(self, store: Store) -> None:
        self.store = store
        self._minutes = 0

    def artifact(self, name: str, content: bytes, **fields: Any) -> ArtifactVersion:
        """A version of `name` with one file."""
        path = Path("given", f"{name}.bin")
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(content)
        file = self.store.put_file(path)
        given = {"type": "other", "format": None, "run_id": None, **fields}
        return self.store.claim(
            Draft(
                name=name,
                digest=file.digest,
                size_bytes=file.size_bytes,
                files=(file,),
                is_tree=False,
                created_at=BEGAN,
                **given,
            )
        )

    def damage(self, version: ArtifactVersion) -> None:
        """Change the stored bytes of `version`, as a broken disk would."""
        lies = self.store.path_of(version.digest)
        assert lies is not None
        lies.chmod(0o644)
        lies.write_bytes(b"changed")

    def run(
        self,
        run_id: str,
        *,
        name: str = "baseline",
        params: Mapping[str, Any] | None = None,
        metrics: Mapping[str, float | str] | None = None,
        state: RunState = RunState.COMPLETED,
        packages: Mapping[str, str] | None = None,
        uses: tuple[ArtifactVersion, ...] = (),
        makes: tuple[ArtifactVersion, ...] = (),
        seed: int | None = 42,
        commit: str = "a" * 40,
    ) -> None:
        """A finished run."""
        self._minutes += 1
        at = BEGAN + timedelta(minutes=self._minutes)
        journal = self.store.begin(
            ProcessStarted(
                run_id=run_id, attempt=1, rank=0, world_size=1, owner=True, writer_id="0" * 32,
                host="box", boot_id=None, pid=self._minutes, process_start=None,
                command=("python", "train.py"), directory="/home/u", python="3.11.7", user="u",
                recorder_version="0.1.0",
            )
        )  # fmt: skip
        snapshot = {"level": 2, "packages": dict(packages or {"torch": "2.5.0"})}
        records = [
            RunStarted(
                name=name, project="digits", tags=("a",), function=None, parent_run_id=None,
                session_id=None, capture_level=2,
            ),
            Params(values=dict(params or {"lr": 0.1}), source="config"),
            CodeCaptured(git=GitState(commit=commit, branch="main", dirty=False)),
            SeedsRecorded(seed=seed, set_in=("random",), states={}, flags={}),
            EnvironmentCaptured(
                level=2, snapshot=self.store.put_bytes(msgspec.json.encode(snapshot)), health=()
            ),
            *(
                ArtifactUsed(ref=v.ref, type=v.type, digest=v.digest, requested=v.name)
                for v in uses
            ),
            Metrics(values=dict(metrics or {"accuracy": 0.9}), step=0),
            *(
                ArtifactLogged(ref=v.ref, type=v.type, digest=v.digest, size_bytes=v.size_bytes)
                for v in makes
            ),
            RunFinished(state=state, duration_seconds=12.5, exit_code=None),
            ProcessFinished(lost=0, overhead={"blocking_seconds": 0.01}),
        ]  # fmt: skip
        for record in records:
            journal.take(record, at)
        journal.close()
        self.store.seal(run_id)
