"""Threads of ours are begun only where there is memory for them."""

import subprocess
import sys
import threading

import pytest

from instrument import threads

SHORT_OF_MEMORY = """
import os, resource, threading
from instrument import threads
used = int(open("/proc/self/statm").read().split()[0]) * os.sysconf("SC_PAGE_SIZE")
resource.setrlimit(resource.RLIMIT_AS, (used + (3 << 20), used + (3 << 20)))
try:
    threads.start(threading.Thread(target=print, args=("begun",)))
except MemoryError as error:
    os.write(1, str(error).encode())
"""


def test_a_thread_is_begun() -> None:
    done = threading.Event()
    threads.start(threading.Thread(target=done.set, daemon=True))
    assert done.wait(10)


def test_where_there_is_no_room_for_a_thread_none_is_begun() -> None:
    command = [sys.executable, "-c", SHORT_OF_MEMORY]
    result = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    assert (result.stdout, result.stderr) == ("there is no memory for another thread", "")


def test_a_thread_that_dies_before_it_begins_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(threads, "BEGIN_SECONDS", 0.05)
    thread = threading.Thread(target=print, name="stillborn", daemon=True)
    monkeypatch.setattr(thread, "_bootstrap", lambda: None)
    with pytest.raises(RuntimeError, match="stillborn did not begin"):
        threads.start(thread)
