"""Many processes at once, each with the store to itself as far as it knows."""

import subprocess
import sys
from pathlib import Path

import pytest
from local import writer

from instrument.clock import SystemClock
from instrument.naming import parse_reference
from instrument.vocabulary import RunState
from instrument_local import open_store

CLAIM = """
import sys
from pathlib import Path
from instrument.clock import SystemClock
from instrument.testing.samples import draft
from instrument_local import open_store

store = open_store(Path(sys.argv[1]), SystemClock())
content = sys.argv[2].encode()
store.put_bytes(content)
sys.stdin.read()  # all start together, when the parent closes the pipe
print(store.claim(draft("model", content)).version)
"""


def _claim_together(store: Path, contents: list[str]) -> list[int]:
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", CLAIM, str(store), content],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for content in contents
    ]
    for process in processes:
        assert process.stdin is not None
        process.stdin.close()
    versions = []
    for process in processes:
        assert process.stdout is not None
        versions.append(int(process.stdout.read()))
        process.stdout.close()
        assert process.wait() == 0
    return versions


def test_ten_processes_get_ten_versions(store_path: Path) -> None:
    contents = [f"content {number}" for number in range(10)]
    versions = _claim_together(store_path, contents)
    assert sorted(versions) == list(range(1, 11))
    store = open_store(store_path, SystemClock())
    kept = [version.digest for version in store.artifacts("model")]
    assert len(set(kept)) == 10
    for content, number in zip(contents, versions, strict=True):
        assert store.get_bytes(kept[number - 1]) == content.encode()
    assert store.resolve(parse_reference("model")).version == 10
    assert store.verify().problems == ()


def test_ten_processes_with_the_same_content_get_one_version(store_path: Path) -> None:
    assert _claim_together(store_path, ["same"] * 10) == [1] * 10
    store = open_store(store_path, SystemClock())
    assert len(list(store.artifacts())) == 1
    result = store.verify()
    assert (result.objects, result.problems) == (1, ())


@pytest.mark.slow
@pytest.mark.faults
def test_sixty_four_processes_on_one_name_lose_nothing_and_make_nothing_twice(
    store_path: Path,
) -> None:
    contents = [f"content {number // 2}" for number in range(64)]
    versions = _claim_together(store_path, contents)
    store = open_store(store_path, SystemClock())
    kept = {version.version or 0: version.digest for version in store.artifacts("model")}
    assert sorted(kept) == list(range(1, 33))
    assert len(set(kept.values())) == 32
    assert versions[::2] == versions[1::2]
    for content, number in zip(contents, versions, strict=True):
        assert store.get_bytes(kept[number]) == content.encode()
    assert store.verify().problems == ()
    assert list(store_path.glob("tmp/*")) == []


def test_ten_processes_record_one_run_and_ten_others(store_path: Path) -> None:
    runs = ["20260101-shared"] * 10 + [f"20260102-{number}" for number in range(10)]
    processes = [
        subprocess.Popen([sys.executable, writer.__file__, str(store_path), run_id, "200"])
        for run_id in runs
    ]
    assert [process.wait() for process in processes] == [0] * 20
    store = open_store(store_path, SystemClock())
    assert len(list(store.entries("20260101-shared"))) == 10 * 202
    assert len(store.runs()) == 11
    assert {run.state for run in store.runs()} == {RunState.COMPLETED}
    assert store.verify().problems == ()
