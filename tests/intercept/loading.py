"""What the tests of loads share: small models, and what a run says it loaded."""

import subprocess
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from instrument import ExperimentContext
from instrument.records import ContentIdentified, DataRead, LoadsCounted, ModelLoaded, Problem


@dataclass
class Loads:
    """What a run recorded of its loads."""

    loaded: list[ModelLoaded] = field(default_factory=list)
    read: list[DataRead] = field(default_factory=list)
    content: dict[int, ContentIdentified] = field(default_factory=dict)
    counted: list[LoadsCounted] = field(default_factory=list)
    problems: list[Problem] = field(default_factory=list)

    def of(self, load: ModelLoaded | DataRead) -> ContentIdentified:
        return self.content[load.load_id]

    def files(self, load: ModelLoaded | DataRead) -> dict[str, str]:
        return {file.path: file.digest for file in self.of(load).files}


def loads_of(work: Callable[[], Any]) -> Loads:
    """What is recorded of `work`, done in a run."""
    with ExperimentContext(name="loads", monitor_hardware=False, capture_level=1) as run:
        work()
    return loads_in(run)


def loads_in(run: ExperimentContext) -> Loads:
    assert run.store is not None
    found = Loads()
    for entry in run.store.entries(run.id):
        record = entry.record
        if isinstance(record, ModelLoaded):
            found.loaded.append(record)
        elif isinstance(record, DataRead):
            found.read.append(record)
        elif isinstance(record, ContentIdentified):
            found.content[record.load_id] = record
        elif isinstance(record, LoadsCounted):
            found.counted.append(record)
        elif isinstance(record, Problem):
            found.problems.append(record)
    return found


def sha256sum(*paths: Path | str, cwd: Path | None = None) -> str:
    """What ``sha256sum`` prints."""
    command = ["sha256sum", *map(str, paths)]
    return subprocess.run(command, check=True, capture_output=True, text=True, cwd=cwd).stdout


def digest(path: Path) -> str:
    return f"sha256:{sha256sum(path).split()[0]}"


def digest_of_tree(root: Path, *names: str) -> str:
    """By hand: ``sha256sum FILES | sha256sum``, the files in the order of the C locale."""
    listing = sha256sum(*sorted(names), cwd=root)
    done = subprocess.run(
        ["sha256sum"], input=listing, check=True, capture_output=True, text=True
    ).stdout
    return f"sha256:{done.split()[0]}"
