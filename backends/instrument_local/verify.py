"""Checks every byte of a store.

Objects against their names, journals against their chains and seals, versions and aliases against
their checks, packs against theirs, the ledger against all that it closed; that what is referred to
is there, and that what is there is ours.

Found is what changed by accident, or by somebody who does not know how the store works. What
somebody can do unseen who knows and may write to it, `instrument_local.ledger.verdict` says.
"""

import os
from collections.abc import Iterator
from contextlib import suppress
from functools import cached_property, partial
from pathlib import Path

from instrument.errors import InstrumentError, NotFoundError, UsageError
from instrument.naming import parse_reference
from instrument.protocols import Verification
from instrument.vocabulary import ArtifactVersion
from instrument_local.copying import Told, nobody
from instrument_local.files import is_directory
from instrument_local.findings import Findings
from instrument_local.layout import GITIGNORE, Layout
from instrument_local.liveness import decode_marker
from instrument_local.references import Said
from instrument_local.stamps import unstamp
from instrument_local.verify_files import check_files
from instrument_local.verify_objects import Hashed, hash_objects
from instrument_local.verify_runs import Referrer, RunChecker
from instrument_local.verify_unrecorded import Standing, check_unrecorded, read_facts
from instrument_local.version_files import fact_path, load_version, version_path
from instrument_local.versions import LocalVersions


class Verifier:
    """One check of a store, or of a part of it.

    Args:
        layout: Where the store keeps things.
        versions: Its artifacts.
        told: Called with the number of bytes that were read, again and again, from any thread.
    """

    def __init__(self, layout: Layout, versions: LocalVersions, told: Told = nobody) -> None:
        self._layout = layout
        self._versions = versions
        self._findings = Findings(layout, told)
        self._runs = RunChecker(layout, self._findings)
        self._dropped_runs: set[str] = set()
        self._wanted_runs: dict[str, Referrer] = {}
        self._standing = Standing({}, {})

    def result(self) -> Verification:
        """What was found."""
        return self._findings.result()

    def check_everything(self) -> None:
        """Check the whole store."""
        layout = self._layout
        parts = (layout.objects, layout.runs, layout.packs.directory, layout.artifacts)
        if not any(os.path.lexists(path) for path in (*parts, layout.root / "ledger")):
            return
        check_files(layout, self._findings)
        self._check_root()
        self._check_objects(self._objects())
        for name in self._versions.names():
            self._check_versions(name)
        self._runs.check_packs()
        for run_id in layout.run_ids():
            self._runs.check(run_id)
        self._runs.tell_computed()
        self._check_references()
        self._check_ledger()
        check_unrecorded(layout, self._findings, self._standing, set(self._runs.references))
        self._check_wanted_runs()
        for digest, referrer in self._findings.wanted.items():
            if not self._is_there(digest):
                self._add_missing(digest, referrer)

    def _check_ledger(self) -> None:
        """Check the ledger, and that everything it closed is there."""
        from instrument_local.ledger.local import LocalLedger

        checker = LocalLedger(self._layout).check_into(self._findings)
        self._dropped_runs = checker.dropped_runs

    @cached_property
    def _dropped(self) -> dict[str, str]:
        """How and why each object went that was removed on purpose."""
        from instrument_local.upkeep.tombstones import dropped_objects, fate

        with suppress(InstrumentError, OSError):  # the check of the ledger tells
            events = dropped_objects(self._layout)
            return {digest: fate(event) for digest, event in events.items()}
        return {}

    def check_run(self, run_id: str) -> None:
        """Check one run, what the ledger says of it, and what it refers to."""
        from instrument_local.ledger.check import LedgerChecker

        for directory in self._layout.run_directories(run_id):
            check_files(self._layout, self._findings, directory)
        self._runs.check(run_id)
        self._runs.tell_computed()
        LedgerChecker(self._layout, self._findings).check_run(run_id)
        for version in self._check_references():
            self._want_files(version)
        self._check_wanted()
        self._check_wanted_runs()

    def check_artifact(self, reference: str) -> None:
        """Check one version, the aliases of its name, and what it refers to.

        Raises:
            NotFoundError: There is no such version.
        """
        from instrument_local.ledger.check import LedgerChecker

        version = self._versions.resolve(parse_reference(reference))
        directory = self._layout.artifacts / version.name
        check_files(self._layout, self._findings, directory)
        self._check_version(version_path(directory, version.version or 0))
        self._check_aliases(version.name)
        LedgerChecker(self._layout, self._findings).check_version(version.ref)
        aliases = Standing({}, self._standing.facts)  # what runs told of versions was not read
        check_unrecorded(self._layout, self._findings, aliases, set())
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
                decode_marker(self._findings.read(marker))

    def _objects(self) -> Iterator[Path]:
        """All objects, by name."""
        for directory in _listing(self._layout.objects):
            if is_directory(directory) and len(directory.name) == 2:  # noqa: PLR2004 - "ab"
                yield from (
                    path
                    for path in _listing(directory)
                    if self._layout.object_path(f"sha256:{path.name}") == path
                )

    def _check_objects(self, paths: Iterator[Path]) -> None:
        for hashed in hash_objects(self._layout.root, paths, self._findings.told):
            self._findings.objects += 1
            with self._findings.reading("object_missing", hashed.path):
                self._check_object(hashed)

    def _check_object(self, hashed: Hashed) -> None:
        if hashed.error is not None:
            raise hashed.error
        self._findings.hashed(hashed.size_bytes)
        name = hashed.path.name
        if hashed.found != name:
            found = f"sha256:{hashed.found}"
            self._findings.add("object_changed", hashed.path, f"sha256:{name}", found)

    def _check_versions(self, name: str) -> None:
        directory = self._layout.artifacts / name
        numbers = self._versions.listing(name).versions
        for number in numbers:
            self._check_version(version_path(directory, number))
        self._findings.missing("version_damaged", numbers, partial(version_path, directory))
        self._check_aliases(name)

    def _check_version(self, path: Path) -> None:
        with self._findings.reading("version_damaged", path):
            version = load_version(path)
            self._standing.versions[version.ref] = path
            self._findings.size_bytes += path.stat().st_size
            self._want_files(version)
            for parent in version.parents:
                self._check_reference(parent, path)
            if version.run_id is not None:
                self._wanted_runs.setdefault(version.run_id, Referrer(path, version.home))

    def _check_aliases(self, name: str) -> None:
        self._standing.facts.update(read_facts(self._layout, self._findings, name))
        for alias, numbers in self._versions.listing(name).facts.items():
            path_of = partial(fact_path, self._layout.artifacts / name, alias)
            self._findings.missing("alias_damaged", numbers, path_of)

    def _check_wanted_runs(self) -> None:
        """Check that the runs are there that made something, or began another run."""
        wanted = self._wanted_runs | self._runs.parents
        for run_id, referrer in wanted.items():
            if self._layout.has_run(run_id):
                continue
            path, file = self._layout.run_path(run_id), self._layout.relative(referrer.path)
            if run_id in self._dropped_runs:
                self._findings.add("run_dropped", path, run_id, "removed on purpose", "note")
            elif referrer.origin is not None:
                found = f"it is in store {referrer.origin}; the bundle with {file} did not bring it"
                self._findings.add("run_elsewhere", path, run_id, found, "note")
            else:
                found = f"nothing; {file} refers to it"
                self._findings.add("run_missing", path, run_id, found, "note")

    def _want_files(self, version: ArtifactVersion) -> None:
        path = version_path(self._layout.artifacts / version.name, version.version or 0)
        for file in version.files:
            self._findings.want(file.digest, path)

    def _check_references(self) -> list[ArtifactVersion]:
        """Check that what the runs logged and used is there; the versions that are."""
        found = []
        for reference, said in self._runs.references.items():
            version = self._check_reference(reference, next(iter(said.values())))
            if version is not None:
                found.append(version)
                for each, journal in said.items():
                    self._compare(version, each, journal)
        return found

    def _check_reference(self, reference: str, referrer: Path) -> ArtifactVersion | None:
        try:
            version = self._versions.resolve(parse_reference(reference))
        except NotFoundError:
            found = f"nothing; {self._layout.relative(referrer)} refers to it"
            path = self._layout.artifacts / reference.partition(":")[0]
            self._findings.add("version_missing", path, reference, found)
            return None
        except (UsageError, InstrumentError):
            return None  # an unrecorded version; or a damaged one, which was found already
        return version

    def _compare(self, version: ArtifactVersion, said: Said, referrer: Path) -> None:
        """Check that `version` is what `referrer` says of it."""
        field = said.contradicted_by(version)
        if field is not None:
            path = version_path(self._layout.artifacts / version.name, version.version or 0)
            expected, found = (f"{field} {getattr(each, field)}" for each in (said, version))
            expected = f"{expected}, as {self._layout.relative(referrer)} says"
            self._findings.add("version_changed", path, expected, found)

    def _check_wanted(self) -> None:
        """Check the objects that were referred to, byte by byte."""
        there = []
        for digest, referrer in self._findings.wanted.items():
            path = self._layout.object_path(digest)
            if path is not None and os.path.lexists(path):
                there.append(path)
            else:
                self._add_missing(digest, referrer)
        self._check_objects(iter(there))

    def _is_there(self, digest: str) -> bool:
        path = self._layout.object_path(digest)
        return path is not None and os.path.lexists(path)  # if it is no file, that was told

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


def _listing(directory: Path) -> list[Path]:
    """What is in `directory`, by name."""
    try:
        return sorted(directory.iterdir())
    except OSError:
        return []
