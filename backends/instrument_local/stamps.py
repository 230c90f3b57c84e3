"""A small JSON file that carries its own check: ``{…,"check":"<SHA-256 of what stands before>"}``.

Every byte of such a file is covered: the check by itself, the rest by the check.
"""

import hashlib
from typing import Final

from instrument.errors import IntegrityError

_MARK: Final = b',"check":"'
_LENGTH: Final = len(_MARK) + 64 + len(b'"}\n')


def stamp(payload: bytes) -> bytes:
    """The JSON object `payload` as one line with its check as last member."""
    body = memoryview(payload)[:-1]
    return b"".join((body, _check(body)))


def unstamp(data: bytes) -> bytes:
    """The JSON object that was stamped.

    Raises:
        IntegrityError: `data` is not what `stamp` made.
    """
    end = max(len(data) - _LENGTH, 0)
    body = memoryview(data)[:end]
    if _check(body) != data[end:]:
        found = hashlib.sha256(body).hexdigest()
        raise IntegrityError(f"content does not match its check; found {found}")
    return b"".join((body, b"}"))


def _check(body: memoryview) -> bytes:
    """How a file ends that begins with `body`."""
    return b"".join((_MARK, hashlib.sha256(body).hexdigest().encode(), b'"}\n'))
