"""Finding what is installed, and reading the heads of its metadata.

`importlib.metadata` parses whole files as e-mail messages: 25 to 80 times slower than this. What is
found, and which of several wins, is the same.
"""

import os
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Final, NamedTuple

_HEAD_BYTES: Final = 1024  # name and version stand in the first lines
_USUAL = re.compile(rb"Metadata-Version: [\d.]+\nName: (\S+)\nVersion: (\S+)\n")
_SEPARATORS = re.compile(r"[-_.]+")
_LEFT_BY_PIP: Final = "~"  # of a package that could not be removed


class Found(NamedTuple):
    """Where a distribution's metadata lies.

    Attributes:
        name: Its name as the file system has it.
        version: Likewise; None where the name of the directory does not tell.
        path: The file with its metadata; inside an archive the path goes on behind the archive's.
        archive: The archive that it lies in, or None.
    """

    name: str
    version: str | None
    path: str
    archive: str | None = None


def normalised(name: str) -> str:
    """`name` as PEP 503 compares it."""
    return _SEPARATORS.sub("-", name).lower()


def distributions() -> Iterator[Found]:
    """What is installed, in the order in which Python would find it."""
    for entry in dict.fromkeys(sys.path):
        directory = entry or os.curdir
        try:
            names = os.listdir(directory)  # noqa: PTH208 - names, and fast
        except NotADirectoryError:
            yield from _in_archive(directory)
        except OSError:  # not there
            continue
        else:
            yield from _in_directory(directory, names)


def read_head(found: Found) -> tuple[str, str | None]:
    """Name and version as the metadata spells them, else as its directory does."""
    start = _head(found)
    usual = _USUAL.match(start)
    if usual:
        return usual[1].decode(errors="replace"), usual[2].decode(errors="replace")
    text = b"\n" + start.replace(b"\r\n", b"\n")
    head = text.partition(b"\n\n")[0] + b"\n"
    return (
        _field(head, b"\nName:") or found.name,
        _field(head, b"\nVersion:") or found.version,
    )


def read_beside(found: Found, name: str) -> bytes | None:
    """The file `name` beside the metadata; None where there is none that can be read."""
    if found.archive is not None:
        path = found.path[len(found.archive) + 1 :].rpartition("/")[0]
        return _read_from_archive(found.archive, f"{path}/{name}")
    try:
        descriptor = os.open(
            f"{found.path.rpartition('/')[0]}/{name}", os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC
        )
        with open(descriptor, "rb") as file:  # noqa: PTH123 - it is open: a pipe must not be waited for
            return file.read()
    except OSError:
        return None


def _in_directory(directory: str, names: list[str]) -> Iterator[Found]:
    for name in names:
        if name.endswith((".dist-info", ".egg-info")) and not name.startswith(_LEFT_BY_PIP):
            yield _found(directory, name)
    if directory.endswith(".egg") and "EGG-INFO" in names:
        stem = os.path.basename(directory).removesuffix(".egg")  # noqa: PTH119 - a string
        yield _egg(stem, f"{directory}/EGG-INFO/PKG-INFO")


def _found(directory: str, entry: str) -> Found:
    path = f"{directory}/{entry}"
    if entry.endswith(".dist-info"):
        name, _, version = entry.removesuffix(".dist-info").partition("-")
        return Found(name, version or None, f"{path}/METADATA")
    is_directory = os.path.isdir(path)  # noqa: PTH112 - a string, and fast
    return _egg(entry.removesuffix(".egg-info"), f"{path}/PKG-INFO" if is_directory else path)


def _egg(stem: str, path: str, archive: str | None = None) -> Found:
    name, _, version = stem.partition("-")
    return Found(name, version.partition("-py")[0] or None, path, archive)


def _head(found: Found) -> bytes:
    if found.archive is not None:
        path = found.path[len(found.archive) + 1 :]
        return (_read_from_archive(found.archive, path) or b"")[:_HEAD_BYTES]
    try:
        descriptor = os.open(found.path, os.O_RDONLY | os.O_NONBLOCK)  # a pipe is not waited for
        try:
            return os.read(descriptor, _HEAD_BYTES)
        finally:
            os.close(descriptor)
    except OSError:
        return b""


def _field(head: bytes, name: bytes) -> str | None:
    start = head.find(name)
    if start < 0:
        return None
    start += len(name)
    return head[start : head.index(b"\n", start)].decode(errors="replace").strip() or None


def _in_archive(archive: str) -> Iterator[Found]:
    """What a zip archive on `sys.path` brings along."""
    import zipfile

    try:
        with zipfile.ZipFile(archive) as opened:
            names = opened.namelist()
    except (OSError, zipfile.BadZipFile):
        return
    for name in names:
        directory, _, file = name.partition("/")
        if file == "METADATA" and directory.endswith(".dist-info"):
            yield _found(archive, directory)._replace(archive=archive)
        elif file == "PKG-INFO" and directory.endswith(".egg-info"):
            yield _egg(directory.removesuffix(".egg-info"), f"{archive}/{name}", archive)
        elif name == "EGG-INFO/PKG-INFO":
            yield _egg(Path(archive).stem, f"{archive}/{name}", archive)


def _read_from_archive(archive: str, path: str) -> bytes | None:
    import zipfile

    try:
        with zipfile.ZipFile(archive) as opened:
            return opened.read(path)
    except (OSError, KeyError, zipfile.BadZipFile):
        return None
