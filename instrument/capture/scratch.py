"""A git directory of our own: it sees the objects of others and none of their configuration.

No conversion of content takes place in it (ends of lines, encodings, filters): what git is told
to compare or to write is the bytes themselves.
"""

import os
import re
import time
from collections.abc import Iterable
from pathlib import Path
from subprocess import DEVNULL, PIPE
from typing import Final

from instrument.capture.git import Git, succeed

_RAW: Final = "* -text !eol !ident !filter !working-tree-encoding !diff\n"
_SPECIAL = re.compile(rb'[\\"\n]')


class Scratch:
    """A new git directory at `git_dir`.

    Args:
        git_dir: Where it is made; must not exist.
        work_tree: The files that belong to it; None for none.
        objects: Directories of objects that it can read.
        is_sha256: Whether ids are SHA-256.
        limit_seconds: How long git may take in all.
    """

    def __init__(
        self,
        git_dir: Path,
        *,
        work_tree: Path | None = None,
        objects: Iterable[Path] = (),
        is_sha256: bool = False,
        limit_seconds: float,
    ) -> None:
        self.git_dir = git_dir
        self._deadline = time.monotonic() + limit_seconds
        self._environment = {
            "GIT_DIR": str(git_dir),
            "HOME": str(git_dir),
            "XDG_CONFIG_HOME": str(git_dir),
            "GIT_CONFIG_GLOBAL": os.devnull,
            "GIT_CONFIG_SYSTEM": os.devnull,
            "GIT_CONFIG_NOSYSTEM": "1",
            "GIT_CONFIG_COUNT": "0",
            "GIT_CONFIG_PARAMETERS": "",
            "GIT_ATTR_NOSYSTEM": "1",
        }
        if work_tree is not None:
            self._environment["GIT_WORK_TREE"] = str(work_tree)
        for name in ("info", "objects/info", "objects/pack", "refs/heads"):
            (git_dir / name).mkdir(parents=True)
        is_bare = "true" if work_tree is None else "false"
        config = f"[core]\n\trepositoryformatversion = {int(is_sha256)}\n\tbare = {is_bare}\n"
        config += "[fastimport]\n\tunpackLimit = 0\n"  # loosened, it would touch objects of others
        if is_sha256:
            config += "[extensions]\n\tobjectformat = sha256\n"
        (git_dir / "config").write_text(config)
        (git_dir / "HEAD").write_text("ref: refs/heads/main\n")
        (git_dir / "info" / "attributes").write_text(_RAW)
        self.alternates = git_dir / "objects" / "info" / "alternates"
        lines = [quoted(os.fsencode(directory)) + b"\n" for directory in objects]
        self.alternates.write_bytes(b"".join(lines))

    def git(self, *arguments: str, feed: bytes | None = None) -> bytes:
        """What git prints.

        Raises:
            OSError: It failed or took too long.
        """
        call = Git(
            self.git_dir.parent,
            *arguments,
            environment=self._environment,
            stdin=DEVNULL if feed is None else PIPE,
        )
        return succeed(call, self._deadline - time.monotonic(), feed)


def quoted(path: bytes) -> bytes:
    """`path` as git reads it in lists and streams."""
    escaped = _SPECIAL.sub(lambda m: b"\\n" if m[0] == b"\n" else b"\\" + m[0], path)
    return b'"' + escaped + b'"'
