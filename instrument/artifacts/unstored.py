"""What no store took: remembered, and stood in for, so that what is made from it is not refused."""

from pathlib import Path
from typing import Any, Final

from instrument.artifacts.handle import Artifact
from instrument.artifacts.logging import unrecorded
from instrument.errors import StoreError
from instrument.naming import LATEST, parse_reference

_WORD: Final = "unrecorded"
_last_failed: dict[tuple[str, str], bool] = {}


class UnstoredArtifact(Artifact):
    """Stands in for an artifact that the store cannot give.

    It can be named as an input or a parent like any other; only who asks for its content hears of
    it. Its version has no number and no digest.

    Args:
        reference: What was asked for.
        reason: Why it cannot be had.
    """

    def __init__(self, reference: str, reason: BaseException) -> None:
        self.version = unrecorded(parse_reference(reference).name, "other")
        self._asked_for = reference
        self._reason = reason

    def path(self) -> Path:
        """There is none.

        Raises:
            StoreError: Always.
        """
        raise self._error()

    def load(self, *, allow_pickle: bool = False) -> Any:  # noqa: ARG002 - as every artifact's
        """There is nothing to load.

        Raises:
            StoreError: Always.
        """
        raise self._error()

    def copy_to(self, path: str | Path) -> Path:  # noqa: ARG002 - as every artifact's
        """There is nothing to copy.

        Raises:
            StoreError: Always.
        """
        raise self._error()

    def _error(self) -> StoreError:
        error = StoreError(f"{self._asked_for!r} has no content to read: {self._reason}")
        error.__cause__ = self._reason
        return error


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
