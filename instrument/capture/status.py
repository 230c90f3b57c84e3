"""What ``git status --porcelain=v2 --branch -z`` says."""

import re
from typing import Final, NamedTuple

from instrument.guard import one_line
from instrument.settings import STORE_NAME

ARGUMENTS: Final = (
    "status", "--porcelain=v2", "--branch", "-z", "--untracked-files=normal",
    "--ignore-submodules=dirty", "--no-renames",
)  # fmt: skip
_COMMIT: Final = re.compile(r"\(initial\)|[0-9a-f]{40}|[0-9a-f]{64}")
_FIELDS_BEFORE_PATH: Final = {b"1": 8, b"u": 10, b"?": 1}
_GITLINK: Final = "160000"
_NOTHING: Final = "000000"


class Committed(NamedTuple):
    """What the commit has at a path.

    Attributes:
        mode: Mode in git's words, such as ``100644``.
        object_id: Id of the content.
    """

    mode: str
    object_id: str


class Change(NamedTuple):
    """One path that differs from the commit.

    Attributes:
        path: Relative to the root of the working tree; ends in a slash for a whole untracked
            directory.
        tracked: Whether git knows it.
        committed: What the commit has there; None when it has nothing, or `is_unmerged`.
        is_submodule: Whether it is a submodule.
        is_unmerged: Whether a merge left it in conflict.
    """

    path: bytes
    tracked: bool
    committed: Committed | None = None
    is_submodule: bool = False
    is_unmerged: bool = False


class Status(NamedTuple):
    """The state of a working tree.

    Attributes:
        commit: Full id, or None before the first commit.
        branch: Branch, or None when HEAD is detached.
        upstream: Branch that it follows, or None.
        ahead: Commits that the upstream does not have; None when it cannot be told.
        behind: Commits that only the upstream has; None when it cannot be told.
        changes: What differs from the commit; our own store is passed over.
    """

    commit: str | None
    branch: str | None
    upstream: str | None
    ahead: int | None
    behind: int | None
    changes: tuple[Change, ...]


def parse_status(output: bytes) -> Status:
    """The status that `output` spells (git-status(1), "Porcelain Format Version 2").

    Raises:
        OSError: It is no such answer, or not all of one: nothing is taken from it then.
    """
    try:
        return _parse(output)
    except (ValueError, LookupError) as error:
        raise OSError(f"the answer of git status cannot be read: {one_line(error)}") from error


def _parse(output: bytes) -> Status:
    headers: dict[bytes, str] = {}
    changes: list[Change] = []
    *lines, rest = output.split(b"\0")
    if rest:
        raise ValueError("it breaks off")
    for line in lines:
        kind = line[:1]
        if kind == b"#":
            name, _, value = line.removeprefix(b"# ").partition(b" ")
            headers[name] = value.decode(errors="backslashreplace")
        else:
            changes.append(_change(kind, line))
    commit, branch = headers.get(b"branch.oid", ""), headers.get(b"branch.head")
    if not _COMMIT.fullmatch(commit) or not branch:
        raise ValueError("the commit or the branch is not in it")
    ahead, behind = _distance(headers.get(b"branch.ab"))
    store = STORE_NAME.encode() + b"/"
    return Status(
        commit=None if commit == "(initial)" else commit,
        branch=None if branch == "(detached)" else branch,
        upstream=headers.get(b"branch.upstream"),
        ahead=ahead,
        behind=behind,
        changes=tuple(c for c in changes if c.tracked or not c.path.startswith(store)),
    )


def _distance(text: str | None) -> tuple[int | None, int | None]:
    """Ahead and behind, of ``+1 -2``; git may have been told not to count (``+? -?``)."""
    if text is None or "?" in text:
        return None, None
    ahead, behind = text.split(" ")
    return abs(int(ahead)), abs(int(behind))


def _change(kind: bytes, line: bytes) -> Change:
    before = _FIELDS_BEFORE_PATH.get(kind, 0)
    fields = line.split(b" ", before)
    if not before or len(fields) != before + 1:
        raise ValueError("a line in it is of no known kind")
    path = fields[-1]
    if kind == b"?":
        return Change(path, tracked=False)
    if kind == b"u":
        return Change(path, tracked=True, is_unmerged=True)
    mode, object_id = fields[3].decode(), fields[6].decode()
    return Change(
        path,
        tracked=True,
        committed=None if mode == _NOTHING else Committed(mode, object_id),
        is_submodule=_GITLINK in {mode, fields[5].decode()} or fields[2].startswith(b"S"),
    )
