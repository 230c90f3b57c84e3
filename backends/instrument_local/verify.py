"""Checks every byte of a store.

Objects against their names, journals against their chains and seals, versions and aliases against
their checks, and that what is referred to is there.

Found is what changed by accident, or by somebody who does not know how the store works. What
somebody can do unseen who knows and may write to it, `instrument_local.ledger.verdict` says.
"""

import os
import re
from contextlib import suppress
from functools import cached_property
from pathlib import Path
from typing import Final

from instrument.errors import InstrumentError, NotFoundError, UsageError
from instrument.naming import parse_reference
from instrument.protocols import Verification
from instrument.vocabulary import ArtifactVersion
from instrument_local.copying import hash_file
from instrument_local.files import READ
from instrument_local.findings import Findings
from instrument_local.layout import GITIGNORE, Layout
from instrument_local.stamps import unstamp
from instrument_local.verify_runs import RunChecker
from instrument_local.versions import (
    LocalVersions,
    fact_path,
    load_fact,
    load_version,
    version_path,
)

_OBJECT: Final = re.compile(r"([0-9a-f]{2})/\1[0-9a-f]{62}")


class Verifier:
    """One check of a store, or of a part of it.

    Args:
        layout: Where the store keeps things.
        versions: Its artifacts.
    """

    def __init__(self, layout: Layout, versions: LocalVersions) -> None:
        self._layout = layout
        self._versions = versions
        self._findings = Findings(layout)
        self._runs = RunChecker(layout, self._findings)

    def result(self) -> Verification:
        """What was found."""
        return self._findings.result()

    def check_everything(self) -> None:
        """Check the whole store."""
        layout = self._layout
        if not any(
            path.exists()
            for path in (
                layout.objects,
                layout.runs,
                layout.packs.directory,
                layout.artifacts,
                layout.root / "ledger",
            )
        ):
            return
        self._check_root()
        for path in sorted(self._layout.objects.glob("*/*")):
            if _OBJECT.fullmatch(path.relative_to(self._layout.objects).as_posix()):
                self._check_object(path)
            else:
                self._findings.add("unexpected_file", path, None, "no object", "note")
        for name in self._versions.names():
            self._check_versions(name)
        self._runs.check_packs()
        for run_id in self._layout.run_ids():
            self._runs.check(run_id)
        self._check_references()
        self._check_ledger()
        for digest, referrer in self._findings.wanted.items():
            found = self._layout.object_path(digest)
            if found is None or not found.is_file():
                self._add_missing(digest, referrer)

    def _check_ledger(self) -> None:
        """Check the ledger, and that everything it closed is there."""
        from instrument_local.ledger.local import LocalLedger

        LocalLedger(self._layout).check_into(self._findings)

    @cached_property
    def _dropped(self) -> dict[str, str]:
        """How and why each object went that was removed on purpose."""
        from instrument_local.upkeep.tombstones import dropped_objects, in_words

        with suppress(InstrumentError, OSError):  # the check of the ledger tells
            events = dropped_objects(self._layout)
            return {digest: f"collected {in_words(event)}" for digest, event in events.items()}
        return {}

    def check_run(self, run_id: str) -> None:
        """Check one run and the objects that it refers to."""
        self._runs.check(run_id)
        for version in self._check_references():
            self._want_files(version)
        self._check_wanted()

    def check_artifact(self, reference: str) -> None:
        """Check one version and its objects.

        Raises:
            NotFoundError: There is no such version.
        """
        version = self._versions.resolve(parse_reference(reference))
        self._want_files(version)
        self._check_wanted()

    def _check_root(self) -> None:
        path = self._layout.root / "FORMAT"
        with self._findings.reading("format_missing", path):
            unstamp(self._findings.read(path))
        ignore = self._layout.root / ".gitignore"
        if ignore.exists():
            found = self._findings.read(ignore)
            if found != GITIGNORE:
                expected = repr(GITIGNORE)
                self._findings.add("gitignore_changed", ignore, expected, repr(found[:40]), "note")
        for lock in sorted((self._layout.root / "maintenance").glob("*")):
            with self._findings.reading("lock_damaged", lock, "note"):
                unstamp(self._findings.read(lock))
        for marker in sorted(self._layout.open.glob("*.json")):
            with self._findings.reading("marker_damaged", marker, "note"):
                unstamp(self._findings.read(marker))

    def _check_object(self, path: Path) -> None:
        self._findings.objects += 1
        with self._findings.reading("object_missing", path):
            fd = os.open(path, READ)
            try:
                self._findings.size_bytes += os.fstat(fd).st_size
                found = hash_file(fd)
            finally:
                os.close(fd)
            if found != path.name:
                expected = f"sha256:{path.name}"
                self._findings.add("object_changed", path, expected, f"sha256:{found}")

    def _check_versions(self, name: str) -> None:
        directory = self._layout.artifacts / name
        listing = self._versions.listing(name)
        for number in range(1, max(listing.versions, default=0) + 1):
            path = version_path(directory, number)
            with self._findings.reading("version_damaged", path):
                version = load_version(path)
                self._findings.size_bytes += path.stat().st_size
                self._want_files(version)
                for parent in version.parents:
                    self._check_reference(parent, None, path)
        for alias, last in listing.facts.items():
            for number in range(1, last + 1):
                path = fact_path(directory, alias, number)
                with self._findings.reading("alias_damaged", path):
                    load_fact(path)
                    self._findings.size_bytes += path.stat().st_size

    def _want_files(self, version: ArtifactVersion) -> None:
        path = version_path(self._layout.artifacts / version.name, version.version or 0)
        for file in version.files:
            self._findings.want(file.digest, path)

    def _check_references(self) -> list[ArtifactVersion]:
        """Check that what the runs logged and used is there; the versions that are."""
        found = [
            self._check_reference(reference, digest, journal)
            for reference, (digest, journal) in self._runs.references.items()
        ]
        return [version for version in found if version is not None]

    def _check_reference(
        self, reference: str, digest: str | None, referrer: Path
    ) -> ArtifactVersion | None:
        try:
            version = self._versions.resolve(parse_reference(reference))
        except NotFoundError:
            found = f"nothing; {self._layout.relative(referrer)} refers to it"
            path = self._layout.artifacts / reference.partition(":")[0]
            self._findings.add("version_missing", path, reference, found)
            return None
        except (UsageError, InstrumentError):
            return None  # an unrecorded version; or a damaged one, which was found already
        if digest is not None and version.digest != digest:
            path = version_path(self._layout.artifacts / version.name, version.version or 0)
            expected = f"{digest}, as {self._layout.relative(referrer)} says"
            self._findings.add("version_changed", path, expected, version.digest)
        return version

    def _check_wanted(self) -> None:
        """Check the objects that were referred to, byte by byte."""
        for digest, referrer in self._findings.wanted.items():
            path = self._layout.object_path(digest)
            if path is not None and path.exists():
                self._check_object(path)
            else:
                self._add_missing(digest, referrer)

    def _add_missing(self, digest: str, referrer: Path) -> None:
        path = self._layout.object_path(digest) or self._layout.objects
        if os.path.lexists(self._layout.trash / path.name):
            found = "set aside by a collection that goes on, or that the next `instrument gc` ends"
            self._findings.add("object_set_aside", path, digest, found, "note")
            return
        if digest in self._dropped:
            self._findings.add("object_dropped", path, digest, self._dropped[digest], "note")
            return
        found = f"nothing; {self._layout.relative(referrer)} refers to it"
        self._findings.add("object_missing", path, digest, found)
