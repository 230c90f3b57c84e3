"""Shared libraries that this process has loaded, and which build each one is."""

from pathlib import Path

from instrument.capture.elf import build_id
from instrument.capture.parts import NotKnown
from instrument.redaction import printable

_PATH_FIELD = 5


def loaded_libraries(root: Path = Path("/")) -> dict[str, str | None]:
    """Build id by path of each library outside Python's own extension modules.

    None stands for a library that was linked without a build id, or that is not there any more.

    Args:
        root: Where /proc lies.
    """
    return {
        printable(path): build_id(Path(path))
        for path in mapped_libraries(root)
        if not _is_extension(path)
    }


def mapped_libraries(root: Path = Path("/")) -> list[str]:
    """Paths of all shared libraries in this process's memory, sorted."""
    maps = root / "proc/self/maps"
    try:
        text = maps.read_text(errors="surrogateescape")
    except OSError as error:
        raise NotKnown("/proc/self/maps is not readable") from error
    paths = set()
    for line in text.splitlines():
        fields = line.split(maxsplit=_PATH_FIELD)
        path = fields[_PATH_FIELD] if len(fields) > _PATH_FIELD else ""
        if ".so" in path:
            paths.add(path)
    return sorted(paths)


def _is_extension(path: str) -> bool:
    name = path.rpartition("/")[2]
    return ".cpython-" in name or ".abi3." in name or "/lib-dynload/" in path
