"""How a run passes to the processes that are started inside it: a variable, and a board.

``INSTRUMENT_HANDOVER=<run id>:<attempt>:<pid>:<part>:<board>`` is set while a run is open. A child
process reads it and takes part in that run: with ``adopt`` (under ``instrument run``) the first
`ExperimentContext` of the child *is* the run; with ``join`` (a worker of a run's own process) only
what is logged without a context of its own goes there, and a context opens a child run.

A variable says only what was so when the child began, and workers live longer than runs: joblib's,
a fork server's, those of any pool that is kept. So each process also puts up a *board*: a symbolic
link in a directory of the user's own whose text tells what it has open now. It is replaced at once
and read by one system call, before each record that a worker takes.
"""

import os
import sys
import threading
from contextlib import suppress
from pathlib import Path
from typing import Final, Literal, NamedTuple, TypeAlias, cast

from instrument.capture.launch import process_start
from instrument.guard import one_line, say
from instrument.naming import check_run_id

VARIABLE: Final = "INSTRUMENT_HANDOVER"
Part: TypeAlias = Literal["adopt", "join"]
_SEPARATOR: Final = "\n"
_MANY: Final = "*"
_MOST_DIGITS: Final = 18


class Handover(NamedTuple):
    """A run that another process handed to this one.

    Attributes:
        run_id: The run.
        attempt: Its attempt.
        pid: The process that handed it over.
        part: ``adopt`` or ``join``.
        board: Where that process tells what it has open; empty where it cannot.
        store: The store of the run; None: the one that the environment names.
        parent_run_id: The run around it, or None.
    """

    run_id: str
    attempt: int
    pid: int
    part: Part
    board: str = ""
    store: str | None = None
    parent_run_id: str | None = None

    def __str__(self) -> str:
        """The variable's value."""
        return f"{self.run_id}:{self.attempt}:{self.pid}:{self.part}:{self.board}"

    def stands(self) -> bool:
        """Whether the run is still open; True too where nobody can tell, as on another host."""
        board = _read(self.board) if self.board else None
        return board is None or self.run_id in board.run_ids or _MANY in board.run_ids


class Board(NamedTuple):
    """What a process has open.

    Attributes:
        present: The run that its workers belong to: the only one, or the innermost where each is
            nested in the one before; None where there is none or nobody can tell which.
        run_ids: All of them.
    """

    present: Handover | None
    run_ids: frozenset[str]


def received() -> Handover | None:
    """What `look` finds; where it fails there is none, which is told."""
    try:
        return look()
    except Exception as error:
        say(f"could not look for the run of the parent process: {one_line(error)}")
        return None


def look() -> Handover | None:
    """The run that this process was given a part in and that is open now, or None.

    The one that it began in, until that ends; then what the process that it works for has open, if
    there is exactly one. The process's own hand-over is none.
    """
    born = _from_environment()
    if born is not None and born.stands():
        return born
    boards = [_board_of(_employer())] if "multiprocessing.process" in sys.modules else []
    boards += [born.board] if born is not None else []
    found = (_read(board) for board in boards if board)
    return next((board.present for board in found if board and board.present), None)


def began_in_run() -> bool:
    """Whether a run was open when this process was started, which may have ended since."""
    return _from_environment() is not None


def employer_has() -> str:
    """What the process that this one works for has open, in words; empty for no worker."""
    pid = _employer() if "multiprocessing.process" in sys.modules else 0
    if not pid:
        return ""
    board = _read(_board_of(pid))
    if board is None or not board.run_ids:
        return f"its parent process {pid} has no run open now"
    return f"its parent process {pid} has {len(board.run_ids)} runs open side by side"


def _employer() -> int:
    """The process that started this one as a worker, also through a fork server; 0 for none."""
    parent = sys.modules["multiprocessing.process"].parent_process()
    return cast("int", parent.pid) if parent is not None else 0


def _from_environment() -> Handover | None:
    """The run that this process began in."""
    handed = _parsed(os.environ.get(VARIABLE, ""))
    if handed is not None and handed.pid == os.getpid():  # its own: what had been there before it?
        handed = _parsed(_before_own)
    return handed if handed is not None and handed.pid != os.getpid() else None


def unusable() -> list[str]:
    """The variable with its value, where that is nothing that a `Handover` says."""
    text = os.environ.get(VARIABLE, "")
    return [f"{VARIABLE}={text!r:.80}"] if text and _parsed(text) is None else []


def _parsed(text: str) -> Handover | None:
    """What a `Handover` says of itself; None for anything else."""
    run_id, attempt, pid, part, board = (*text.split(":", 4), "", "", "", "", "")[:5]
    if part not in {"adopt", "join"}:
        return None
    try:
        known = check_run_id(run_id), _number(attempt), _number(pid)
    except ValueError:  # `UsageError` is one
        return None
    return Handover(*known, cast("Part", part), board)


def _number(text: str) -> int:
    """The number that `text` is.

    Raises:
        ValueError: It is none that we write.
    """
    if not (text.isascii() and text.isdigit() and len(text) <= _MOST_DIGITS):
        raise ValueError(f"{text!r:.80} is no number")
    return int(text)


# --- the board ---------------------------------------------------------------------------------


def _board_of(pid: int) -> str:
    """Where process `pid` puts its board; no other process will ever have that name."""
    directory = os.environ.get("TMPDIR") or "/tmp"  # noqa: S108 - a directory of our own in it
    return f"{directory}/instrument-{os.getuid()}/{pid}-{process_start(pid) or 0}" if pid else ""


def _read(path: str) -> Board | None:
    """What is on a board; None where nobody can tell: on another host, or of one that died."""
    try:
        return _board(os.readlink(path), path)  # noqa: PTH115 - the hot path of a worker
    except OSError:
        return Board(None, frozenset()) if _lives_here(path) else None
    except ValueError:  # some other link
        return None


def _lives_here(path: str) -> bool:
    """Whether the process whose board would be at `path` is one of this host."""
    pid, _, start = path.rpartition("/")[2].partition("-")
    try:
        return str(process_start(_number(pid)) or 0) == start
    except ValueError:  # it is no path of a board
        return False


def _board(text: str, path: str) -> Board:
    """What `text`, the board at `path`, says.

    Raises:
        ValueError: It is no board.
    """
    present, ids, store = text.split(_SEPARATOR, 2)
    handed = None
    if present:
        run_id, attempt, pid = present.split(":")
        handed = Handover(run_id, _number(attempt), _number(pid), "join", path, store)
    return Board(handed, frozenset(ids.split()))


class _OwnBoard:
    """The board of this process."""

    def __init__(self) -> None:
        self._standing: list[Handover] = []
        self._lock = threading.Lock()
        self.path = ""

    def add(self, run: Handover) -> None:
        with self._lock:
            self._standing.append(run)
            self._show()

    def remove(self, run: Handover) -> None:
        with self._lock:
            self._standing = [one for one in self._standing if one.run_id != run.run_id]
            self._show()

    def prepare(self) -> str:
        """Its path; empty where it cannot be put up."""
        if not self.path:
            path = _board_of(os.getpid())
            directory = Path(path).parent
            with suppress(OSError):
                directory.mkdir(mode=0o700, exist_ok=True)
                kept = directory.lstat()
                if kept.st_uid == os.getuid() and not kept.st_mode & 0o022:
                    self.path = path
        return self.path

    def _show(self) -> None:
        if not self.path:
            return
        if not self._standing:
            Path(self.path).unlink(missing_ok=True)
            return
        with suppress(OSError):  # mostly nothing is up that would have to be replaced
            os.symlink(self._text(), self.path)  # noqa: PTH211 - as above
            return
        part = Path(f"{self.path}.part")
        part.unlink(missing_ok=True)
        try:
            part.symlink_to(self._text())
        except OSError:  # too many for one link
            part.symlink_to(self._text(many=True))
        part.replace(self.path)

    def _text(self, *, many: bool = False) -> str:
        present = self._present()
        ids = _MANY if many else " ".join(run.run_id for run in self._standing)
        if present is None:
            return f"{_SEPARATOR}{ids}{_SEPARATOR}"
        shown = f"{present.run_id}:{present.attempt}:{present.pid}"
        return f"{shown}{_SEPARATOR}{ids}{_SEPARATOR}{present.store}"

    def _present(self) -> Handover | None:
        last: Handover | None = None
        for run in self._standing:
            if last is not None and run.parent_run_id != last.run_id:
                return None
            last = run
        return last


_own = _OwnBoard()
_before_own = ""


def _after_fork_in_child() -> None:
    global _own  # noqa: PLW0603 - the parent's
    _own = _OwnBoard()


os.register_at_fork(after_in_child=_after_fork_in_child)


def own_board() -> str:
    """Where this process tells what it has open; empty where it cannot."""
    return _own.prepare()


class Offer:
    """Hands a run to child processes, and puts back exactly what it changed."""

    def __init__(self, handover: Handover, store: str) -> None:
        self.handover = handover._replace(store=store)
        self._values = {VARIABLE: str(handover), "INSTRUMENT_STORE": store}
        self._before: dict[str, str | None] = {}

    def make(self) -> None:
        """Set the variables and the board."""
        global _before_own  # noqa: PLW0603 - what this process began in
        before = os.environ.get(VARIABLE, "")
        handed = _parsed(before)
        if handed is None or handed.pid != os.getpid():
            _before_own = before
        for name, value in self._values.items():
            self._before[name] = os.environ.get(name)
            os.environ[name] = value
        _own.add(self.handover)

    def withdraw(self) -> None:
        """Restore them, unless somebody else has changed them since."""
        for name, before in self._before.items():
            if os.environ.get(name) != self._values[name]:
                continue
            if before is None:
                del os.environ[name]
            else:
                os.environ[name] = before
        self._before.clear()
        _own.remove(self.handover)
