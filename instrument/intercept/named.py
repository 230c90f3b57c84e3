"""What a run has said of artifacts, and which of them it was seen to read: what makes parents."""

import weakref
from datetime import UTC, datetime
from typing import Final, NamedTuple

from instrument.intercept.content import settle
from instrument.protocols import Recorder
from instrument.vocabulary import ArtifactVersion

SETTLE_SECONDS: Final = 0.5
"""How long a version that is to be logged waits for the digests of what was read before."""


class _Since(NamedTuple):
    version: ArtifactVersion
    at: datetime


class Named:
    """The artifacts that one run has to do with, as far as this process knows. Any thread may call.

    Attributes:
        recognised: Versions of others that were known by what was loaded or read.
        read: Digests of what was loaded or read.
        doubted: Digests that several versions have; told once.
    """

    def __init__(self) -> None:
        self._used: dict[str, _Since] = {}
        self._logged: dict[str, _Since] = {}
        self.recognised: dict[str, ArtifactVersion] = {}
        self.read: set[str] = set()
        self.doubted: set[str] = set()

    def uses(self, version: ArtifactVersion) -> None:
        """The user asked for `version`."""
        self._used.setdefault(version.ref, _Since(version, datetime.now(UTC)))

    def logs(self, version: ArtifactVersion) -> None:
        """The run has logged `version`, which may have been there."""
        self._logged.setdefault(version.ref, _Since(version, datetime.now(UTC)))

    def before(self, moment: datetime) -> list[ArtifactVersion]:
        """What was used, logged or recognised before."""
        own = [*list(self._used.values()), *list(self._logged.values())]
        earlier = [version for version, at in own if at <= moment]
        return [*earlier, *list(self.recognised.values())]

    def logged_and_read(self) -> list[str]:
        """Versions that the run has logged and whose bytes it has read, where that is certain.

        Where it asked for a version with those bytes, or one was recognised, that is the one; of
        several that it logged none is.
        """
        asked = {version.digest for version, _ in list(self._used.values())}
        asked |= {version.digest for version in list(self.recognised.values())}
        by_digest: dict[str, list[str]] = {}
        for ref, (version, _) in list(self._logged.items()):
            if version.digest in self.read and version.digest not in asked:
                by_digest.setdefault(version.digest, []).append(ref)
        return [refs[0] for refs in by_digest.values() if len(refs) == 1]


_by_recorder: "weakref.WeakKeyDictionary[Recorder, Named]" = weakref.WeakKeyDictionary()


def named_by(recorder: Recorder) -> Named:
    """What the run of `recorder` has to do with."""
    found = _by_recorder.get(recorder)
    return found if found is not None else _by_recorder.setdefault(recorder, Named())


def seen_by_now(recorder: Recorder, name: str) -> Named:
    """As `named_by`, with what was read before this call, before `name` is logged.

    What has no digest after `SETTLE_SECONDS` is not waited for again; when it turns out to be an
    artifact, the run has a problem that says what lacks it as a parent.
    """
    settle(recorder, SETTLE_SECONDS, name)
    return named_by(recorder)
