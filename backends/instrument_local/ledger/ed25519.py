"""Checks Ed25519 signatures with the standard library alone (RFC 8032, section 5.1.7).

Only checks: nothing here is secret, so that it need not take the same time for all values. A check
takes a few milliseconds. Points and numbers that are not in their one canonical form are refused.
"""

from hashlib import sha512
from typing import Final, NamedTuple

_P: Final = 2**255 - 19
_L: Final = 2**252 + 27742317777372353535851937790883648493
_D: Final = -121665 * pow(121666, -1, _P) % _P
_ROOT_OF_MINUS_1: Final = pow(2, (_P - 1) // 4, _P)


class _Point(NamedTuple):
    """A point in extended homogeneous coordinates: x = X/Z, y = Y/Z, x·y = T/Z."""

    x: int
    y: int
    z: int
    t: int


_NEUTRAL: Final = _Point(0, 1, 1, 0)


def verify(public_key: bytes, message: bytes, signature: bytes) -> bool:
    """Whether `signature` (64 bytes) is that of `message` by `public_key` (32 bytes)."""
    if len(public_key) != 32 or len(signature) != 64:  # noqa: PLR2004 - as RFC 8032 says
        return False
    key, commitment = _decode(public_key), _decode(signature[:32])
    scalar = int.from_bytes(signature[32:], "little")
    if key is None or commitment is None or scalar >= _L:
        return False
    digest = sha512(signature[:32] + public_key + message).digest()
    challenge = int.from_bytes(digest, "little") % _L
    return _equal(_times(scalar, _BASE), _add(commitment, _times(challenge, key)))


def _decode(data: bytes) -> _Point | None:
    """The point that 32 bytes stand for; None when there is none."""
    number = int.from_bytes(data, "little")
    sign, y = number >> 255, number & (1 << 255) - 1
    x = _x_of(y, sign) if y < _P else None
    return None if x is None else _Point(x, y, 1, x * y % _P)


def _x_of(y: int, sign: int) -> int | None:
    """The x of the point with this y whose lowest bit is `sign`."""
    square = (y * y - 1) * pow(_D * y * y + 1, -1, _P) % _P
    x = pow(square, (_P + 3) // 8, _P)
    if x * x % _P != square:
        x = x * _ROOT_OF_MINUS_1 % _P
    if x * x % _P != square or (x == 0 and sign):
        return None
    return x if x & 1 == sign else _P - x


def _add(a: _Point, b: _Point) -> _Point:
    """Sum of two points (RFC 8032, section 5.1.4)."""
    low = (a.y - a.x) * (b.y - b.x) % _P
    high = (a.y + a.x) * (b.y + b.x) % _P
    both = 2 * a.t * b.t * _D % _P
    scale = 2 * a.z * b.z % _P
    e, f, g, h = high - low, scale - both, scale + both, high + low
    return _Point(e * f % _P, g * h % _P, f * g % _P, e * h % _P)


def _times(factor: int, point: _Point) -> _Point:
    total = _NEUTRAL
    while factor:
        if factor & 1:
            total = _add(total, point)
        point = _add(point, point)
        factor >>= 1
    return total


def _equal(a: _Point, b: _Point) -> bool:
    return (a.x * b.z - b.x * a.z) % _P == 0 and (a.y * b.z - b.y * a.z) % _P == 0


_BASE_Y: Final = 4 * pow(5, -1, _P) % _P
_BASE_X: Final = _x_of(_BASE_Y, 0) or 0
_BASE: Final = _Point(_BASE_X, _BASE_Y, 1, _BASE_X * _BASE_Y % _P)
