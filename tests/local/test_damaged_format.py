"""A store whose FORMAT is damaged: what is said, and that the document's way out works."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

from instrument.clock import SystemClock
from instrument.errors import StoreError
from instrument.testing.samples import record_run
from instrument_local import LocalStore, open_store

RUN = "20260304-050607-0123456789ab"
DOCUMENT = Path(__file__).resolve().parents[2] / "docs" / "repair.md"


@pytest.fixture
def store(store_path: Path) -> LocalStore:
    store = open_store(store_path, SystemClock())
    record_run(store, RUN)
    store.seal(RUN)
    store.ledger.checkpoint()
    return store


def _damage(store_path: Path) -> bytes:
    path = store_path / "FORMAT"
    whole = path.read_bytes()
    path.unlink()
    path.write_bytes(b'{"format":1,"store_id":"\0\0\0\0\n')
    return whole


def test_it_is_told_what_was_found_what_should_be_there_and_what_to_do(
    store: LocalStore, store_path: Path
) -> None:
    _damage(store_path)
    with pytest.raises(StoreError) as caught:
        open_store(store_path, SystemClock())
    message = str(caught.value)
    assert "\n" not in message
    assert "\0" not in message
    for said in (
        f"{store_path / 'FORMAT'} is damaged",
        r"""it begins with b'{"format":1,"store_id":"\x00""",
        """should be {"format":1,"store_id":"<uuid>","check":"<sha256>"}""",
        "restore it from a copy",
        "docs/repair.md",
    ):
        assert said in message


def test_repair_says_so_in_one_line_and_changes_nothing(
    store: LocalStore, store_path: Path
) -> None:
    _damage(store_path)
    before = sorted((path, path.lstat().st_mtime_ns) for path in store_path.rglob("*"))
    command = [sys.executable, "-m", "instrument", "--store", str(store_path), "repair"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (3, "")
    assert done.stderr.startswith("error: ")
    assert done.stderr.count("\n") == 1
    assert sorted((path, path.lstat().st_mtime_ns) for path in store_path.rglob("*")) == before


def test_what_the_document_says_brings_the_file_back_byte_for_byte(
    store: LocalStore, store_path: Path
) -> None:
    whole = _damage(store_path)
    section = DOCUMENT.read_text("utf-8").split("## When FORMAT is damaged")[1]
    [recipe] = re.findall(r"```sh\n(.*?)```", section, re.DOTALL)
    subprocess.run(["sh", "-ec", recipe], cwd=store_path, check=True)
    assert (store_path / "FORMAT").read_bytes() == whole
    assert open_store(store_path, SystemClock()).verify().ok
