"""Reads of data: which files a call reads, and what came of them.

The outermost call is the read: `pandas.read_parquet` calls pyarrow, and is told once.
"""

import os
import re
from collections.abc import Iterable, Iterator, Mapping
from glob import has_magic, iglob
from itertools import islice
from pathlib import Path
from typing import Any, Final
from urllib.parse import unquote, urlsplit

from instrument.intercept import session
from instrument.intercept.content import MAX_FILES
from instrument.intercept.diverting import caller
from instrument.intercept.facts import MAX_TEXT
from instrument.intercept.loads import Begin, End, Load, LoadCall, current_load, path_of
from instrument.intercept.repeats import is_news
from instrument.intercept.targets import Target

MAX_COLUMNS: Final = 200
_READERS: Final = "datasets."  # a stream of this library reads when it is iterated
_URL: Final = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+::?//|[a-z]+::")
_HIDDEN: Final = (".", "_")


class ReadCall(LoadCall, frozen=True):
    """What stands around a call that reads data.

    `argument` is a path, a glob, a URL, an open file, bytes, or a list of such. Inside another load
    or read the call is a part of that.
    """

    def _start(self, instance: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Load | None:
        if current_load() is not None or _is_called_by_a_reader():
            return None
        found = session.find()
        if found is None:
            return None
        requested = self.requested(args, kwargs)
        name = self.loader if isinstance(self.loader, str) else self.loader(instance)
        if not is_news(found, name, _one_file(requested)):
            return None
        load = Load(self.kind, name, requested, found, None)
        if self.begin is not None:
            self.begin(load, args, kwargs)
        elif not is_elsewhere(load, kwargs):
            read_all(load, requested)
        return load


def read_of(
    reader: str,
    argument: str,
    end: End | None = None,
    *,
    begin: Begin | None = None,
    position: int = 0,
) -> ReadCall:
    """What stands around the call `reader` that reads data; see `ReadCall`.

    Args:
        reader: The name of the call.
        argument: The argument that says what is read.
        end: Adds what the result says.
        begin: Adds the files, where it is not `argument` that names them.
        position: How many arguments come before `argument`.
    """
    return ReadCall("data", reader, argument, begin, end, position=position)


def readers(library: str, end: End, arguments: Mapping[str, str]) -> tuple[Target, ...]:
    """The functions of the module `library` that read data.

    Args:
        library: The module.
        end: Adds what the result says.
        arguments: For each function the argument that says what is read; it is the first one.
    """
    return tuple(
        Target(library, function, read_of(f"{library}.{function}", argument, end))
        for function, argument in arguments.items()
    )


def read_all(load: Load, source: Any) -> None:
    """`load` reads `source`, whatever it is: see `ReadCall`."""
    if isinstance(source, (list, tuple, set)):
        for each in source:
            read_all(load, each)
    elif not isinstance(source, (str, os.PathLike)):
        load.reads(source)
    elif _is_url(source):
        _read_url(load, str(source))
    else:
        for path in _files(_at_home(source)):
            load.reads(path)


def columns(schema: Iterable[tuple[Any, Any]]) -> dict[str, str]:
    """Names and types of columns, as a record has them: not more than `MAX_COLUMNS`."""
    return {
        str(name)[:MAX_TEXT]: str(kind)[:MAX_TEXT] for name, kind in islice(schema, MAX_COLUMNS)
    }


def is_elsewhere(load: Load, kwargs: Mapping[str, Any]) -> bool:
    """Whether the call names a file system that is not the machine's own."""
    system = kwargs.get("filesystem")
    kind = getattr(system, "type_name", None) or getattr(system, "protocol", None)
    if system is None or "local" in str(kind) or "file" in str(kind):
        return False
    load.content.skip(f"was read through {type(system).__name__}, which is no local file system")
    return True


def _is_called_by_a_reader() -> bool:
    """Whether the call is one of a library's own, for a read that was told when it began."""
    frame = caller()
    return frame is not None and str(frame.f_globals.get("__name__")).startswith(_READERS)


def _one_file(source: Any) -> str | None:
    """The path of what may be a single file."""
    if isinstance(source, str):
        return None if _is_url(source) else os.path.abspath(_at_home(source))  # noqa: PTH100 - a glob
    return path_of(source)


def _at_home(source: Any) -> str:
    """`source`, where ``~`` is the user's home."""
    return os.path.expanduser(os.fsdecode(source))  # noqa: PTH111 - a glob is no Path


def _is_url(source: Any) -> bool:
    return _URL.match(os.fsdecode(source)) is not None


def _read_url(load: Load, url: str) -> None:
    parts = urlsplit(url)
    if parts.scheme == "file":
        load.reads(unquote(parts.path))
    else:
        load.content.skip(f"was read from a URL ({parts.scheme}), which has no file here")


def _files(path: str) -> Iterator[Any]:
    """The files that `path` means: of a directory its parts, of a glob what matches."""
    if Path(path).is_dir():
        yield from islice(_under(path), MAX_FILES + 1)
    elif has_magic(path) and not Path(path).exists():
        matches = filter(os.path.isfile, iglob(path, recursive=True))  # noqa: PTH207 - as it is given
        yield from islice(sorted(matches), MAX_FILES + 1)
    else:
        yield path


def _under(directory: str) -> Iterator[Path]:
    for folder, folders, names in os.walk(directory):
        folders[:] = sorted(name for name in folders if not name.startswith(_HIDDEN))
        for name in sorted(names):
            if not name.startswith(_HIDDEN):
                yield Path(folder, name)
