"""What an artifact costs: one large file, and a tree of small ones."""

import os
from pathlib import Path

from benchmarks.row import Entrant, Numbers, Row, Target, one_by_one
from benchmarks.workplace import Workplace

MIB = 1024 * 1024
_FORGETFUL = ("sha256sum", "cp", "git_hash_object")


def _measure_file(place: Workplace, entrant: Entrant) -> Numbers:
    """The file, and again unchanged in another process."""
    path = place.directory / "model.bin"
    if not path.exists():
        _write(path, 2048 * MIB)
    _fill_memory(place.directory / "pages")
    _read(path, 0, path.stat().st_size)
    return _first_and_again(place, entrant, path, change=None)


def _fill_memory(pages: Path) -> None:
    """Let every entrant find memory that is in use, by pages of a file that nobody needs.

    A virtual machine gives free memory back, and gets it at the next use, which takes seconds; what
    the page cache holds stays the machine's, and is given up at once.
    """
    size = 2 * _memory("MemTotal")
    if not pages.exists():
        with pages.open("wb") as file:
            file.truncate(size)
    for start in range(0, size, 256 * MIB):
        if _memory("MemFree") < 1024 * MIB:
            return
        _read(pages, start, 256 * MIB)


def _memory(name: str) -> int:
    """What /proc/meminfo says, in bytes."""
    lines = Path("/proc/meminfo").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(f"{name}:")) * 1024


def _read(path: Path, start: int, size: int) -> None:
    buffer = bytearray(8 * MIB)
    with path.open("rb", buffering=0) as file:
        file.seek(start)
        while file.tell() < start + size and file.readinto(buffer):
            pass


def _measure_tree(place: Workplace, entrant: Entrant) -> Numbers:
    """The tree, and again in another process with one file changed."""
    tree = place.directory / "tree"
    if not tree.exists():
        for number in range(10_000):
            _write(tree / f"part{number // 500}" / f"{number}.bin", 10 * 1024)
    return _first_and_again(place, entrant, tree, change=tree / "part0" / "0.bin")


def _first_and_again(
    place: Workplace, entrant: Entrant, path: Path, change: Path | None
) -> Numbers:
    """A command that remembers nothing is run once."""
    place.wipe("artifact", entrant.label)
    first = _log(place, entrant, path)
    numbers = {
        "first_s": first["done_seconds"],
        "first_call_s": first["call_seconds"],
        "peak_mb": first["peak_mb"],
    }
    if entrant.label not in _FORGETFUL:
        if change is not None:
            _write(change, change.stat().st_size)
        again = _log(place, entrant, path)
        numbers["again_s"] = again["done_seconds"]
        numbers["again_call_s"] = again["call_seconds"]
    numbers["disk"] = _stored_bytes(place, entrant) / _size(path)
    if change is None:
        place.delete("artifact", entrant.label)
    return numbers


def _log(place: Workplace, entrant: Entrant, path: Path) -> Numbers:
    os.sync()
    return place.run(entrant.environment, "artifact", entrant.label, str(path))


def _stored_bytes(place: Workplace, entrant: Entrant) -> int:
    store = place.store("artifact", entrant.label)
    return sum(path.lstat().st_blocks * 512 for path in store.rglob("*") if path.is_file())


def _size(path: Path) -> int:
    files = path.rglob("*.bin") if path.is_dir() else [path]
    return sum(file.stat().st_size for file in files)


def _write(path: Path, size: int) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("wb") as file:
        for start in range(0, size, MIB):
            file.write(os.urandom(min(MIB, size - start)))


_PEERS = (
    Entrant("sacred", "sacred", most_rounds=1),
    Entrant("wandb", "wandb", most_rounds=1),
    Entrant("mlflow_file", "mlflow", most_rounds=1),
    Entrant("trackio", "trackio", most_rounds=1),
    Entrant("dvc_add", "dvclive", most_rounds=1),
)
_ENTRANTS = (Entrant("floor", "floor"), *_PEERS, Entrant("instrument_basic", "instrument"))
_COLUMNS = {
    "first_call_s": "first, call s",
    "first_s": "to the end s",
    "again_call_s": "again, call s",
    "again_s": "to the end s",
    "disk": "disk x size",
    "peak_mb": "peak MB",
}

FILE = Row(
    name="artifact_file",
    title="A file of 2 GiB as an artifact, and again unchanged (peers: one round)",
    entrants=(
        Entrant("sha256sum", "floor", most_rounds=2),
        Entrant("cp", "floor"),
        *_ENTRANTS,
    ),
    columns=_COLUMNS,
    targets=(
        Target("first_call_s", "instrument_basic", 1.15, "floor"),
        Target("again_call_s", "instrument_basic", 0.05),
        Target("disk", "instrument_basic", 1.01),
        Target("peak_mb", "instrument_basic", 60),
    ),
    measure=one_by_one(_measure_file),
    warm_up=False,
    most_rounds=4,
)
TREE = Row(
    name="artifact_tree",
    title="A tree of 10 000 files of 10 KiB, and again with one changed (peers: one round)",
    entrants=(
        Entrant("git_hash_object", "floor", most_rounds=1),
        Entrant("stat_and_sha256", "floor"),
        *_ENTRANTS,
    ),
    columns=_COLUMNS,
    targets=(
        Target("first_call_s", "instrument_basic", 1.6, "floor"),
        Target("again_call_s", "instrument_basic", 0.15),
        Target("again_call_s", "instrument_basic", 1, "stat_and_sha256"),  # 0.15 s of it as well
        Target("peak_mb", "instrument_basic", 60),
    ),
    measure=one_by_one(_measure_tree),
    warm_up=False,
    most_rounds=4,
)
