"""The file systems that a run works on: their kinds, options and sizes."""

import os
import re
from pathlib import Path
from typing import Any, NamedTuple

from instrument import settings
from instrument.capture.parts import NotKnown
from instrument.capture.system_files import unescaped
from instrument.redaction import printable, redact_url

_LEFT_OUT = re.compile(
    r"(?i)(pass|password2?|passwd|secret|token|\w*key|credentials)="  # secrets
    r"|(lowerdir|upperdir|workdir)="  # the layers of a container: other ones in each
)


class _Mount(NamedTuple):
    """One mounted file system."""

    point: str
    kind: str
    source: str
    options: set[str]


def disks(root: Path = Path("/")) -> dict[str, Any]:
    """The file system of the working directory, the store, the data and the temporary files.

    The data is where Hugging Face keeps data sets and models, if there is such a directory.

    Args:
        root: Where /proc lies.
    """
    mounts = _mounts(root)
    reasons: dict[str, str] = {}
    found: dict[str, Any] = {}
    for name, directory in _directories().items():
        if directory is None:
            found[name] = None
            reasons[name] = "the directory was removed, or there is none"
            continue
        found[name] = _file_system(directory, mounts)
        if found[name] is None:
            reasons[name] = "no mount point holds it"
    return {**found, "reasons": reasons}


def _directories() -> dict[str, str | None]:
    return {
        "working_directory": _existing(_working_directory()),
        "store": _nearest(_store()),
        "data": _existing(_data_directory()),
        "temporary": _existing(os.environ.get("TMPDIR") or "/tmp"),  # noqa: S108 - looked at, not used
    }


def _working_directory() -> str | None:
    try:
        return os.getcwd()  # noqa: PTH109 - a string is wanted
    except OSError:
        return None


def _store() -> str | None:
    try:
        return os.fspath(settings.resolve().store)
    except OSError:  # it depends on a working directory that was removed
        return None


def _data_directory() -> str:
    for name in ("HF_DATASETS_CACHE", "HF_HOME"):
        if os.environ.get(name):
            return os.environ[name]
    cache = os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache")  # noqa: PTH111 - never raises
    return os.path.join(cache, "huggingface")  # noqa: PTH118 - a string is wanted


def _existing(directory: str | None) -> str | None:
    return os.path.realpath(directory) if directory and os.path.isdir(directory) else None  # noqa: PTH112 - a string


def _nearest(path: str | None) -> str | None:
    """`path`, or what is there of it so far."""
    path = os.path.realpath(path) if path else None
    while path and not os.path.isdir(path) and path != "/":  # noqa: PTH112 - a string
        path = os.path.dirname(path)  # noqa: PTH120 - a string
    return path


def _file_system(directory: str, mounts: list[_Mount]) -> dict[str, Any] | None:
    holding = [m for m in mounts if f"{directory}/".startswith(m.point.rstrip("/") + "/")]
    if not holding:
        return None
    # The deepest one counts, and of several on one point the last.
    mount = max(enumerate(holding), key=lambda pair: (len(pair[1].point), pair[0]))[1]
    return {
        "file_system": mount.kind,
        "source": mount.source,
        "options": sorted(mount.options),
        "total_bytes": _total_bytes(directory),
    }


def _total_bytes(directory: str) -> int | None:
    try:
        told = os.statvfs(directory)
    except OSError:
        return None
    return told.f_blocks * told.f_frsize or None


def _mounts(root: Path) -> list[_Mount]:
    """What is mounted, in order (proc_pid_mountinfo(5))."""
    try:
        text = (root / "proc/self/mountinfo").read_text(errors="surrogateescape")
    except OSError as error:
        raise NotKnown("/proc/self/mountinfo is not readable") from error
    return [mount for line in text.splitlines() if (mount := _mount(line)) is not None]


def _mount(line: str) -> _Mount | None:
    before, _, after = line.partition(" - ")
    fields, rest = before.split(), after.split()
    if len(fields) < 6 or len(rest) < 3:  # noqa: PLR2004 - not a line of this file
        return None
    options = {*fields[5].split(","), *rest[2].split(",")}
    return _Mount(
        point=unescaped(fields[4]),
        kind=printable(rest[0]),
        source=redact_url(printable(unescaped(rest[1]))),
        options={printable(o) for o in options if not _LEFT_OUT.match(o)},
    )
