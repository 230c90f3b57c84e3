"""Lock files beside the code: what the project meant to have installed."""

import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import Final

from instrument.canonical import digest_of_bytes
from instrument.capture.code import code_directory
from instrument.capture.parts import NotKnown
from instrument.capture.repository import find_repository
from instrument.redaction import REDACTED, printable, redact_text
from instrument.redaction.forms import holds_form
from instrument.redaction.known import holds_known

MAX_BYTES: Final = 20_000_000
_NAMES = re.compile(
    r"(uv|poetry|pdm|pixi|Pipfile)\.lock|[\w.-]*requirements[\w.-]*\.(txt|lock)|pylock.*\.toml"
    r"|(.*\.)?conda-lock\.yml|environment[\w.-]*\.ya?ml"
)
_SIGNED_URL = re.compile(r"://[^/\s\"']*@|://\S*[?]")
_TOKEN_IN_CHANNEL = re.compile(r"(://[^/\s]+/t/)[^/\s]+/")


def lock_files(keep: Callable[[bytes], str] | None = None) -> dict[str, str]:
    """Digest of each lock file in the code's directory and at the root of its repository.

    Credentials in it are removed first; the digest is of what is kept.

    Args:
        keep: Stores the bytes as an object and returns their digest; without it nothing is stored.
    """
    directory = code_directory()
    repository = find_repository(directory)
    root = repository.root if repository and repository.root else directory
    found = {
        printable(path.relative_to(root).as_posix()): (keep or digest_of_bytes)(content)
        for place in {root, directory}
        for path in place.iterdir()
        if _NAMES.fullmatch(path.name) and (content := _content(path)) is not None
    }
    if not found:
        raise NotKnown("there is no lock file beside the code")
    return dict(sorted(found.items()))


def without_secrets(text: str) -> str:
    """`text` without credentials in URLs and without tokens of known forms.

    Only lines that may hold one are looked at closely: ``google-auth==2.1`` is no secret.
    """
    lines = (
        redact_text(line) if _may_hold_secret(line) else line
        for line in text.splitlines(keepends=True)
    )
    return _TOKEN_IN_CHANNEL.sub(rf"\1{REDACTED}/", "".join(lines))


def _may_hold_secret(line: str) -> bool:
    return _SIGNED_URL.search(line) is not None or holds_form(line) or holds_known(line)


def _content(path: Path) -> bytes | None:
    """The safe content of a regular file that is not too large; a pipe is not waited for."""
    try:
        if not path.is_file() or path.stat().st_size > MAX_BYTES:
            return None
        return without_secrets(os.fsdecode(path.read_bytes())).encode("utf-8", "surrogateescape")
    except OSError:
        return None
