"""The Nth call that touches the store fails, or the process is killed in it.

As ``strace -f -e inject``, by the kernel's other door (seccomp's user notification): the calls of a
process and of all its threads wait for a supervisor, which lets each go on or answers with an
error. Two things that strace cannot do are needed here: a whole tree of paths (``strace -P`` takes
single files, and a journal's name is not known beforehand), and one count for all threads
(``when=N`` counts in each thread by itself). It needs no root, and a trial costs one fork.
"""

import ctypes
import os
import platform
import select
import signal
import socket
import struct
from contextlib import suppress
from pathlib import Path
from typing import Final, NamedTuple

_RETURN_ALLOW: Final = 0x7FFF0000
_RETURN_NOTIFY: Final = 0x7FC00000
_LOAD_NUMBER: Final = (0x20, 0, 0, 0)
_JUMP_EQUAL: Final = 0x15
_RETURN: Final = 0x06
_NEW_LISTENER: Final = 8
_NO_NEW_PRIVILEGES: Final = 38
_RECEIVE: Final = 0xC0502100
_SEND: Final = 0xC0182101
_CONTINUE: Final = 1
_NOTIFICATION: Final = struct.Struct("=QIIiIQ6Q")
_ANSWER: Final = struct.Struct("=QqiI")
_AT_FDCWD: Final = 0xFFFFFF9C


class Way(NamedTuple):
    """How one system call names its file.

    Attributes:
        number: Of the system call.
        fd: Which argument is the file's descriptor; None where it is named by a path.
        directory: Which argument is the directory that a relative path starts from.
        path: Which argument is the path.
    """

    number: int
    fd: int | None = None
    directory: int | None = None
    path: int | None = None


_X86: Final = {
    "write": [Way(1, fd=0), Way(18, fd=0), Way(20, fd=0), Way(326, fd=2)],  # also copy_file_range
    "fsync": [Way(74, fd=0)],
    "fdatasync": [Way(75, fd=0)],
    "close": [Way(3, fd=0)],
    "link": [Way(86, path=1), Way(265, directory=2, path=3)],
    "rename": [Way(82, path=1), Way(264, directory=2, path=3), Way(316, directory=2, path=3)],
    "openat": [Way(257, directory=0, path=1), Way(2, path=0)],
    "mkdir": [Way(83, path=0), Way(258, directory=0, path=1)],
    "unlink": [Way(87, path=0), Way(263, directory=0, path=1), Way(84, path=0)],
    "read": [Way(0, fd=0), Way(17, fd=0), Way(295, fd=0), Way(217, fd=0)],  # also getdents64
    "fallocate": [Way(285, fd=0)],
}
_ARM: Final = {
    "write": [Way(64, fd=0), Way(68, fd=0), Way(66, fd=0), Way(285, fd=2)],
    "fsync": [Way(82, fd=0)],
    "fdatasync": [Way(83, fd=0)],
    "close": [Way(57, fd=0)],
    "link": [Way(37, directory=2, path=3)],
    "rename": [Way(38, directory=2, path=3), Way(276, directory=2, path=3)],
    "openat": [Way(56, directory=0, path=1)],
    "mkdir": [Way(34, directory=0, path=1)],
    "unlink": [Way(35, directory=0, path=1)],
    "read": [Way(63, fd=0), Way(67, fd=0), Way(69, fd=0), Way(61, fd=0)],
    "fallocate": [Way(47, fd=0)],
}
_MACHINES: Final = {"x86_64": (317, _X86), "aarch64": (277, _ARM)}
_SECCOMP, WAYS = _MACHINES.get(platform.machine(), (0, {}))
CALLS: Final = tuple(WAYS)


class Fault(NamedTuple):
    """What happens to which call.

    Attributes:
        call: The call, a key of `WAYS`.
        number: Which of the calls to the store, from 1.
        code: The error; None for SIGKILL.
        times: How many calls from that one on fail.
    """

    call: str
    number: int
    code: int | None
    times: int = 1


class Supervisor:
    """Answers the calls of one process (and of what it starts) until it has ended.

    Args:
        fault: What goes wrong; None counts only.
        root: Only calls to what lies in this directory count.
    """

    def __init__(self, fault: Fault, root: Path) -> None:
        self._fault = fault
        self._root = os.fsencode(root)
        self._ways = {way.number: way for way in WAYS[fault.call]}
        self.calls = 0
        self.hits = 0

    def watch(self, listener: int, pid: int) -> int:
        """Answer until process `pid` ends; its exit code."""
        ended = os.pidfd_open(pid)
        poll = select.poll()
        poll.register(listener, select.POLLIN)
        poll.register(ended, select.POLLIN)
        try:
            while True:
                ready = dict(poll.poll())
                if ready.get(listener, 0) & select.POLLIN:
                    self._answer(listener, pid)
                elif ended in ready:
                    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
                else:  # nobody is left that could call
                    poll.unregister(listener)
        finally:
            os.close(ended)

    def _answer(self, listener: int, pid: int) -> None:
        buffer = bytearray(_NOTIFICATION.size)
        try:
            _ioctl(listener, _RECEIVE, buffer)
        except OSError:
            return  # the caller is gone
        identity, caller, _, number, _, _, *arguments = _NOTIFICATION.unpack(buffer)
        code, flags = 0, _CONTINUE
        if self._touches(caller, self._ways[number], arguments):
            self.calls += 1
            first = self._fault.number
            if first <= self.calls < first + self._fault.times:
                self.hits += 1
                if self._fault.code is None:
                    os.kill(pid, signal.SIGKILL)
                    return
                code, flags = -self._fault.code, 0
        with suppress(OSError):  # killed meanwhile
            _ioctl(listener, _SEND, bytearray(_ANSWER.pack(identity, 0, code, flags)))

    def _touches(self, caller: int, way: Way, arguments: list[int]) -> bool:
        try:
            path = _path(caller, way, arguments)
        except OSError:
            return False
        return path == self._root or path.startswith(self._root + b"/")


def _path(caller: int, way: Way, arguments: list[int]) -> bytes:
    if way.fd is not None:
        return _link(caller, f"fd/{arguments[way.fd] & 0xFFFFFFFF}")
    assert way.path is not None
    with Path(f"/proc/{caller}/mem").open("rb", buffering=0) as memory:
        memory.seek(arguments[way.path])
        name = memory.read(4096).partition(b"\0")[0]
    if name.startswith(b"/"):
        return name
    base = _AT_FDCWD if way.directory is None else arguments[way.directory] & 0xFFFFFFFF
    return _link(caller, "cwd" if base == _AT_FDCWD else f"fd/{base}") + b"/" + name


def _link(caller: int, name: str) -> bytes:
    return os.fsencode(Path(f"/proc/{caller}/{name}").readlink())


def let_supervise(call: str, channel: socket.socket) -> None:
    """In the process that is to suffer: from now on the calls wait for who reads `channel`."""
    numbers = [way.number for way in WAYS[call]]
    program = [_LOAD_NUMBER]
    for index, number in enumerate(numbers):
        program.append((_JUMP_EQUAL, len(numbers) - index, 0, number))
    program += [(_RETURN, 0, 0, _RETURN_ALLOW), (_RETURN, 0, 0, _RETURN_NOTIFY)]
    code = ctypes.create_string_buffer(b"".join(struct.pack("=HBBI", *line) for line in program))
    header = ctypes.create_string_buffer(struct.pack("@HP", len(program), ctypes.addressof(code)))
    _libc.prctl(_NO_NEW_PRIVILEGES, 1, 0, 0, 0)
    listener = _libc.syscall(_SECCOMP, 1, _NEW_LISTENER, header)
    if listener < 0:
        raise OSError(ctypes.get_errno(), "seccomp")
    socket.send_fds(channel, [b"."], [listener])
    with suppress(OSError):  # may be one of the calls that wait
        os.close(listener)
    channel.close()


def missing() -> str | None:
    """Why nothing can be injected here; None where it can."""
    if not WAYS:
        return f"the system calls of {platform.machine()} are not in the table"
    actions = Path("/proc/sys/kernel/seccomp/actions_avail")
    if not actions.exists() or "user_notif" not in actions.read_text():
        return "the kernel has no seccomp user notification"
    return None


def _ioctl(fd: int, request: int, buffer: bytearray) -> None:
    raw = (ctypes.c_char * len(buffer)).from_buffer(buffer)
    if _libc.ioctl(fd, ctypes.c_ulong(request), raw) < 0:
        raise OSError(ctypes.get_errno(), "ioctl")


_libc: Final = ctypes.CDLL(None, use_errno=True)
