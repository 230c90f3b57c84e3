"""Lock files beside the code: what the project meant to have installed."""

import re
from typing import Final

from instrument.canonical import digest_of_bytes
from instrument.capture.code import code_directory
from instrument.capture.git import find_repository
from instrument.capture.parts import NotKnown
from instrument.redaction import printable

MAX_BYTES: Final = 50_000_000
_NAMES = re.compile(
    r"(uv|poetry|pdm|pixi|Pipfile)\.lock|requirements.*\.(txt|lock)|pylock.*\.toml"
    r"|conda-lock\.yml|environment\.ya?ml"
)


def lock_files() -> dict[str, str]:
    """Digest of each lock file in the code's directory and at the root of its repository."""
    directory = code_directory()
    repository = find_repository(directory)
    root = repository.root if repository and repository.root else directory
    found = {
        printable(path.relative_to(root).as_posix()): digest_of_bytes(path.read_bytes())
        for place in {root, directory}
        for path in place.iterdir()
        if _NAMES.fullmatch(path.name) and path.is_file() and path.stat().st_size <= MAX_BYTES
    }
    if not found:
        raise NotKnown("there is no lock file beside the code")
    return dict(sorted(found.items()))
