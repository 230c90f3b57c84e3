"""Shared libraries that this process has loaded."""

from pathlib import Path

from instrument.capture.parts import NotKnown
from instrument.redaction import printable

_MAPS = Path("/proc/self/maps")
_PATH_FIELD = 5


def loaded_libraries() -> list[str]:
    """Paths of the libraries outside Python's own extension modules, sorted."""
    try:
        text = _MAPS.read_text(errors="surrogateescape")
    except OSError as error:
        raise NotKnown(f"{_MAPS} is not readable") from error
    paths = set()
    for line in text.splitlines():
        fields = line.split(maxsplit=_PATH_FIELD)
        path = fields[_PATH_FIELD] if len(fields) > _PATH_FIELD else ""
        if ".so" in path and not _is_extension(path):
            paths.add(printable(path))
    return sorted(paths)


def _is_extension(path: str) -> bool:
    name = path.rpartition("/")[2]
    return ".cpython-" in name or ".abi3." in name or "/lib-dynload/" in path
