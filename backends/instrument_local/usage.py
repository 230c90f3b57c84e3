"""How many files there are of what, and how long they are."""

import os
from collections import defaultdict
from collections.abc import Iterable, Iterator

from instrument.protocols import Part
from instrument.vocabulary import ArtifactVersion
from instrument_local.layout import Layout


def usage_of(layout: Layout) -> dict[str, Part]:
    """The files of the store by what they are, such as ``journals``, ``packs``, ``objects``."""
    files, sizes = defaultdict[str, int](int), defaultdict[str, int](int)
    for part, size in _files(layout):
        files[part] += 1
        sizes[part] += size
    return {part: Part(files=files[part], size_bytes=sizes[part]) for part in sorted(files)}


def types_of(versions: Iterable[ArtifactVersion]) -> dict[str, Part]:
    """How many versions there are of each type, and the length of what they name."""
    found: dict[str, Part] = {}
    for version in versions:
        so_far = found.get(version.type, Part(0, 0))
        size = so_far.size_bytes + version.size_bytes
        found[version.type] = Part(files=so_far.files + 1, size_bytes=size)
    return dict(sorted(found.items()))


def _files(layout: Layout) -> Iterator[tuple[str, int]]:
    root = str(layout.root)
    for directory, _, names in os.walk(root):
        top = os.path.relpath(directory, root).partition(os.sep)[0]
        for name in names:
            try:
                size = os.lstat(os.path.join(directory, name)).st_size  # noqa: PTH118 - for each file
            except OSError:
                continue  # gone meanwhile
            yield _part(top, name), size


def _part(top: str, name: str) -> str:
    """What the file `name` below the directory `top` is."""
    if top == "runs":
        endings = {".jsonl": "journals", ".json": "seals"}
        return endings.get(os.path.splitext(name)[1], "other")  # noqa: PTH122 - a name, no path
    known = {"objects", "packs", "artifacts", "ledger", "mirrors"}
    return top if top in known else "other"
