"""What ``git status --porcelain=v2 --branch -z`` says."""

from typing import Final, NamedTuple

from instrument.settings import STORE_NAME

ARGUMENTS: Final = (
    "status", "--porcelain=v2", "--branch", "-z", "--untracked-files=normal",
    "--ignore-submodules=dirty", "--no-renames",
)  # fmt: skip
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
    """The status that `output` spells (git-status(1), "Porcelain Format Version 2")."""
    headers: dict[bytes, str] = {}
    changes: list[Change] = []
    for line in output.split(b"\0"):
        kind = line[:1]
        if kind == b"#":
            _, name, value = line.split(b" ", 2)
            headers[name] = value.decode(errors="backslashreplace")
        elif kind in _FIELDS_BEFORE_PATH:
            changes.append(_change(kind, line))
    commit = headers.get(b"branch.oid", "(initial)")
    branch = headers.get(b"branch.head", "(detached)")
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
    """Ahead and behind, of ``+1 -2``."""
    if text is None:
        return None, None
    ahead, behind = text.split(" ")
    return abs(int(ahead)), abs(int(behind))


def _change(kind: bytes, line: bytes) -> Change:
    fields = line.split(b" ", _FIELDS_BEFORE_PATH[kind])
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
