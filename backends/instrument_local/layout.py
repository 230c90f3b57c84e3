"""Where everything lies in the store, and the file FORMAT that says which layout it is.

FORMAT                       {"format":1,"store_id":"<uuid>","check":…}
objects/ab/<sha256>          bytes as they are
runs/<YYYYMM>/<run_id>/      journals (*.jsonl) and seals (run.json, run.2.json, …)
                             imported.<hex>.json beside what an import brought
runs/<YYYYMM>/<run_id>.<n>   an empty file: the run went on after its n-th seal
packs/<sha256>.pack          runs that are final, many in a file
artifacts/<name>/            vN.json and <alias>@<n>.json
open/                        a marker for each process that is recording
tmp/                         files that are not finished
trash/                       objects that gc is about to remove
"""

import os
import re
import uuid
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Final, NamedTuple

import msgspec

from instrument.errors import IntegrityError, StoreError, StoreVersionError, UsageError
from instrument.naming import check_run_id
from instrument.protocols import Clock
from instrument.records import FORMAT_VERSION, Problem
from instrument_local.files import Disk, Files, is_directory, read_file, store_errors
from instrument_local.packs.shelf import Shelf
from instrument_local.run_files import LooseFile, RunFile
from instrument_local.stamps import stamp, unstamp

_DATED: Final = re.compile(r"((?:19|20)[0-9]{2}(?:0[1-9]|1[0-2]))")
_DIGEST: Final = re.compile(r"sha256:([0-9a-f]{64})")
STORE_ID: Final = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_MONTH: Final = re.compile(r"[0-9]{6}")
_LATER_SEAL: Final = re.compile(r"run\.([2-9]|[1-9][0-9]{1,5})\.json")
_IMPORTED: Final = re.compile(r"imported\.[0-9a-f]{16}\.json")
GITIGNORE: Final = b"*\n"
_AS_TOLD: Final = "it was missing, and is written again with the id that the checkpoints tell"
_NEW_ID: Final = (
    "it was missing, and no checkpoint tells the id that was in it: the store has the new id {}; "
    "checkpoints, proofs and bundles of before go by another"
)


class Format(msgspec.Struct):
    """Content of the file FORMAT."""

    format: int
    store_id: str


class RunFiles(NamedTuple):
    """The files of a run, wherever they lie.

    Attributes:
        journals: The journals, by name.
        seals: The seals, oldest first.
        facts: Where those of them came from that an import brought.
    """

    journals: list[RunFile]
    seals: list[RunFile]
    facts: list[RunFile]


class Layout:
    """Paths of one store; makes the store itself when something is written for the first time.

    Args:
        root: Directory of the store; it need not exist.
        clock: The time.
        disk: The calls that change the disk.
        told_id: The id of a store whose FORMAT is missing, as its ledger tells; None: nothing does.

    Raises:
        StoreVersionError: A newer version wrote the store.
        StoreError: `root` is no store, or cannot be read.
    """

    def __init__(
        self,
        root: Path,
        clock: Clock,
        disk: Disk,
        told_id: "Callable[[Layout], str | None]" = lambda _: None,
    ) -> None:
        self.root = root
        self._told_id = told_id
        self.files = Files(root, disk)
        self.objects = root / "objects"
        self.runs = root / "runs"
        self.packs = Shelf(root / "packs")
        self.artifacts = root / "artifacts"
        self.open = root / "open"
        self.trash = root / "trash"
        self.clock = clock
        self._format = self._read_format()
        self._is_durable = False
        self.notices = deque[Problem]()  # what was found and set right, until a journal tells it
        self.set_aside = 0  # how many damaged objects were, because they were stored again

    @property
    def format(self) -> Format | None:
        """What FORMAT says; None while the store is not there.

        Raises:
            StoreError: As when the store is opened.
        """
        if self._format is None:
            self._format = self._read_format()
        return self._format

    @property
    def store_id(self) -> str | None:
        """Id of the store: what FORMAT says or, where that is missing, the ledger; None: unknown.

        Raises:
            StoreError: As when the store is opened.
        """
        if self.format is not None:
            return self.format.store_id
        return self._told_id(self) if self.lacks_format() else None

    def lacks_format(self) -> bool:
        """Whether a store is there, without FORMAT. Raises as `store_id`."""
        if self.format is not None:
            return False
        if not (is_directory(self.root / "ledger/entries") or any(self.months())):
            return False
        self._format = self._read_format()  # it may have been made meanwhile, before all else
        return self._format is None

    def create(self) -> None:
        """Make the store if it is not there yet.

        Raises:
            StoreError: It cannot be made.
            OSError: As above.
        """
        if self.format is not None:
            if not self._is_durable:  # whoever made it may not have come so far
                self.files.make_durable(self.root / "FORMAT")
                self._is_durable = True
            return
        os.makedirs(self.root.parent, exist_ok=True)  # noqa: PTH103 - the user's own, not private
        self.files.make_durable_directory(self.root)
        if not os.listdir(self.root):  # noqa: PTH208 - a directory of the user's stays visible to git
            self.files.publish(self.root / ".gitignore", GITIGNORE)
        lacked = self.lacks_format()
        told = self._told_id(self) if lacked else None
        content = Format(format=FORMAT_VERSION, store_id=told or str(uuid.uuid4()))
        made = self.files.publish(self.root / "FORMAT", stamp(msgspec.json.encode(content)))
        self._format = self._read_format()  # somebody else may have been first
        if made and lacked:
            message = _AS_TOLD if told else _NEW_ID.format(content.store_id)
            doing = "find the store's FORMAT"
            self.notices.append(Problem(doing=doing, error="StoreError", message=message))

    def _read_format(self) -> Format | None:
        path = self.root / "FORMAT"
        with store_errors("open the store"):
            try:
                data = read_file(path)
            except FileNotFoundError:
                return None
        try:
            found = msgspec.json.decode(data, type=Format)
            if found.format > FORMAT_VERSION:
                raise StoreVersionError(
                    f"{self.root} has store format {found.format}, and this version knows "
                    f"{FORMAT_VERSION}; install a newer instrument-ml"
                )
            unstamp(data)
            if not STORE_ID.fullmatch(found.store_id):  # it becomes the name of a file
                raise IntegrityError(f"{found.store_id!r:.80} is no id of a store")  # noqa: TRY301 - as all
        except (msgspec.MsgspecError, RecursionError, UnicodeDecodeError, IntegrityError) as error:
            raise StoreError(
                f"{path} is damaged ({error}): it begins with {data[:80]!r}, and should be "
                f'{{"format":{FORMAT_VERSION},"store_id":"<uuid>","check":"<sha256>"}}; restore it '
                "from a copy, or write it again as docs/repair.md says"
            ) from error
        return found

    def object_path(self, digest: str) -> Path | None:
        """Where the object `digest` lies; None when `digest` is no digest."""
        match = _DIGEST.fullmatch(digest)
        return self.objects / match[1][:2] / match[1] if match else None

    def months(self) -> list[Path]:
        """The directories of runs, oldest first."""
        try:
            names = os.listdir(self.runs)  # noqa: PTH208 - names only, and twice as fast
        except (FileNotFoundError, NotADirectoryError):
            return []
        paths = [self.runs / name for name in sorted(names) if _MONTH.fullmatch(name)]
        return [path for path in paths if is_directory(path)]

    def run_directories(self, run_id: str) -> list[Path]:
        """The directories of a run: one, or two when its first processes met a change of month.

        None when all of it is in packs.
        """
        dated = _DATED.match(run_id)
        months = [self.runs / dated[1]] if dated else self.months()
        pairs = [(month, month / run_id) for month in months]
        return [path for month, path in pairs if is_directory(path) and is_directory(month)]

    def has_run(self, run_id: str) -> bool:
        """Whether there is a run of exactly this id."""
        try:
            check_run_id(run_id)
        except UsageError:
            return False
        return bool(self.run_directories(run_id)) or self.packs.holds(run_id)

    def run_path(self, run_id: str) -> Path:
        """Where the run lies or lay, to show; without its month where nothing tells that."""
        dated = _DATED.match(run_id)
        lay = self.runs / dated[1] / run_id if dated else self.runs / run_id
        return next(iter(self.run_directories(run_id)), lay)

    def run_directory_to_write(self, run_id: str) -> Path:
        """Where a new journal of the run goes; it may not exist yet."""
        existing = self.run_directories(run_id)
        if existing:
            return existing[0]
        dated = _DATED.match(run_id)
        return self.runs / (dated[1] if dated else f"{self.clock.now():%Y%m}") / run_id

    def run_ids(self) -> list[str]:
        """Ids of all runs, sorted."""
        return sorted({*self.loose_run_ids(), *self.packs.run_ids()})

    def loose_run_ids(self) -> set[str]:
        """Ids of the runs that have a directory."""
        names = {name for month in self.months() for name in os.listdir(month)}  # noqa: PTH208 - as above
        return {name for name in names if "." not in name and name.isascii()}

    def run_files(self, run_id: str) -> RunFiles:
        """The files of a run, none where there is none; of two equal ones the loose is meant.

        Raises:
            IntegrityError: Some lie in a pack that is damaged.
        """
        # The loose ones first: packing ends with removing them.
        files: list[RunFile] = list(self._loose_files(run_id))
        if packed := self.packs.files_of(run_id):
            both = {(file.path.parent.parent.name, file.name): file for file in (*packed, *files)}
            files = list(both.values())
        journals = [file for file in files if file.name.endswith(".jsonl")]
        seals = [file for file in files if seal_number(file.path)]
        facts = [file for file in files if is_imported(file.name)]
        return RunFiles(
            sorted(journals, key=lambda file: file.stem),
            sorted(seals, key=lambda file: seal_number(file.path)),
            sorted(facts, key=lambda file: file.name),
        )

    def _loose_files(self, run_id: str) -> Iterator[LooseFile]:
        for directory in self.run_directories(run_id):
            with suppress(FileNotFoundError):  # packed meanwhile
                for name in os.listdir(directory):  # noqa: PTH208 - as above
                    yield LooseFile(directory / name, partial(self._packed, run_id, name))

    def _packed(self, run_id: str, name: str) -> RunFile | None:
        """The file `name` of the run, in a pack."""
        files = self.packs.files_of(run_id)
        return next((file for file in files if file.name == name), None)

    def relative(self, path: Path) -> str:
        """`path` as verify shows it; of a name that is no UTF-8, the bytes with backslashes."""
        name = path.relative_to(self.root).as_posix()
        return name if name.isprintable() else os.fsencode(name).decode(errors="backslashreplace")


def seal_name(number: int) -> str:
    """``run.json``, then ``run.2.json`` and so on."""
    return "run.json" if number == 1 else f"run.{number}.json"


def is_imported(name: str) -> bool:
    """Whether the file `name` of a run says where others came from."""
    return _IMPORTED.fullmatch(name) is not None


def seal_number(path: Path) -> int:
    """Inverse of `seal_name`; 0 for what is no seal."""
    if path.name == "run.json":
        return 1
    match = _LATER_SEAL.fullmatch(path.name)
    return int(match[1]) if match else 0
