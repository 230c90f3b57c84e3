"""The source of the running script, for code that lies in no repository."""

import os
import stat
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Final, NamedTuple

from instrument.capture.literals import holds_secret
from instrument.capture.manifest import EXECUTABLE, REGULAR, RedactedLines
from instrument.capture.secret_lines import redacted_lines, secret_parts, without

MAX_BYTES: Final = 1_000_000


class Script(NamedTuple):
    """A script.

    Attributes:
        path: Where it lies.
        mode: Its mode in git's words.
        content: Its bytes, without secrets; None when they are not to be kept.
        reason: Why not; None when they are.
        redacted: From which lines a secret was removed.
    """

    path: Path
    mode: str
    content: bytes | None
    reason: str | None
    redacted: tuple[RedactedLines, ...] = ()


def read_script(directory: Path, command: Sequence[str] | None) -> Script | None:
    """The script that runs from `directory`; None for a notebook, a prompt, ``python -c``.

    Args:
        directory: Where the code is.
        command: The command that is recorded, when that is another process than this one.
    """
    try:
        path = _script(directory, command)
    except OSError:  # the directory was removed
        path = None
    if path is None:
        return None
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        with os.fdopen(descriptor, "rb") as file:
            mode = os.fstat(descriptor).st_mode
            content = file.read(MAX_BYTES + 1) if stat.S_ISREG(mode) else b""
    except OSError as error:
        return Script(path, REGULAR, None, f"it cannot be read: {error.strerror}")
    kind = EXECUTABLE if mode & stat.S_IXUSR else REGULAR
    if not stat.S_ISREG(mode):
        return Script(path, kind, None, "it is not a file")
    if len(content) > MAX_BYTES:
        return Script(path, kind, None, f"it is larger than {MAX_BYTES / 1e6:g} MB")
    parts = secret_parts(content)
    content = without(content, parts)
    if parts and holds_secret(content):
        return Script(path, kind, None, "it looks as if it holds a secret")
    return Script(path, kind, content, None, redacted_lines(parts))


def _script(directory: Path, command: Sequence[str] | None) -> Path | None:
    """The file that is run: of this process, or the first that `command` names."""
    if command is not None:
        named = (directory / argument for argument in command if argument.endswith(".py"))
        return next((path for path in named if path.is_file()), None)
    file = getattr(sys.modules.get("__main__"), "__file__", None)
    path = Path(os.path.realpath(file)) if file else None
    return path if path and path.parent == Path(os.path.realpath(directory)) else None
