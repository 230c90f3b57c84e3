"""T24: two versions of the program on one store, the older one out of this repository's history.

The older is that which made the golden store `format-1`: it knows nothing of what was added to the
format since. Both write, and each reads what the other wrote.
"""

import io
import json
import os
import re
import shutil
import subprocess
import sys
import tarfile
import time
from pathlib import Path
from typing import Any, Final

import pytest

from instrument_local.stamps import stamp, unstamp

ROOT: Final = Path(__file__).parents[2]
TWO_DAYS: Final = 2 * 86_400
PROGRAM: Final = """
import sys
from pathlib import Path
import instrument
who, source = sys.argv[1:]
assert Path(instrument.__file__).is_relative_to(source), instrument.__file__
for number in range(3):
    with instrument.ExperimentContext({"number": number}, name=who):
        instrument.log_metrics({"loss": 1 / (number + 1)}, step=0)
        Path("weights").write_text(f"{who} {number}")
        instrument.log_artifact("model", "model", file_path="weights")
        instrument.log_artifact("shared", "dataset", {"the same": number})
        instrument.use_artifact("shared:v1")
"""

KILLED: Final = """
import os, signal
import instrument
with instrument.ExperimentContext({"lr": 1}, name="dies"):
    instrument.log_metrics({"loss": 0.5}, step=0)
    print("recorded", flush=True)
    os.kill(os.getpid(), signal.SIGKILL)
"""
FIELDS: Final = """
import json
from msgspec.structs import fields
from instrument import audit, records, summary
kinds = {
    str(kind.__struct_config__.tag or kind.__name__): kind
    for kind in (*records.KINDS.values(), *audit.Event.__subclasses__(), summary.RunSummary)
}
print(json.dumps({name: [each.name for each in fields(kind)] for name, kind in kinds.items()}))
"""
# A version's file has it beside the fields of the type.
NO_FIELD: Final = {"in_ledger"}
_NAME: Final = re.compile(r"`(\w+)`")


class Version:
    """A version of the program, by its source.

    Args:
        source: Where `instrument/` and `backends/` lie.
        work: A directory to run in.
    """

    def __init__(self, source: Path, work: Path) -> None:
        self._source = source
        self._work = work
        work.mkdir()

    def record(self, who: str, program: str = PROGRAM) -> subprocess.Popen[str]:
        """Begin a program that records; without a `program` one that records three runs."""
        return self._start("-c", program, who, str(self._source))

    def says(self, *arguments: str, exit_code: int = 0) -> str:
        """What a command prints, on both channels."""
        process = self._start("-m", "instrument", *arguments)
        out, err = process.communicate()
        assert process.returncode == exit_code, (arguments, out, err)
        assert "Traceback" not in err
        return out + err

    def reads(self, *arguments: str) -> Any:
        return json.loads(self.says(*arguments, "--json"))

    def fields(self) -> dict[str, list[str]]:
        """The fields of each kind of record and event, and of a seal's summary."""
        out, err = self._start("-c", FIELDS).communicate()
        assert not err
        found: dict[str, list[str]] = json.loads(out)
        return found

    def _start(self, *arguments: str) -> subprocess.Popen[str]:
        path = os.pathsep.join([str(self._source), str(self._source / "backends")])
        return subprocess.Popen(
            [sys.executable, *arguments],
            cwd=self._work,
            env={**os.environ, "PYTHONPATH": path},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )


@pytest.fixture(scope="module")
def history(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The source of the version that made the golden store."""
    added = _git("log", "--diff-filter=A", "--format=%H", "--", "tests/golden/format-1/FORMAT")
    first = added.decode().split()[-1:]
    # In a shallow copy the commit that it begins with seems to add everything.
    if not first or _git("ls-tree", *first, "--", "tests/golden/whole-1"):
        pytest.skip("SKIPPED LOUDLY: this copy of the repository has no history to take it from")
    archive = _git("archive", *first, "instrument", "backends")
    path = tmp_path_factory.mktemp("older")
    with tarfile.open(fileobj=io.BytesIO(archive)) as tar:
        tar.extractall(path, filter="data")
    return path


def _git(*arguments: str) -> bytes:
    done = subprocess.run(["git", "-C", str(ROOT), *arguments], capture_output=True, check=False)
    return done.stdout


@pytest.fixture
def older(history: Path, tmp_path: Path) -> Version:
    return Version(history, tmp_path / "older")


@pytest.fixture
def newer(tmp_path: Path) -> Version:
    return Version(ROOT, tmp_path / "newer")


def _finish(*processes: subprocess.Popen[str]) -> None:
    for process in processes:
        out, err = process.communicate()
        assert (process.returncode, err) == (0, ""), out


def _known(version: Version) -> tuple[set[tuple[str, str]], dict[str, tuple[str, tuple[str, ...]]]]:
    """The runs with their states; digest and aliases of each version of an artifact."""
    runs = {(run["id"], run["state"]) for run in version.reads("runs", "list")}
    artifacts = {
        f"{each['name']}:v{each['version']}": (each["digest"], tuple(sorted(each["aliases"])))
        for each in version.reads("artifacts", "list")
    }
    return runs, artifacts


def test_both_record_at_once_and_each_reads_what_both_wrote(older: Version, newer: Version) -> None:
    _finish(older.record("older"), newer.record("newer"))
    older.says("artifacts", "tag", "model:v1", "first")
    newer.says("artifacts", "tag", "model:v2", "second")
    newer.says("artifacts", "rollback", "model", "v3", "--why", "worse")
    runs, artifacts = _known(newer)
    assert _known(older) == (runs, artifacts)
    assert [state for _, state in runs] == ["COMPLETED"] * 6
    assert sorted(artifacts) == [
        *(f"model:v{number}" for number in range(1, 7)),
        *(f"shared:v{number}" for number in range(1, 4)),
    ]
    for version in (older, newer):
        version.says("verify")
        version.says("ledger", "verify")
    assert "nothing to repair" in newer.says("repair")


def test_what_one_holds_packs_and_lets_go_the_other_knows(
    older: Version, newer: Version, store_path: Path
) -> None:
    _finish(newer.record("newer"))
    held, gone, *_ = sorted(run["id"] for run in newer.reads("runs", "list"))
    newer.says("hold", "set", held, "--until", "2999-01-01", "--why", "the law")
    newer.says("runs", "delete", gone, "--why", "asked to", "--yes")
    newer.says("store", "pack", "--all")
    _finish(older.record("older"))
    older.says("store", "pack", "--all")
    past = time.time() - TWO_DAYS
    for path in store_path.rglob("*"):
        os.utime(path, (past, past))
    assert "the law" in older.says("hold", "list")
    refused = older.says("runs", "delete", held, "--why", "no", "--yes", exit_code=1)
    assert "the law" in refused
    refused = older.says("gc", "--keep", "last=1", "--yes", exit_code=1)
    assert "forbids" in refused
    older.says("gc", "--keep", "last=1", "--keep", "held", "--yes", "--why", "space")
    assert _known(older) == _known(newer)
    for version in (older, newer):
        version.says("verify")
        version.says("ledger", "verify")
    assert gone not in {run for run, _ in _known(newer)[0]}


def test_what_one_leaves_in_a_crash_the_other_closes(older: Version, newer: Version) -> None:
    for one, other in ((older, newer), (newer, older)):
        program = one.record("dies", KILLED)
        assert program.communicate()[0] == "recorded\n"
        other.says("repair")
        (run, *_) = newer.reads("runs", "list")
        assert (run["state"], run["metrics"]) == ("INTERRUPTED", {"loss": 0.5})
        for version in (older, newer):
            version.says("verify")


def test_bundles_go_both_ways(
    older: Version, newer: Version, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for way, one, other in (("up", older, newer), ("down", newer, older)):
        monkeypatch.setenv("INSTRUMENT_STORE", str(tmp_path / way / "from"))
        _finish(one.record("bundled"))
        runs, artifacts = _known(one)
        bundle = str(tmp_path / f"{way}.bundle")
        one.says("export", *sorted(run for run, _ in runs), "-o", bundle)
        monkeypatch.setenv("INSTRUMENT_STORE", str(tmp_path / way / "to"))
        other.says("import", bundle)
        assert _known(other) == (runs, artifacts)
        newer.says("verify")


def test_a_newer_format_is_refused_by_the_older_version_and_left_as_it_is(
    older: Version, newer: Version, store_path: Path
) -> None:
    _finish(newer.record("newer"))
    form = store_path / "FORMAT"
    raised = unstamp(form.read_bytes()).replace(b'"format":1', b'"format":2')
    form.unlink()
    form.write_bytes(stamp(raised))
    before = _contents(store_path)
    for arguments in (["verify"], ["repair"], ["runs", "list"], ["gc", "--unreferenced", "--yes"]):
        assert "install a newer" in older.says(*arguments, exit_code=3)
    # A user's program runs all the same.
    assert "install a newer" in older.says("run", "--", sys.executable, "-c", "pass")
    assert _contents(store_path) == before


def _contents(path: Path) -> dict[str, bytes]:
    files = [each for each in path.rglob("*") if each.is_file()]
    return {str(each.relative_to(path)): each.read_bytes() for each in files}


def test_the_document_tells_all_that_was_added_and_what_lacks_it(
    older: Version, newer: Version
) -> None:
    before, added = older.fields(), set[str]()
    for kind, fields in newer.fields().items():
        added |= set(fields) - set(before[kind]) if kind in before else {kind}
    document = (ROOT / "docs/store-format.md").read_text(encoding="utf-8")
    table = document.partition("\n## How the format grows\n")[2].partition("\n## ")[0]
    told = {name for row in table.splitlines() for name in _NAME.findall(row.rpartition(" | ")[0])}
    assert told == added | NO_FIELD


def test_an_earlier_move_put_there_again_is_found_where_moves_are_told(
    older: Version, newer: Version, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for version, exit_code in ((newer, 1), (older, 0)):
        store = tmp_path / str(exit_code)
        monkeypatch.setenv("INSTRUMENT_STORE", str(store))
        _finish(version.record("any"))
        for ref in ("model:v1", "model:v2"):
            version.says("artifacts", "tag", ref, "best")
        newer.says("ledger", "verify")
        shutil.copy(store / "artifacts/model/best@1.json", store / "artifacts/model/best@3.json")
        assert newer.reads("artifacts", "list")[0]["aliases"] == ["best"]
        newer.says("ledger", "verify", exit_code=exit_code)
