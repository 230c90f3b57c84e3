"""Directory trees: which files they hold, and the listing that names all of them at once.

The digest of a tree is the digest of its listing, and the listing is the exact text that
``sha256sum`` prints for the files in the order of the C locale. Empty directories, times and
permissions are not part of it.
"""

import errno
import os
import time
from collections.abc import Iterable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Final

from instrument.errors import NotFoundError, StoreError
from instrument.progress import Progress
from instrument.protocols import Objects
from instrument.vocabulary import File

_ESCAPES: Final = str.maketrans({"\\": r"\\", "\n": r"\n", "\r": r"\r"})
_TRIES: Final = 3
_PAUSE_SECONDS: Final = 0.05  # whoever removes a directory is mostly done by then
_WENT_AWAY: Final = frozenset({errno.ENOENT, errno.ENOTDIR, errno.ESTALE})


class _GoneError(StoreError):
    """Something of a tree was there a moment ago; listed again, the tree may do without it."""


class _DanglingError(_GoneError):
    """A symlink points to nothing: for good, or since the two are being removed just now."""


def put_tree(objects: Objects, root: Path) -> tuple[File, ...]:
    """Store every file under `root`; the files, sorted by path.

    A tree that loses something while it is stored is listed and stored again, a few times.

    Raises:
        StoreError: There is no file, or something that cannot be stored (see `files_under`), or
            files went away again and again, or a file could not be stored.
    """
    for _ in range(_TRIES - 1):
        with suppress(_GoneError):
            return _put_once(objects, root)
        time.sleep(_PAUSE_SECONDS)
    try:
        return _put_once(objects, root)
    except _DanglingError as error:
        raise StoreError(str(error)) from error
    except _GoneError as error:
        raise StoreError(
            f"{root} kept changing while it was stored, {_TRIES} times ({error}); log it when "
            "nobody removes anything from it"
        ) from error


def put_with_progress(objects: Objects, what: str, paths: Sequence[str | Path]) -> list[File]:
    """Store `paths` and show how it goes; see `Objects.put_files`."""
    total = lambda: sum(map(_size, paths))  # noqa: E731 - one line
    with Progress(f"storing {what}", total) as progress:
        return objects.put_files(paths, progress.advance)


def files_under(root: Path) -> dict[str, str]:
    """Where each file under `root` lies, by its path in the tree, sorted by path.

    A symlink to a file counts as the file it points to.

    Raises:
        StoreError: There is a symlink to a directory, to nothing or in a ring, a FIFO, a socket or
            a device, or a name that is not UTF-8, or a directory cannot be read.
    """
    found = {}
    waiting = [("", str(root))]
    while waiting:
        prefix, directory = waiting.pop()
        for entry in _entries(directory):
            path = prefix + _checked_name(entry)
            if entry.is_file(follow_symlinks=False):
                found[path] = entry.path
            elif entry.is_dir(follow_symlinks=False):
                waiting.append((f"{path}/", entry.path))
            elif _is_file(entry):
                found[path] = os.path.realpath(entry.path)
            else:
                raise _refusal(entry)
    return {path: found[path] for path in sorted(found)}


def listing(files: Iterable[File]) -> bytes:
    """What ``sha256sum`` prints for `files`, which are sorted by path."""
    return "".join(map(_line, files)).encode()


def _line(file: File) -> str:
    path = file.path
    if path.isprintable() and "\\" not in path:  # nearly all; five times as fast
        return f"{file.digest[7:]}  {path}\n"
    escaped = path.translate(_ESCAPES)
    mark = "\\" if escaped != path else ""
    return f"{mark}{file.digest[7:]}  {escaped}\n"


def _put_once(objects: Objects, root: Path) -> tuple[File, ...]:
    found = files_under(root)
    if not found:
        raise StoreError(f"{root} holds no files; an artifact needs at least one")
    paths = list(found.values())
    try:
        stored = put_with_progress(objects, root.name, paths)
    except (NotFoundError, OSError) as error:
        if gone := _gone(error, paths):
            raise _GoneError(gone) from error
        raise
    return tuple(
        File(path=path, digest=file.digest, size_bytes=file.size_bytes)
        for path, file in zip(found, stored, strict=True)
    )


def _gone(error: NotFoundError | OSError, paths: Sequence[str]) -> str | None:
    """What `error` says where one of `paths` is no file any more; None where it says another thing.

    A store finds that out before it reads anything, or when it opens the file.
    """
    if isinstance(error, NotFoundError):
        return str(error).partition(";")[0]
    cause = error.__cause__ if isinstance(error, StoreError) else error
    if isinstance(cause, OSError) and cause.errno in _WENT_AWAY:
        path = str(cause.filename)
        return f"{path} is gone" if path in paths else None
    return None


def _size(path: str | Path) -> int:
    try:
        return os.stat(path).st_size  # noqa: PTH116 - takes a str too
    except OSError:  # storing it tells what is wrong with it
        return 0


def _entries(directory: str) -> "list[os.DirEntry[str]]":
    try:
        with os.scandir(directory) as entries:
            return list(entries)
    except OSError as error:
        if error.errno in _WENT_AWAY:
            raise _GoneError(f"{directory} is gone") from error
        raise StoreError(
            f"{directory} cannot be read: {error.strerror}; make it readable, or take it out of "
            "the tree"
        ) from error


def _checked_name(entry: "os.DirEntry[str]") -> str:
    name = entry.name
    if not name.isascii():
        try:
            name.encode()
        except UnicodeEncodeError:
            raise StoreError(f"{entry.path!r} has a name that is not UTF-8; rename it") from None
    return name


def _is_file(entry: "os.DirEntry[str]") -> bool:
    try:
        return entry.is_file()
    except OSError:  # a ring of symlinks
        return False


def _refusal(entry: "os.DirEntry[str]") -> StoreError:
    path = entry.path
    if os.path.isdir(path):  # noqa: PTH112 - a DirEntry is no Path
        return StoreError(
            f"{path} is a symlink to a directory; put the directory itself in its place"
        )
    if os.path.exists(path):  # noqa: PTH110 - a DirEntry is no Path
        return StoreError(f"{path} is neither a file nor a directory; take it out of the tree")
    if os.path.lexists(path):
        return _DanglingError(
            f"{path} is a symlink that points to nothing; take it out of the tree"
        )
    return _GoneError(f"{path} is gone")
