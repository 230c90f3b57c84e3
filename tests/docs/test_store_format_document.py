"""docs/store-format.md is what the types say, and what it tells people to type works."""

import re
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest

from instrument import ExperimentContext
from instrument.clock import SystemClock
from instrument.records import KINDS
from instrument_local import LocalStore, open_store

DOCS = Path(__file__).parents[2] / "docs"
DOCUMENT = (DOCS / "store-format.md").read_text(encoding="utf-8")
NEEDED = ("bash", "jq", "sha256sum")
ESCAPED = ("a\\b", "two\nlines", "cr\rcr", "Sub/all\\\n\r\\n of it")
"""Names that `sha256sum` does not write as they are."""

needs_tools = pytest.mark.skipif(
    not all(map(shutil.which, NEEDED)), reason=f"needs {', '.join(NEEDED)}"
)


def test_the_document_is_up_to_date(tmp_path: Path) -> None:
    copy = tmp_path / "docs"
    shutil.copytree(DOCS, copy)
    subprocess.run([sys.executable, str(copy / "store_format.py")], check=True)
    written = (copy / "store-format.md").read_text(encoding="utf-8")
    assert written == DOCUMENT, "run `make docs`"


def test_every_kind_of_record_has_its_section() -> None:
    sections = re.findall(r"^### `(\w+)`$", DOCUMENT, re.MULTILINE)
    assert sections == list(KINDS)


@pytest.fixture
def recorded(store_path: Path, tmp_path: Path) -> Path:
    """A store with a run, a file and a tree, an alias and metrics."""
    tree = tmp_path / "tree"
    (tree / "Sub").mkdir(parents=True)
    for name in ("b.txt", "a é.txt", "Sub/c.txt", "empty", *ESCAPED):
        (tree / name).write_text(name if name != "empty" else "")
    with ExperimentContext({"lr": 0.1}, name="by-hand", monitor_hardware=False) as run:
        run.log_metrics({"loss": 0.5}, step=0)
        run.log_artifact("tree", "dataset", file_path=tree)
        run.log_artifact("one", "other", data="text of one")
        run.log_checkpoint({"state": 1}, step=0, best=True)
    return store_path


def test_everything_in_a_store_has_its_place_and_mode_in_the_layout(store_path: Path) -> None:
    with ExperimentContext(name="open", monitor_hardware=False) as run:
        run.log_artifact("one", "other", data="text of one")
        deadline = time.monotonic() + 60
        while not list(store_path.glob("open/*.reserve")) and time.monotonic() < deadline:
            time.sleep(0.02)
        modes = {
            path.relative_to(store_path).as_posix(): (path.is_dir(), path.stat().st_mode & 0o777)
            for path in store_path.rglob("*")
            if path.parent.name != "tmp"  # on its way to another place, in the background
        }
    layout = re.findall(r"^(\S.*?)  ", DOCUMENT.partition("\n## Layout\n")[2], re.MULTILINE)
    tops = {line.partition("/")[0] for line in layout}
    assert {path.partition("/")[0] for path in modes} <= tops
    opened = {Path(line).suffix for line in layout if line.startswith("open/")}
    assert {Path(path).suffix for path in modes if path.startswith("open/")} == opened
    for path, (is_directory, mode) in modes.items():
        assert mode == (0o700 if is_directory else 0o444 if path[:8] == "objects/" else 0o600), path


@needs_tools
def test_the_checks_say_nothing_of_a_good_store(recorded: Path) -> None:
    assert checks(recorded) == dict.fromkeys(commands("Check by hand"), "")


@needs_tools
def test_the_checks_say_nothing_of_a_store_that_lacks_most_of_its_directories(
    recorded: Path, tmp_path: Path
) -> None:
    bundle = tmp_path / "b"
    source, theirs = open_store(recorded, SystemClock()), tmp_path / "theirs"
    assert isinstance(source, LocalStore)
    source.bundles.export([run.id for run in source.runs()], bundle)
    LocalStore(theirs, SystemClock()).bundles.import_(bundle)
    assert not (theirs / "runs").exists()
    assert checks(theirs) == dict.fromkeys(commands("Check by hand"), "")
    for each in recorded.iterdir():
        if each.is_dir() and each.name != "objects":
            shutil.rmtree(each)
    for path in recorded.glob("objects/*/*"):
        path.unlink()
    assert checks(recorded) == dict.fromkeys(commands("Check by hand"), "")
    shutil.rmtree(recorded / "objects")
    assert checks(recorded) == dict.fromkeys(commands("Check by hand"), "")


@needs_tools
@pytest.mark.parametrize(
    ("pattern", "says"),
    [
        ("objects/*/*", "changed"),
        ("artifacts/one/v1.json", "changed"),
        ("artifacts/tree/v1.json", "wrong digest"),
        ("artifacts/checkpoint_*/best@1.json", "changed"),
        ("runs/*/*/run.json", "changed"),
        ("runs/*/*/*.jsonl", "was changed"),
        ("FORMAT", "changed"),
    ],
)
def test_the_checks_find_a_changed_byte(recorded: Path, pattern: str, says: str) -> None:
    target = max(recorded.glob(pattern), key=lambda path: path.stat().st_size)
    data = bytearray(target.read_bytes())
    digit = max(data.find(b"sha256:"), 0) + len("sha256:")
    data[digit] = ord("1") if data[digit] != ord("1") else ord("2")
    target.chmod(0o600)
    target.write_bytes(data)
    assert says in "".join(checks(recorded).values())


@needs_tools
def test_the_checks_find_a_line_cut_off_the_end(recorded: Path) -> None:
    (journal,) = recorded.glob("runs/*/*/*.jsonl")
    journal.write_bytes(b"".join(journal.read_bytes().splitlines(keepends=True)[:-1]))
    assert "FAILED" in "".join(checks(recorded).values())


@needs_tools
def test_metrics_and_bytes_can_be_read_by_hand(recorded: Path) -> None:
    (run,) = (path.name for path in recorded.glob("runs/*/*"))
    metrics, content, _ = commands("Read by hand")
    assert output(recorded, f"RUN={run}; {metrics}") == '[0,{"loss":0.5}]\n'
    assert "text of one" in output(recorded, f"NAME=one; {content}")


@needs_tools
@pytest.mark.skipif(shutil.which("zstd") is None, reason="needs zstd")
def test_packs_can_be_checked_and_unpacked_by_hand(recorded: Path) -> None:
    files = {path: path.read_bytes() for path in recorded.glob("runs/*/*/*")}
    assert len(files) == 2
    open_store(recorded, SystemClock()).pack(everything=True)
    assert not list(recorded.glob("runs/*/*"))
    assert output(recorded, commands("Read by hand")[-1]) == ""
    assert {path: path.read_bytes() for path in recorded.glob("runs/*/*/*")} == files
    assert checks(recorded) == dict.fromkeys(commands("Check by hand"), "")
    (pack,) = recorded.glob("packs/*")
    pack.write_bytes(pack.read_bytes()[:-1] + b" ")
    assert "FAILED" in "".join(checks(recorded).values())


def commands(heading: str) -> list[str]:
    """The blocks of code under `heading`, each as a command for the shell."""
    section = DOCUMENT.partition(f"\n## {heading}\n")[2].partition("\n## ")[0]
    blocks = re.findall(r"^```(sh|python)\n(.*?)^```", section, re.MULTILINE | re.DOTALL)
    return [
        code if kind == "sh" else f"{sys.executable} - <<'END'\n{code}END\n"
        for kind, code in blocks
    ]


def checks(store: Path) -> dict[str, str]:
    """What each of the commands to check by hand says."""
    return {command: output(store, command) for command in commands("Check by hand")}


def output(store: Path, command: str) -> str:
    done = subprocess.run(
        ["bash", "-c", command], cwd=store, capture_output=True, text=True, check=False
    )
    return done.stdout + done.stderr
