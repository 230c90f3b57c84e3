"""Who names which object: read from every journal and every version, with nothing left out.

What cannot be read, or is damaged, could name anything; so whoever asks gets an error instead of an
answer that lacks something.
"""

import re
from collections.abc import Iterator
from typing import Final, NamedTuple

from instrument.errors import IntegrityError
from instrument.records import ArtifactLogged, ArtifactUsed, UnknownRecord
from instrument.vocabulary import ArtifactVersion
from instrument_local.imported import Origins
from instrument_local.layout import Layout, RunFiles
from instrument_local.lines import (
    TAIL_LENGTH,
    chain_of,
    finish_line,
    genesis,
    parse_line,
)
from instrument_local.references import objects_of
from instrument_local.run_files import RunFile
from instrument_local.version_files import load_version, version_path
from instrument_local.versions import LocalVersions

_DIGEST: Final = re.compile(rb"sha256:[0-9a-f]{64}")


class RunReferences(NamedTuple):
    """What a run names.

    Attributes:
        captured: Objects that hold what was captured of the run itself.
        mentioned: Whatever looks like a digest in its journals, the captured ones included.
        logged: References of the versions that it made, or made again.
        used: References of the versions that it used.
    """

    captured: frozenset[str]
    mentioned: frozenset[str]
    logged: frozenset[str]
    used: frozenset[str]


class References:
    """What the runs and versions of one store name.

    Attributes:
        runs: By id of the run.
        versions: All versions, with the aliases that they have.
    """

    def __init__(self, layout: Layout, versions: LocalVersions) -> None:
        self._layout = layout
        self._versions = versions
        self._signatures: dict[str, object] = {}
        self.runs: dict[str, RunReferences] = {}
        self.versions: list[ArtifactVersion] = []

    def refresh(self) -> None:
        """Read what has changed since the last time.

        Raises:
            IntegrityError: Something is damaged.
            OSError: Something cannot be read.
        """
        for pack in self._layout.packs.packs():
            _ = pack.table  # one that cannot be read would look as if it were empty
        for run_id in self._layout.run_ids():
            files = self._layout.run_files(run_id)
            signature = _signature(files)
            if self._signatures.get(run_id) != signature:
                self.runs[run_id] = _read(run_id, files)
                self._signatures[run_id] = signature
        self.versions = list(self._read_versions())

    @property
    def mentioned(self) -> set[str]:
        """Every digest that anything names."""
        named = {digest for run in self.runs.values() for digest in run.mentioned}
        return named.union(*map(digests_of, self.versions))

    def _read_versions(self) -> Iterator[ArtifactVersion]:
        aliased = {version.ref: version for version in self._versions.artifacts()}
        for name in self._versions.names():
            numbers = self._versions.listing(name).versions
            for number in range(1, max(numbers, default=0) + 1):
                ref = f"{name}:v{number}"
                path = version_path(self._layout.artifacts / name, number)
                yield aliased.get(ref) or load_version(path)


def digests_of(version: ArtifactVersion) -> set[str]:
    """The objects of `version`."""
    return {version.digest, *(file.digest for file in version.files)}


def _signature(files: RunFiles) -> object:
    """What changes whenever more is to be read."""
    facts = [fact.name for fact in files.facts]
    return [(journal.name, journal.size_bytes) for journal in files.journals], facts


def _read(run_id: str, files: RunFiles) -> RunReferences:
    captured, mentioned = set[str](), set[str]()
    logged, used = set[str](), set[str]()
    origins = Origins(files.facts)
    for journal in files.journals:
        first = genesis(origins.run_id(journal, run_id), journal.stem)
        naming = (line for line in checked_lines(journal, first) if _DIGEST.search(line))
        for line in naming:
            found = {digest.decode() for digest in _DIGEST.findall(line)}
            mentioned |= found
            if not line.endswith(b"\n"):
                continue
            origin, record = origins.of(journal), parse_line(line, journal.stem).record
            match origin.record(record) if origin is not None else record:
                case ArtifactLogged(ref=ref):
                    logged.add(ref)
                case ArtifactUsed(ref=ref):
                    used.add(ref)
                case UnknownRecord():
                    captured |= found
                case known:
                    captured.update(objects_of(known))
    return RunReferences(*map(frozenset, (captured, mentioned, logged, used)))


def checked_lines(journal: RunFile, chain: bytes) -> Iterator[bytes]:
    """The lines of `journal`, each one as it was written; the last one may be torn.

    Raises:
        IntegrityError: The next line is not as it was written.
        OSError: It cannot be read.
    """
    for number, line in enumerate(journal.lines(), start=1):
        if line.endswith(b"\n"):
            chain = chain_of(line[:-TAIL_LENGTH], chain)
            if line != finish_line(line[:-TAIL_LENGTH], chain):
                raise IntegrityError(f"{journal.path} is damaged at line {number}")
        yield line
