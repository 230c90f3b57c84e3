"""What no store took: remembered, so that what is made from it is not refused."""

from typing import Final

from instrument.naming import LATEST, parse_reference

_WORD: Final = "unrecorded"
_last_failed: dict[tuple[str, str], bool] = {}


def remember(location: str, name: str, *, stored: bool) -> None:
    """Remember, for this process, whether the store at `location` took the newest of `name`."""
    if not stored or (location, name) in _last_failed:
        _last_failed[location, name] = not stored


def is_stale(location: str, reference: str) -> bool:
    """Whether `reference` would mean an older version than the one that could not be stored."""
    parsed = parse_reference(reference)
    return parsed.alias == LATEST and _last_failed.get((location, parsed.name), False)


def may_be_unstored(location: str, reference: str) -> bool:
    """Whether `reference` may mean a version that this process could not store."""
    parsed = parse_reference(reference)
    return parsed.alias == _WORD or (location, parsed.name) in _last_failed
