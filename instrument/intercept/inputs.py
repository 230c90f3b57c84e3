"""Loads and reads of what the store has as an artifact: an input of the run, without being told."""

import weakref
from collections import defaultdict
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Final

from instrument.guard import say
from instrument.intercept.holding import holding, holds
from instrument.intercept.named import SETTLE_SECONDS, named_by
from instrument.intercept.session import Destination
from instrument.records import ArtifactUsed, ContentIdentified, EnvironmentCaptured, Problem
from instrument.vocabulary import ArtifactVersion, Health

if TYPE_CHECKING:
    from instrument.protocols import Recorder

_FRESH: Final = timedelta(seconds=30)
_MAX_TOLD: Final = 5


class _Known:
    """The versions of a store, by the digests of their files."""

    def __init__(self, versions: Iterable[ArtifactVersion]) -> None:
        self.read_at = datetime.now(UTC)
        self._by_file: defaultdict[str, list[ArtifactVersion]] = defaultdict(list)
        for version in versions:
            for digest in {file.digest for file in version.files}:
                self._by_file[digest].append(version)

    def holding(self, content: ContentIdentified, before: datetime) -> list[ArtifactVersion]:
        """The versions that were `content` before; where none was, those that it was a part of."""
        there = self._by_file[content.files[0].digest]
        return holding((each for each in there if each.created_at <= before), content)


_known: "weakref.WeakKeyDictionary[Recorder, _Known]" = weakref.WeakKeyDictionary()


def tell_inputs(
    destination: Destination,
    requested: str | None,
    began: datetime,
    missed: list[str],
    content: ContentIdentified,
) -> None:
    """Record which version in the store holds what was loaded or read.

    One that the run has named itself is the one. Else it is the only one of others that has the
    bytes, and had them before: equal bytes under several names do not tell which was meant. What
    the run itself made is none of its inputs. A store that has not the bytes is not searched.

    Args:
        destination: Where it is told.
        requested: What was asked for.
        began: When the load or read did.
        missed: What was logged since without waiting longer for `content`.
        content: What was loaded or read.
    """
    if destination.versions is None or content.digest is None or not content.files:
        return
    named = named_by(destination.recorder)
    named.reads(content, began)
    if any(holds(version, content) for version in named.before(began)):
        return
    found = _find(destination, began, content)
    if any(version.run_id == destination.run_id for version in found):
        return
    if len(found) > 1 and content.digest not in named.doubted:
        named.doubted.add(content.digest)
        _tell_doubt(destination, requested, content.digest, found)
    if len(found) == 1:
        named.recognised[found[0].ref] = found[0]
        _tell_use(destination, requested or content.digest, found[0], missed)


def _find(
    destination: Destination, began: datetime, content: ContentIdentified
) -> list[ArtifactVersion]:
    versions = destination.versions
    if versions is None or not destination.objects.contains(content.files[0].digest):
        return []
    known = _known.get(destination.recorder)
    found = known.holding(content, began) if known is not None else []
    if known is None or (known.read_at < began and not found) or known.read_at + _FRESH < began:
        known = _known[destination.recorder] = _Known(versions.artifacts())
        found = known.holding(content, began)
    return found


def _tell_use(
    destination: Destination, requested: str, version: ArtifactVersion, missed: list[str]
) -> None:
    recorder, ref = destination.recorder, version.ref
    recorder.record(
        ArtifactUsed(ref=ref, type=version.type, digest=version.digest, requested=requested)
    )
    if missed:
        doing = f"keep {ref!r} as a parent of {', '.join(map(repr, missed[:_MAX_TOLD]))}"
        message = f"it was read, and not hashed {SETTLE_SECONDS:g} seconds after that was logged"
        recorder.record(Problem(doing=doing, error="TimeoutError", message=message))
        say(f"could not {doing}: {message} (your run goes on)")


def _tell_doubt(
    destination: Destination, requested: str | None, digest: str, found: list[ArtifactVersion]
) -> None:
    """A note, which is no failure: the digest of what was read is on the record in any case."""
    refs = ", ".join(version.ref for version in found[:_MAX_TOLD])
    more = f" and {len(found) - _MAX_TOLD} more" if len(found) > _MAX_TOLD else ""
    reason = f"{requested or digest} is in {refs}{more}; use_artifact says which was meant"
    health = Health(part="interception of an input", status="skipped", reason=reason)
    told = EnvironmentCaptured(level=1, snapshot=None, health=(health,))
    destination.recorder.record(told)
