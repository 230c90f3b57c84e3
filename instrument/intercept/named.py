"""What a run has said of artifacts, and which of them it was seen to read: what makes parents."""

import threading
import weakref
from collections import defaultdict
from datetime import UTC, datetime
from typing import Final, NamedTuple

from instrument.intercept.content import settle
from instrument.intercept.holding import holding
from instrument.protocols import Recorder
from instrument.records import ContentIdentified
from instrument.vocabulary import ArtifactVersion

SETTLE_SECONDS: Final = 0.5
"""How long a version that is to be logged waits for the digests of what was read before."""


class _Since(NamedTuple):
    version: ArtifactVersion
    at: datetime


class _Read(NamedTuple):
    content: ContentIdentified
    began: datetime


class _Found(NamedTuple):
    """The version that was read, as long as no more are known."""

    known: tuple[int, ...]
    version: ArtifactVersion | None


class Named:
    """The artifacts that one run has to do with, as far as this process knows. Any thread may call.

    Attributes:
        recognised: Versions of others that were known by what was loaded or read.
        doubted: Digests that several versions have; told once.
    """

    def __init__(self) -> None:
        self._used: dict[str, _Since] = {}
        self._logged: dict[str, _Since] = {}
        self.recognised: dict[str, ArtifactVersion] = {}
        self._logged_files: defaultdict[str, list[_Since]] = defaultdict(list)
        self._unlisted: list[_Since] = []
        self._listing = threading.RLock()
        self._read: dict[str, _Read] = {}
        self._found: dict[str, _Found] = {}
        self.doubted: set[str] = set()

    def uses(self, version: ArtifactVersion) -> None:
        """The user asked for `version`."""
        self._used.setdefault(version.ref, _Since(version, datetime.now(UTC)))

    def logs(self, version: ArtifactVersion) -> None:
        """The run has logged `version`, which may have been there."""
        since = _Since(version, datetime.now(UTC))
        if self._logged.setdefault(version.ref, since) is since:
            self._unlisted.append(since)

    def reads(self, content: ContentIdentified, began: datetime) -> None:
        """The run has loaded or read `content`, whose digest is known; the first time counts."""
        self._read.setdefault(content.digest or "", _Read(content, began))

    def before(self, moment: datetime) -> list[ArtifactVersion]:
        """What was used, logged or recognised before."""
        own = [*list(self._used.values()), *list(self._logged.values())]
        earlier = [version for version, at in own if at <= moment]
        return [*earlier, *list(self.recognised.values())]

    def logged_and_read(self) -> list[str]:
        """Versions that the run has logged and has read, whole or in part, where that is certain.

        Where it asked for a version with those bytes, or one was recognised, that is the one. Of
        several that it logged it is the one that was there before the read; else none is.
        """
        found = [self._logged_as(digest, read) for digest, read in list(self._read.items())]
        return list(dict.fromkeys(version.ref for version in found if version is not None))

    def _logged_as(self, digest: str, read: _Read) -> ArtifactVersion | None:
        """The version that the run has logged, and that was `read`; remembered, as trees are large.

        Args:
            digest: Of what was read.
            read: What was read.
        """
        logged = self._logged_with(read.content.files[0].digest)
        known = len(logged), len(self._used), len(self.recognised)
        found = self._found.get(digest)
        if found is None or found.known != known:
            version = self._find(logged, read) if logged else None
            found = self._found[digest] = _Found(known, version)
        return found.version

    def _logged_with(self, digest: str) -> list[_Since]:
        """What was logged with such a file; large trees are listed when this is asked."""
        with self._listing:
            while self._unlisted:
                since = self._unlisted.pop(0)
                for each in {file.digest for file in since.version.files}:
                    self._logged_files[each].append(since)
            return list(self._logged_files.get(digest, ()))

    def _find(self, logged: list[_Since], read: _Read) -> ArtifactVersion | None:
        used = [version for version, _ in list(self._used.values())]
        if holding([*used, *list(self.recognised.values())], read.content):
            return None
        earlier = holding((version for version, at in logged if at <= read.began), read.content)
        found = earlier or holding((version for version, _ in logged), read.content)
        return found[0] if len(found) == 1 else None


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
