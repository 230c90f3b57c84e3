"""What an artifact costs: one large file, and a tree of small ones."""

import os
from pathlib import Path

from benchmarks.row import Entrant, Numbers, Row, Target, one_by_one
from benchmarks.workplace import Workplace

MIB = 1024 * 1024


def _measure_file(place: Workplace, entrant: Entrant) -> Numbers:
    """The file, and again unchanged in another process."""
    path = place.directory / "model.bin"
    if not path.exists():
        _write(path, (2048 if place.full else 256) * MIB)
    place.wipe("artifact", entrant.label)
    first = _log(place, entrant, path)
    again = _log(place, entrant, path)
    return _numbers(place, entrant, first, again, path.stat().st_size)


def _measure_tree(place: Workplace, entrant: Entrant) -> Numbers:
    """The tree, and again in another process with one file changed."""
    tree = place.directory / "tree"
    count = 10_000 if place.full else 2_000
    if not tree.exists():
        for number in range(count):
            _write(tree / f"part{number // 500}" / f"{number}.bin", 10 * 1024)
    place.wipe("artifact", entrant.label)
    first = _log(place, entrant, tree)
    _write(tree / "part0" / "0.bin", 10 * 1024)
    again = _log(place, entrant, tree)
    return _numbers(place, entrant, first, again, count * 10 * 1024)


def _log(place: Workplace, entrant: Entrant, path: Path) -> Numbers:
    os.sync()
    return place.run(entrant.environment, "artifact", entrant.label, str(path))


def _numbers(
    place: Workplace, entrant: Entrant, first: Numbers, again: Numbers, size: int
) -> Numbers:
    store = place.store("artifact", entrant.label)
    stored = sum(path.lstat().st_blocks * 512 for path in store.rglob("*") if path.is_file())
    return {
        "first_s": first["done_seconds"],
        "first_call_s": first["call_seconds"],
        "again_s": again["done_seconds"],
        "again_call_s": again["call_seconds"],
        "disk": stored / size,
        "peak_mb": first["peak_mb"],
    }


def _write(path: Path, size: int) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("wb") as file:
        for start in range(0, size, MIB):
            file.write(os.urandom(min(MIB, size - start)))


_ENTRANTS = (
    Entrant("floor", "floor"),
    Entrant("sacred", "sacred"),
    Entrant("wandb", "wandb"),
    Entrant("mlflow_file", "mlflow"),
    Entrant("trackio", "trackio"),
    Entrant("instrument_basic", "instrument"),
)
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
    title="A file of 256 MiB (2 GiB with --full) as an artifact, and again unchanged",
    entrants=(Entrant("sha256sum", "floor"), Entrant("cp", "floor"), *_ENTRANTS),
    columns=_COLUMNS,
    targets=(
        Target("first_call_s", "instrument_basic", 1.15, "floor"),
        Target("again_call_s", "instrument_basic", 0.05),
        Target("disk", "instrument_basic", 1.01),
        Target("peak_mb", "instrument_basic", 60),
    ),
    measure=one_by_one(_measure_file),
    warm_up=False,
)
TREE = Row(
    name="artifact_tree",
    title="A tree of 2 000 files of 10 KiB (10 000 with --full), and again with one changed",
    entrants=(
        Entrant("git_hash_object", "floor"),
        *_ENTRANTS[:-1],
        Entrant("dvc_add", "dvclive"),
        _ENTRANTS[-1],
    ),
    columns=_COLUMNS,
    targets=(
        Target("first_call_s", "instrument_basic", 1.6, "floor"),
        Target("again_call_s", "instrument_basic", 0.15),
        Target("peak_mb", "instrument_basic", 60),
    ),
    measure=one_by_one(_measure_tree),
    warm_up=False,
    most_rounds=5,
)
