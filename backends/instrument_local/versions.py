"""Names for content: ``artifacts/<name>/vN.json``, each made exclusively, so no lock is needed.

An alias is a series of facts, ``<alias>@1.json``, ``<alias>@2.json`` …; the last one holds. Without
a fact ``latest`` is the highest version; a fact about ``latest`` holds until a version is made that
was not there when the fact was written.
"""

import os
import re
import secrets
import stat
from collections.abc import Iterator
from contextlib import suppress
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import msgspec

from instrument.canonical import canonical_bytes
from instrument.errors import IntegrityError, NotFoundError, StoreError, UsageError
from instrument.naming import (
    LATEST,
    Reference,
    check_alias,
    check_artifact_name,
    check_move,
    parse_reference,
)
from instrument.protocols import Draft
from instrument.vocabulary import ArtifactVersion
from instrument_local.files import READ, store_errors
from instrument_local.layout import Layout
from instrument_local.stamps import stamp
from instrument_local.version_files import (
    AliasFact,
    fact_path,
    load_fact,
    load_version,
    version_path,
)

if TYPE_CHECKING:
    from instrument.audit import AliasMoved

_FILE: Final = re.compile(
    r"v(?P<version>[1-9][0-9]{0,8})\.json|(?P<alias>.+)@(?P<fact>[1-9][0-9]*)\.json"
)
_TYPE: Final = re.compile(r"[a-z][a-z0-9_.-]{0,63}")
_SHOWN: Final = 20
_HIGHEST: Final = 999_999_999  # what `_FILE` and references can name
# How the file of a version begins. The listing of a large tree follows; it need not be read to
# know whether the version holds some content.
_HEAD: Final = re.compile(
    rb'\{"version":[0-9]+,(?:"in_ledger":true,)?"name":"[^"\\]*","type":"[^"\\]*","digest":"(sha256:[0-9a-f]{64})"'
)
_HEAD_BYTES: Final = 1024


class Listing(msgspec.Struct):
    """What the directory of an artifact holds.

    Attributes:
        versions: Numbers of the versions, ascending.
        facts: For each alias the numbers of its facts, ascending.
    """

    versions: list[int]
    facts: dict[str, list[int]]

    def last(self, alias: str) -> int:
        """The number of the last fact about `alias`; 0 where there is none."""
        numbers = self.facts.get(alias)
        return numbers[-1] if numbers else 0


class LocalVersions:
    """See `instrument.protocols.Versions`."""

    def __init__(self, layout: Layout) -> None:
        self._layout = layout
        self._digests: dict[str, dict[int, str]] = {}  # what is known never changes

    def claim(self, draft: Draft, why: str | None = None) -> ArtifactVersion:
        """See `instrument.protocols.Versions`."""
        content = self._content(draft)
        with store_errors(f"store a version of {draft.name}"):
            self._layout.create()
            self._layout.files.make_durable_directory(self._directory(draft.name))
            version, made = self._claim_number(draft, content)
            if made and draft.run_id is None:
                self._note(version, why)
            if not made:  # whoever made it may not have come so far
                self._layout.files.sync_directory(self._directory(draft.name))
            if not made and self._now(draft.name).get(LATEST) != version.version:
                self._move(version, LATEST, draft.created_at)
            return _with_aliases(version, self._now(draft.name))

    def adopt(self, draft: Draft) -> tuple[ArtifactVersion, bool]:
        """As `claim`, for what another store brings: content that is there moves no alias.

        Returns:
            The version, and whether it was made here; then the caller tells the ledger.
        """
        content = self._content(draft)
        with store_errors(f"store a version of {draft.name}"):
            self._layout.files.make_durable_directory(self._directory(draft.name))
            return self._claim_number(draft, content)

    def hold_latest(self, name: str, more: int, at: datetime) -> None:
        """Let ``latest`` stay where it is while `more` versions are made.

        One that somebody else makes meanwhile, and that is not among the first `more`, moves it.
        """
        found = self.listing(name)
        if found.versions:
            highest = found.versions[-1] + more
            self._point(name, LATEST, self._aliases(name, found)[LATEST], at, highest=highest)

    def resolve(self, reference: Reference) -> ArtifactVersion:
        """See `instrument.protocols.Versions`."""
        check_artifact_name(reference.name)
        with store_errors(f"read {reference}"):
            found = self.listing(reference.name)
            asked = None if reference.version else reference.alias or LATEST
            aliases = self._aliases(reference.name, found, asked)
            number = reference.version or aliases.get(asked or LATEST)
            if number is not None:
                try:
                    return _with_aliases(self._load(reference.name, number), aliases)
                except FileNotFoundError:
                    pass
        raise self._not_found(reference, found, aliases)

    def tag(
        self, reference: Reference, alias: str, at: datetime, why: str | None = None
    ) -> ArtifactVersion:
        """See `instrument.protocols.Versions`."""
        check_alias(alias)
        version = self.resolve(reference)
        with store_errors(f"tag {reference}"):
            self._layout.create()
            self._move(version, alias, at, why)
            return _with_aliases(version, self._now(version.name))

    def finish(self, move: "AliasMoved") -> None:
        """Point the alias where `move`, of the ledger, says, unless that was done."""
        with store_errors(f"point {move.name}:{move.alias} at v{move.version}"):
            self._point(move.name, move.alias, move.version, move.at, move=move.move)

    def artifacts(self, name: str | None = None) -> Iterator[ArtifactVersion]:
        """See `instrument.protocols.Versions`; damaged versions are left to `verify`."""
        for known in self.names() if name is None else [check_artifact_name(name)]:
            found = self.listing(known)
            aliases = self._aliases(known, found)
            for number in found.versions:
                try:
                    yield _with_aliases(self._load(known, number), aliases)
                except (OSError, IntegrityError):
                    continue

    def names(self) -> list[str]:
        """Names of all artifacts, sorted."""
        with store_errors(f"list the artifacts of {self._layout.root}"):
            try:
                return sorted(os.listdir(self._layout.artifacts))  # noqa: PTH208 - names are enough
            except FileNotFoundError:
                return []

    def listing(self, name: str) -> Listing:
        """What is there under `name`."""
        versions: list[int] = []
        facts: dict[str, list[int]] = {}
        with store_errors(f"list the versions of {name}"):
            try:
                files = os.listdir(self._directory(name))  # noqa: PTH208 - names are enough
            except (FileNotFoundError, NotADirectoryError):
                files = []
        for file in files:
            match = _FILE.fullmatch(file)
            if match and match["version"]:
                versions.append(int(match["version"]))
            elif match:
                facts.setdefault(match["alias"], []).append(int(match["fact"]))
        return Listing(sorted(versions), {alias: sorted(facts[alias]) for alias in facts})

    def _directory(self, name: str) -> Path:
        return self._layout.artifacts / name

    def _content(self, draft: Draft) -> dict[str, Any]:
        """What the file of the version will hold, checked, without its number."""
        check_artifact_name(draft.name)
        if not _TYPE.fullmatch(draft.type):
            raise UsageError(
                f"{draft.type!r:.80} cannot be a type: use a lower-case word such as model"
            )
        for parent in draft.parents:
            self.resolve(parse_reference(parent))
        is_sealed = draft.run_id is not None and draft.origin is None
        content: dict[str, Any] = {} if is_sealed else {"in_ledger": True}
        content |= msgspec.structs.asdict(draft)
        content["metadata"] = msgspec.Raw(canonical_bytes(draft.metadata))
        return content

    def _claim_number(self, draft: Draft, content: dict[str, Any]) -> tuple[ArtifactVersion, bool]:
        """The version that holds the draft's content, and whether it was made here."""
        known = self._known_digests(draft.name)
        while True:
            same = self._holding(draft, known)
            if same is not None:
                return same, False
            number = max(list(known), default=0) + 1
            path = version_path(self._directory(draft.name), number)
            if number > _HIGHEST:  # it would not be found again
                raise StoreError(f"no number is left for {path}; move away the one before")
            data = stamp(msgspec.json.encode({"version": number, **content}))
            if self._layout.files.publish(path, data):
                known[number] = draft.digest
                return msgspec.json.decode(data, type=ArtifactVersion), True
            known[number] = self._digest_of(draft.name, number)

    def _note(self, version: ArtifactVersion, why: str | None) -> None:
        """Tell the ledger of a version that no run tells of; else it is found later."""
        from instrument_local.ledger.pending import note_versions

        with suppress(StoreError):
            note_versions(self._layout, {version.ref: str(version.check)}, why)

    def _holding(self, draft: Draft, known: dict[int, str]) -> ArtifactVersion | None:
        """The first of the `known` versions that holds the draft's content, and is whole."""
        # Other threads may add to it meanwhile: look at a copy.
        for number in sorted(n for n, digest in list(known.items()) if digest == draft.digest):
            with suppress(IntegrityError):
                version = self._load(draft.name, number)
                if version.digest == draft.digest:
                    return version
            known[number] = ""
        return None

    def _known_digests(self, name: str) -> dict[int, str]:
        known = self._digests.setdefault(name, {})
        for number in self.listing(name).versions:
            if number not in known:
                known[number] = self._digest_of(name, number)
        return known

    def _digest_of(self, name: str, number: int) -> str:
        """What a version says is its digest; of a damaged one nothing that a draft could have."""
        path = version_path(self._directory(name), number)
        if not stat.S_ISREG(path.lstat().st_mode):  # somebody put it there: its number is taken
            return ""
        fd = os.open(path, READ)
        try:
            head = _HEAD.match(os.read(fd, _HEAD_BYTES))
        finally:
            os.close(fd)
        if head:
            return head[1].decode()
        try:
            return self._load(name, number).digest
        except IntegrityError:
            return ""

    def _load(self, name: str, number: int) -> ArtifactVersion:
        return load_version(version_path(self._directory(name), number))

    def _now(self, name: str) -> dict[str, int]:
        return self._aliases(name, self.listing(name))

    def _aliases(self, name: str, found: Listing, asked: str | None = None) -> dict[str, int]:
        """Where each alias points; one that cannot be read stops nobody but who has `asked` for it.

        Raises:
            IntegrityError, OSError: That one cannot be read.
        """
        highest = max(found.versions, default=0)
        aliases = {LATEST: highest} if highest else {}
        for alias, numbers in found.facts.items():
            try:
                fact = load_fact(fact_path(self._directory(name), alias, numbers[-1]))
            except (IntegrityError, OSError):
                if alias == asked:
                    raise
                continue
            if alias != LATEST or fact.highest >= highest:
                aliases[alias] = fact.version
        return aliases

    def _move(
        self, version: ArtifactVersion, alias: str, at: datetime, why: str | None = None
    ) -> None:
        """Point `alias` at `version`; the ledger knows first, so that no move goes unseen."""
        from instrument.audit import AliasMoved
        from instrument_local.ledger.pending import note, this_user

        found = self.listing(version.name)
        before = self._aliases(version.name, found, alias).get(alias)
        event = AliasMoved(
            at=at,
            who=this_user(),
            why=why,
            name=version.name,
            alias=alias,
            version=version.version or 0,
            before=before,
            move=secrets.token_hex(8),
        )
        check_move(event.name, alias, before, event.version)
        noted = note(self._layout, event)
        known = found.last(alias)
        try:
            self._point(event.name, alias, event.version, at, move=event.move, known=known)
        except BaseException:
            if not self._is_made(event, known):
                with suppress(OSError):  # else whoever takes it in does it
                    self._layout.files.disk.unlink(noted)
            raise

    def _is_made(self, move: "AliasMoved", known: int) -> bool:
        """Whether `move` is made all the same, as when only a sync failed after it.

        Where nobody can tell it counts as made: no alias is to stand without its event.
        """
        try:
            found = self.listing(move.name)
            return self._has_moved(move.name, move.alias, found, known, str(move.move))
        except (StoreError, OSError):
            return True

    def _point(  # noqa: PLR0913 - what a fact says, and what is known already
        self,
        name: str,
        alias: str,
        version: int,
        at: datetime,
        *,
        highest: int | None = None,
        move: str | None = None,
        known: int = 0,
    ) -> None:
        """Write the fact that `alias` points at `version`.

        With a `move` it is written once: none of the facts behind number `known` must have it.
        `highest` is the highest version that a fact about ``latest`` outlasts; None: that there is.
        """
        while True:
            found = self.listing(name)
            if move is not None and self._has_moved(name, alias, found, known, move):
                return
            check_move(name, alias, self._aliases(name, found, alias).get(alias), version)
            there = found.versions[-1] if found.versions else version
            fact = AliasFact(
                name=name,
                alias=alias,
                version=version,
                highest=there if highest is None else highest,
                at=at,
                move=move,
            )
            path = fact_path(self._directory(name), alias, found.last(alias) + 1)
            if self._layout.files.publish(path, stamp(msgspec.json.encode(fact))):
                return

    def _has_moved(self, name: str, alias: str, found: Listing, known: int, move: str) -> bool:
        """Whether one of the facts behind number `known` has `move`; the newest first."""
        for number in reversed(found.facts.get(alias, [])):
            if number <= known:
                break
            with suppress(IntegrityError, FileNotFoundError):
                if load_fact(fact_path(self._directory(name), alias, number)).move == move:
                    return True
        return False

    def _not_found(
        self, reference: Reference, found: Listing, aliases: dict[str, int]
    ) -> NotFoundError:
        if not found.versions:
            names = self.names()
            known = f"; known are {_some(names)}" if names else "; there is none yet"
            return NotFoundError(f"there is no artifact {reference.name!r}{known}")
        numbers = _some([f"v{number}" for number in found.versions])
        return NotFoundError(
            f"there is no {reference}; {reference.name} has {numbers} and the aliases "
            f"{_some(sorted(aliases))}"
        )


def _with_aliases(version: ArtifactVersion, aliases: dict[str, int]) -> ArtifactVersion:
    here = tuple(sorted(alias for alias, number in aliases.items() if number == version.version))
    return msgspec.structs.replace(version, aliases=here)


def _some(names: list[str]) -> str:
    more = len(names) - _SHOWN
    return ", ".join(names[-_SHOWN:]) + (f" and {more} more" if more > 0 else "")
