"""What each distribution consists of, as one digest, from the hashes in its RECORD.

Two installations of the same wheel have the same digest, whoever installed them: what an installer
adds (compiled files, scripts with the path of the interpreter, its own notes) is left out.
"""

import hashlib
from collections.abc import Iterator
from typing import Final

from instrument.capture.distributions import distributions, normalised, read_beside
from instrument.capture.parts import NotKnown
from instrument.redaction import printable

_OF_THE_INSTALLER: Final = (
    "/INSTALLER",
    "/REQUESTED",
    "/direct_url.json",
    "/RECORD",
    "/uv_cache.json",
)


def package_hashes() -> dict[str, str]:
    """Digest of the files of each distribution that has a RECORD with hashes, by name.

    It says what was installed; the files are not read again.
    """
    known: dict[str, str] = {}
    for found in distributions():
        lines = sorted(_lines(read_beside(found, "RECORD") or b""))
        if lines:
            digest = f"sha256:{hashlib.sha256(b''.join(lines)).hexdigest()}"
            known.setdefault(printable(normalised(found.name)), digest)
    if not known:
        raise NotKnown("no distribution has a RECORD with hashes")
    return dict(sorted(known.items()))


def _lines(record: bytes) -> Iterator[bytes]:
    """``path,hash,size`` of the distribution's own files, with line ends."""
    for line in record.splitlines():
        path = line.rsplit(b",", 2)[0].strip(b'"')
        own = b"=" in line[len(path) :] and not path.startswith((b"..", b"/"))
        if own and not path.decode(errors="replace").endswith(_OF_THE_INSTALLER):
            yield line + b"\n"
