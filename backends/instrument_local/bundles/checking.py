"""Checks a bundle from end to end, and says what it holds. Nothing is written here."""

import hashlib
from collections import defaultdict
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from graphlib import CycleError, TopologicalSorter
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Final, NamedTuple

import msgspec

from instrument.audit import RunSealed
from instrument.errors import IntegrityError
from instrument.records import ArtifactLogged, ArtifactUsed
from instrument.vocabulary import ArtifactVersion
from instrument_local.bundles.contents import Content
from instrument_local.bundles.reading import Bundle, BundledFile
from instrument_local.bundles.selecting import references_of
from instrument_local.copying import Told, hash_file
from instrument_local.imported import Imported, Origins
from instrument_local.layout import RunFiles, seal_number
from instrument_local.ledger import proofs
from instrument_local.ledger.notes import Key
from instrument_local.lines import TAIL_LENGTH, chain_of, finish_line, genesis, parse_line
from instrument_local.references import objects_of
from instrument_local.run_files import RunFile
from instrument_local.stamps import unstamp
from instrument_local.summaries import COMPUTED, Seal, SealedJournal, contradictions, load_seal

if TYPE_CHECKING:
    from instrument.protocols.ledger import Proof

_ESCAPES: Final = str.maketrans({"\\": r"\\", "\n": r"\n", "\r": r"\r"})
_MAX_PATH: Final = 4096


class Checked(NamedTuple):
    """A bundle that is what it says.

    Attributes:
        bundle: The bundle.
        digest: Its digest.
        verified: See `instrument.protocols.bundles.Import`.
        runs: The files of each run.
        origins: Where the files of each run came from, when it was imported there itself.
        named: The artifact versions that each run names.
        versions: The artifact versions, by reference.
        objects: The objects.
        wanted: Digests of all objects that something refers to.
    """

    bundle: Bundle
    digest: str
    verified: str | None
    runs: dict[str, list[BundledFile]]
    origins: dict[str, Origins]
    named: dict[str, set[str]]
    versions: dict[str, ArtifactVersion]
    objects: list[Content]
    wanted: set[str]


def check(bundle: Bundle, keys: Sequence[Key], told: Told) -> Checked:
    """Check every byte of `bundle`, and that its contents fit together.

    Args:
        bundle: The bundle.
        keys: One of them must have signed for every run, if there are any.
        told: Is told how many bytes of the contents are done.

    Raises:
        IntegrityError: It is damaged, contradicts itself, or is not signed by one of `keys`.
        OSError: It cannot be read.
    """
    with ThreadPoolExecutor(1) as pool:  # beside the rest, since hashing lets others run
        whole = pool.submit(hash_file, bundle.fd)
        checker = _Checker(bundle, keys, told)
        with bundle.naming():
            checker.check()
        digest = f"sha256:{whole.result()}"
    return Checked(
        bundle=bundle,
        digest=digest,
        verified=checker.verified,
        runs=checker.runs,
        origins=checker.origins,
        named=checker.named,
        versions=checker.versions,
        objects=checker.objects,
        wanted=checker.wanted,
    )


class _Journal(NamedTuple):
    """A journal as it was read: what a seal says of one."""

    file: BundledFile
    records: int
    head: str


class _Checker:
    """One check of a bundle."""

    def __init__(self, bundle: Bundle, keys: Sequence[Key], told: Told) -> None:
        self._bundle = bundle
        self._keys = keys
        self._told = told
        self._proofs: dict[str, Proof] = {}
        self._digests: dict[str, str] = {}  # of the versions that records name
        self._checks: dict[str, str] = {}  # of those that runs of that store made
        self.verified: str | None = None
        self.runs: dict[str, list[BundledFile]] = defaultdict(list)
        self.origins: dict[str, Origins] = {}
        self.named: dict[str, set[str]] = defaultdict(set)
        self.versions: dict[str, ArtifactVersion] = {}
        self.objects: list[Content] = []
        self.wanted: set[str] = set()

    def check(self) -> None:
        for file in self._bundle.files():
            match file.content.kind:
                case "object":
                    self._check_object(file)
                case "version":
                    self._check_version(file)
                case "proof":
                    run_id = file.content.run_id
                    self._proofs[run_id] = proofs.check(file.read(), self._keys)
                case _:
                    self.runs[file.content.run_id].append(file)
        if sorted(self.runs) != list(self._bundle.manifest.runs):
            raise IntegrityError("it does not hold the runs that it names")
        for run_id, files in self.runs.items():
            self._check_run(run_id, files)
        self._check_references()
        self.verified = self._vouched()

    def _check_object(self, file: BundledFile) -> None:
        for _ in file.chunks():
            pass
        self.objects.append(file.content)
        self._told(file.size_bytes)

    def _check_version(self, file: BundledFile) -> None:
        try:
            data = file.read()
            unstamp(data)
            version = msgspec.json.decode(data, type=ArtifactVersion)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError, IntegrityError) as error:
            raise IntegrityError(f"{file.content.path} is damaged: {error}") from error
        if file.content.path != f"artifacts/{version.name}/v{version.version}.json":
            raise IntegrityError(f"{file.content.path} holds {version.ref!a:.200}")
        for each in version.files:
            if _leads_out(each.path):
                raise IntegrityError(
                    f"{version.ref} has a file {each.path!a:.200}, which leads out"
                )
        if version.digest != _digest_of(version):
            raise IntegrityError(f"{version.ref} has not the digest of its files")
        self.versions[version.ref] = version
        self.wanted.update(each.digest for each in version.files)

    def _check_run(self, run_id: str, files: list[BundledFile]) -> None:
        by_kind: dict[str, list[RunFile]] = defaultdict(list)
        for file in files:
            by_kind[file.content.kind].append(file)
        origins = self.origins[run_id] = Origins(by_kind["fact"])
        journals = {
            file.stem: self._check_journal(run_id, file, origins)
            for file in files
            if file.content.kind == "journal"
        }
        if len(journals) != len(by_kind["journal"]) or not journals:
            raise IntegrityError(f"run {run_id} has two journals of one name, or none")
        seals = sorted(by_kind["seal"], key=lambda file: seal_number(file.path))
        if [seal_number(file.path) for file in seals] != list(range(1, len(seals) + 1)):
            raise IntegrityError(f"run {run_id} lacks a seal")
        for seal in seals:
            self._check_seal(seal, load_seal(seal), journals, origins.run_id(seal, run_id))
        if not seals or {each.name for each in load_seal(seals[-1]).journals} != set(journals):
            raise IntegrityError(f"run {run_id} has no seal that covers its journals")
        journals_in_order = sorted(by_kind["journal"], key=lambda file: file.stem)
        self._check_told(run_id, RunFiles(journals_in_order, seals, by_kind["fact"]))
        self._check_proof(run_id, seals[-1])

    def _check_told(self, run_id: str, files: RunFiles) -> None:
        """The last seal tells of the run what its journals tell."""
        for field, _, _ in contradictions(run_id, files):
            if field not in COMPUTED:
                told = f"{files.seals[-1].name} of run {run_id} tells its {field}"
                raise IntegrityError(f"{told} otherwise than its journals")

    def _check_journal(self, run_id: str, file: BundledFile, origins: Origins) -> _Journal:
        origin = origins.of(file)
        previous, records = genesis(origins.run_id(file, run_id), file.stem), 0
        for number, line in enumerate(file.lines(), start=1):
            if not line.endswith(b"\n"):
                break  # torn: its record was never acknowledged
            previous = chain_of(line[:-TAIL_LENGTH], previous)
            if line != finish_line(line[:-TAIL_LENGTH], previous):
                raise IntegrityError(f"line {number} of {file.content.path} was changed")
            self._check_line(run_id, file, line, records, origin)
            records += 1
        self._told(file.size_bytes)
        return _Journal(file, records, previous.hex())

    def _check_line(
        self, run_id: str, file: BundledFile, line: bytes, seq: int, origin: Imported | None
    ) -> None:
        entry = parse_line(line, file.stem)
        if entry.seq != seq:
            raise IntegrityError(f"{file.content.path} has record {entry.seq} in place of {seq}")
        record = origin.record(entry.record) if origin else entry.record
        self.named[run_id].update(references_of(record))
        self.wanted.update(objects_of(record))
        if isinstance(record, ArtifactLogged | ArtifactUsed):
            if isinstance(record, ArtifactLogged) and record.check is not None:
                self._checks[record.ref] = record.check
            known = self._digests.setdefault(record.ref, record.digest)
            if known != record.digest and record.ref in self.named[run_id]:
                raise IntegrityError(f"its runs do not agree on what {record.ref!a:.200} is")

    def _check_seal(
        self, file: RunFile, seal: Seal, journals: dict[str, _Journal], run_id: str
    ) -> None:
        if seal.run.id != run_id:
            raise IntegrityError(f"{file.path.name} of run {run_id} is of run {seal.run.id!a:.100}")
        for sealed in seal.journals:
            journal = journals.get(sealed.name)
            if journal is None or not _is_covered(sealed, journal):
                raise IntegrityError(f"{file.path.name} sealed another {sealed.name!a:.200}")

    def _check_proof(self, run_id: str, seal: RunFile) -> None:
        proof = self._proofs.get(run_id)
        if proof is None:
            return
        event, digest = proof.event, f"sha256:{hashlib.sha256(seal.read()).hexdigest()}"
        is_of_run = (
            isinstance(event, RunSealed)
            and (event.run_id, event.seal, event.digest) == (run_id, seal.name, digest)
            and proof.checkpoint.startswith(f"{self._bundle.manifest.origin}/")
        )
        if not is_of_run:
            raise IntegrityError(f"the proof of run {run_id} is about something else")

    def _check_references(self) -> None:
        """Everything that is referred to is there, or is told to be left out."""
        named = set().union(*self.named.values())
        parents = {parent for version in self.versions.values() for parent in version.parents}
        for ref in sorted(named | parents):
            version = self.versions.get(ref)
            if version is None:
                raise IntegrityError(f"{ref!a:.200} is referred to and not there")
            if (
                self._digests.get(ref, version.digest) != version.digest
                or self._checks.get(ref, version.check) != version.check
            ):
                raise IntegrityError(f"{ref} is not what its runs say")
        in_order(self.versions)
        there = {f"sha256:{content.sha256}" for content in self.objects}
        told = {each.digest for each in self._bundle.manifest.left_out}
        for digest in sorted(self.wanted - there - told):
            raise IntegrityError(f"object {digest!a:.100} is referred to and not there")

    def _vouched(self) -> str | None:
        signers = {
            run_id: proof.signed_by for run_id, proof in self._proofs.items() if run_id in self.runs
        }
        if self._keys:
            for run_id in self.runs:
                if signers.get(run_id) is None:
                    raise IntegrityError(
                        f"none of the given keys signed for run {run_id}, nor agreed to one that "
                        "did; where who signs has a new key, ask them for its public half (they "
                        "have it from `instrument ledger key show`), not who brought the bundle"
                    )
            for ref in self.versions:
                if ref not in self._digests:
                    raise IntegrityError(
                        f"no signed run vouches for {ref}; export the run that made it, too, or "
                        "import without --require-signature"
                    )
            names = sorted({str(signer).partition("+")[0] for signer in signers.values()})
            return f"signed by {', '.join(names)}"
        return "proof" if set(self.runs) <= set(signers) else None


def _is_covered(sealed: SealedJournal, journal: _Journal) -> bool:
    """Whether `journal` is, or begins with, what was sealed."""
    if sealed.size_bytes == journal.file.size_bytes:
        sha256 = journal.file.content.sha256
        return (sealed.sha256, sealed.records, sealed.head) == (
            sha256,
            journal.records,
            journal.head,
        )
    begun, left = hashlib.sha256(), sealed.size_bytes
    for chunk in journal.file.chunks():
        begun.update(chunk[:left])
        left -= min(left, len(chunk))
    return not left and not sealed.closed and begun.hexdigest() == sealed.sha256


def _digest_of(version: ArtifactVersion) -> str | None:
    """The digest that `version` must have, by its files."""
    if not version.is_tree:
        return version.files[0].digest if len(version.files) == 1 else None
    lines = []
    for file in version.files:
        escaped = file.path.translate(_ESCAPES)
        mark = "\\" if escaped != file.path else ""
        lines.append(f"{mark}{file.digest.removeprefix('sha256:')}  {escaped}\n")
    try:
        return f"sha256:{hashlib.sha256(''.join(lines).encode()).hexdigest()}"
    except UnicodeEncodeError:
        return None


def _leads_out(path: str) -> bool:
    """Whether `path` names anything but a file below the directory of its artifact."""
    parts = path.split("/")
    odd = {"", ".", ".."} & set(parts) or "\0" in path or len(path) > _MAX_PATH
    return bool(odd) or PurePosixPath(path).is_absolute()


def in_order(arriving: dict[str, ArtifactVersion]) -> list[ArtifactVersion]:
    """The versions, each behind those it was made from and those of its name with lower numbers.

    Raises:
        IntegrityError: There is no such order, which in a store there always is.
    """
    before: dict[str, str] = {}
    sorter: TopologicalSorter[str] = TopologicalSorter()
    for version in sorted(arriving.values(), key=lambda each: (each.name, each.version or 0)):
        previous = before.get(version.name)
        sorter.add(version.ref, *version.parents, *([previous] if previous else []))
        before[version.name] = version.ref
    try:
        return [arriving[ref] for ref in sorter.static_order()]
    except CycleError as error:
        raise IntegrityError(f"{error.args[1][0]} was made from itself") from error
