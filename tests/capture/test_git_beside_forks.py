"""git is asked in threads, while the program forks workers that live for long."""

import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from instrument.capture.git import Git


@pytest.mark.skipif(sys.platform == "win32", reason="fork")
def test_a_worker_that_is_forked_while_git_is_started_does_not_hold_its_pipes(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    execute: Any = subprocess.Popen._execute_child  # type: ignore[attr-defined]
    begun = threading.Event()

    def slow(*arguments: Any) -> None:  # the pipes are there, and git is not
        begun.set()
        time.sleep(0.5)
        execute(*arguments)

    monkeypatch.setattr(subprocess.Popen, "_execute_child", slow)
    answers: list[bytes] = []
    asking = threading.Thread(
        target=lambda: answers.append(Git(Path("/"), "version").output(20).out), daemon=True
    )
    asking.start()
    assert begun.wait(20)
    worker = os.fork()
    if worker == 0:
        time.sleep(60)
        os._exit(0)
    asking.join(10)
    answered = list(answers)
    os.kill(worker, signal.SIGKILL)
    os.waitpid(worker, 0)
    asking.join(20)
    assert [answer[:11] for answer in answered] == [b"git version"]
