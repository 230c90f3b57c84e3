"""Directory trees: which files they hold, and the listing that names all of them at once.

The digest of a tree is the digest of its listing, and the listing is the exact text that
``sha256sum`` prints for the files in the order of the C locale. Empty directories, times and
permissions are not part of it.
"""

import os
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Final

from instrument.errors import NotFoundError, UsageError
from instrument.progress import Progress
from instrument.protocols import Objects
from instrument.vocabulary import File

_ESCAPES: Final = str.maketrans({"\\": r"\\", "\n": r"\n", "\r": r"\r"})


def put_tree(objects: Objects, root: Path) -> tuple[File, ...]:
    """Store every file under `root`; the files, sorted by path.

    Raises:
        UsageError: There is no file, or something that is neither file nor directory.
        NotFoundError: A file went away meanwhile, or a symlink points to nothing.
        StoreError: A file could not be stored.
    """
    found = files_under(root)
    if not found:
        raise UsageError(f"{root} holds no files; an artifact needs at least one")
    stored = put_with_progress(objects, root.name, list(found.values()))
    return tuple(
        File(path=path, digest=file.digest, size_bytes=file.size_bytes)
        for path, file in zip(found, stored, strict=True)
    )


def put_with_progress(objects: Objects, what: str, paths: Sequence[str | Path]) -> list[File]:
    """Store `paths` and show how it goes; see `Objects.put_files`."""
    total = lambda: sum(Path(path).stat().st_size for path in paths)  # noqa: E731 - one line
    with Progress(f"storing {what}", total) as progress:
        return objects.put_files(paths, progress.advance)


def files_under(root: Path) -> dict[str, str]:
    """Where each file under `root` lies, by its path in the tree, sorted by path.

    A symlink to a file counts as the file it points to.

    Raises:
        UsageError: There is a symlink to a directory, a FIFO, a socket or a device, or a name that
            is not UTF-8, or a directory cannot be read.
        NotFoundError: A symlink points to nothing, or in a ring.
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
                _refuse(entry)
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


def _entries(directory: str) -> "list[os.DirEntry[str]]":
    try:
        with os.scandir(directory) as entries:
            return list(entries)
    except OSError as error:
        raise UsageError(f"{directory} cannot be read: {error.strerror}") from error


def _checked_name(entry: "os.DirEntry[str]") -> str:
    name = entry.name
    if not name.isascii():
        try:
            name.encode()
        except UnicodeEncodeError:
            raise UsageError(f"{entry.path!r} has a name that is not UTF-8; rename it") from None
    return name


def _is_file(entry: "os.DirEntry[str]") -> bool:
    try:
        return entry.is_file()
    except OSError:  # a ring of symlinks
        return False


def _refuse(entry: "os.DirEntry[str]") -> None:
    if os.path.isdir(entry.path):  # noqa: PTH112 - a DirEntry is no Path
        raise UsageError(
            f"{entry.path} is a symlink to a directory; put the directory itself in its place"
        )
    if not os.path.exists(entry.path):  # noqa: PTH110 - a DirEntry is no Path
        raise NotFoundError(f"{entry.path} is a symlink that points to nothing")
    raise UsageError(f"{entry.path} is neither a file nor a directory; take it out of the tree")
