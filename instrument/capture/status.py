"""What ``git status --porcelain=v2 --branch -z`` says."""

from typing import Final, NamedTuple

from instrument.settings import STORE_NAME

ARGUMENTS: Final = (
    "status", "--porcelain=v2", "--branch", "-z", "--untracked-files=normal",
    "--ignore-submodules=none", "--no-renames",
)  # fmt: skip
_FIELDS_BEFORE_PATH: Final = {b"1": 8, b"u": 10, b"?": 1}
_NO_OBJECT: Final = frozenset(b"0")


class Change(NamedTuple):
    """One path that differs from the commit.

    Attributes:
        path: Relative to the root of the working tree; ends in a slash for a whole untracked
            directory.
        tracked: Whether git knows it.
        committed: Id of the content in the commit, or None when it has none there.
        is_submodule: Whether it is a submodule.
    """

    path: bytes
    tracked: bool
    committed: str | None = None
    is_submodule: bool = False


class Status(NamedTuple):
    """The state of a working tree.

    Attributes:
        commit: Full id, or None before the first commit.
        branch: Branch, or None when HEAD is detached.
        changes: What differs from the commit; our own store is passed over.
    """

    commit: str | None
    branch: str | None
    changes: tuple[Change, ...]


def parse_status(output: bytes) -> Status:
    """The status that `output` spells (git-status(1), "Porcelain Format Version 2")."""
    headers: dict[bytes, bytes] = {}
    changes: list[Change] = []
    for line in output.split(b"\0"):
        kind = line[:1]
        if kind == b"#":
            _, name, value = line.split(b" ", 2)
            headers[name] = value
        elif kind in _FIELDS_BEFORE_PATH:
            changes.append(_change(kind, line))
    commit = headers.get(b"branch.oid", b"(initial)").decode()
    branch = headers.get(b"branch.head", b"(detached)").decode(errors="backslashreplace")
    store = STORE_NAME.encode() + b"/"
    return Status(
        commit=None if commit == "(initial)" else commit,
        branch=None if branch == "(detached)" else branch,
        changes=tuple(c for c in changes if c.tracked or not c.path.startswith(store)),
    )


def _change(kind: bytes, line: bytes) -> Change:
    fields = line.split(b" ", _FIELDS_BEFORE_PATH[kind])
    path = fields[-1]
    if kind == b"?":
        return Change(path, tracked=False)
    is_submodule = fields[2].startswith(b"S")
    committed = fields[6] if kind == b"1" else fields[8]
    exists = not set(committed) <= _NO_OBJECT
    return Change(
        path,
        tracked=True,
        committed=committed.decode() if exists else None,
        is_submodule=is_submodule,
    )
