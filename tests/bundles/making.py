"""Stores with runs that can travel, and bundles made by hand."""

import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from instrument.clock import SystemClock
from instrument.records import (
    ArtifactLogged,
    ArtifactUsed,
    CodeCaptured,
    EnvironmentCaptured,
    Metrics,
    TelemetrySummarised,
)
from instrument.testing.samples import draft, record_run, run_started
from instrument.vocabulary import ArtifactVersion
from instrument_local import LocalStore
from instrument_local.bundles.contents import MAGIC
from instrument_local.bundles.reading import Bundle
from instrument_local.files import Disk
from instrument_local.stamps import stamp

RUN = "20260304-050607-0000000000aa"
DATA, WEIGHTS = b"rows\n" * 40, bytes(range(256)) * 40


def store_at(path: Path, disk: Disk | None = None) -> LocalStore:
    return LocalStore(path, SystemClock(), disk)


def log(store: LocalStore, name: str, content: bytes, **fields: Any) -> ArtifactVersion:
    store.put_bytes(content)
    return store.claim(draft(name, content, **fields))


def logged(version: ArtifactVersion) -> ArtifactLogged:
    return ArtifactLogged(
        ref=version.ref,
        type=version.type,
        digest=version.digest,
        size_bytes=version.size_bytes,
        parents=version.parents,
    )


def used(version: ArtifactVersion) -> ArtifactUsed:
    return ArtifactUsed(
        ref=version.ref, type=version.type, digest=version.digest, requested=version.name
    )


def full_run(store: LocalStore, run_id: str = RUN, weights: bytes = WEIGHTS) -> None:
    """A sealed run that refers to something in every way there is."""
    data = log(store, "data", DATA)
    model = log(store, "model", weights, parents=(data.ref,), run_id=run_id)
    kept = [store.put_bytes(f"{run_id} {what}".encode()) for what in range(6)]
    record_run(
        store,
        run_id,
        run_started("travels"),
        CodeCaptured(git=None, patch=kept[0], manifest=kept[1], script=kept[2]),
        EnvironmentCaptured(level=2, snapshot=kept[3], health=(), files={"uv.lock": kept[4]}),
        used(data),
        Metrics(values={"loss": 0.5}, step=1),
        logged(model),
        TelemetrySummarised(values={}, samples=0, interval_seconds=1.0, columns=(kept[5],)),
    )
    store.seal(run_id)


def bundle_of(store: LocalStore, target: Path, *run_ids: str, **options: Any) -> Path:
    store.bundles.export(run_ids or (RUN,), target, **options)
    return target


def answers(store: LocalStore, *run_ids: str) -> dict[str, Any]:
    """What a user can ask about runs and artifacts, where it came from apart."""
    runs = run_ids or (RUN,)
    versions = list(store.artifacts())
    return {
        "runs": [store.run(run_id) for run_id in runs],
        "entries": [list(store.entries(run_id)) for run_id in runs],
        "versions": [
            (each.ref, each.digest, each.parents, each.run_id, each.aliases, each.created_at)
            for each in versions
        ],
        "bytes": [store.get_bytes(file.digest) for each in versions for file in each.files],
    }


def files_of(store: LocalStore) -> dict[str, bytes]:
    """Every file of the store, except what maintenance and unfinished work leave behind."""
    root = Path(store.location)
    return {
        path.relative_to(root).as_posix(): path.read_bytes()
        for path in root.rglob("*")
        if path.is_file() and path.relative_to(root).parts[0] not in {"maintenance", "tmp"}
    }


def taken_apart(path: Path) -> tuple[dict[str, Any], dict[str, bytes]]:
    """The manifest of a bundle, without its parts, and its contents by path."""
    with Bundle(path) as bundle:
        contents = {file.content.path: file.read() for file in bundle.files()}
        line, _ = _line(path)
    manifest = json.loads(line)
    del manifest["parts"], manifest["check"]
    return manifest, contents


def _line(path: Path) -> tuple[bytes, int]:
    data = path.read_bytes()
    length = int(data[-17:])
    return data[-17 - length : -17], len(data) - 17 - length


def part_of(contents: list[tuple[str, bytes]], **fields: Any) -> tuple[dict[str, Any], bytes]:
    """A raw part with `contents`; `fields` lie about it."""
    data = b"".join(each for _, each in contents)
    listed = [
        {"path": path, "size_bytes": len(each), "sha256": hashlib.sha256(each).hexdigest()}
        for path, each in contents
    ]
    sha256 = hashlib.sha256(data).hexdigest()
    part = {"coding": "raw", "size_bytes": len(data), "sha256": sha256, "contents": listed}
    return part | fields, data


def put_together(
    path: Path, manifest: dict[str, Any], parts: list[tuple[dict[str, Any], bytes]]
) -> Path:
    """A bundle that is what its maker wants it to be, with all its own checks right."""
    whole = manifest | {"parts": [part for part, _ in parts]}
    line = stamp(json.dumps(whole, sort_keys=True, separators=(",", ":")).encode())
    path.write_bytes(MAGIC + b"".join(data for _, data in parts) + line + b"%016d\n" % len(line))
    return path


def forged(
    path: Path, good: Path, edit: Callable[[dict[str, Any], dict[str, bytes]], None]
) -> Path:
    """The bundle `good` after `edit` changed its manifest and its contents by path."""
    manifest, contents = taken_apart(good)
    edit(manifest, contents)
    return put_together(path, manifest, [part_of([each]) for each in contents.items()])


def restamped(data: bytes, **fields: Any) -> bytes:
    """The stamped file `data` with other members, stamped again."""
    value = json.loads(data)
    del value["check"]
    return stamp(json.dumps(value | fields, separators=(",", ":")).encode())


def outside(root: Path) -> Callable[[], None]:
    """A sentinel beside the store; the result checks that it is as it was, and alone."""
    place = root / "outside"
    place.mkdir()
    (place / "passwd").write_text("sentinel")
    before = sorted(path.name for path in root.iterdir())

    def check() -> None:
        assert (place / "passwd").read_text() == "sentinel"
        assert [path.name for path in place.iterdir()] == ["passwd"]
        assert sorted(path.name for path in root.iterdir()) == before

    return check
