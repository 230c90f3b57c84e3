"""What gc collected stays behind when a run is exported; what was lost is told as lost."""

import os
import shutil
from pathlib import Path

import pytest
from bundles.making import (
    RUN,
    WEIGHTS,
    bundle_of,
    full_run,
    log,
    logged,
    store_at,
    taken_apart,
    used,
)
from cli.support import call

from instrument import ExperimentContext
from instrument.cli.retention import policy
from instrument.errors import IntegrityError, NotFoundError, StoreError
from instrument.naming import parse_reference
from instrument.protocols.upkeep import Scope
from instrument.testing.samples import record_run
from instrument_local import LocalStore

OTHER = "20260304-050608-0000000000bb"
COLLECTED = [f"checkpoint {number}".encode() for number in range(2)]
GC = ("gc", "--type", "checkpoint", "--keep", "tagged", "--grace", "0", "--yes")


def object_of(store: LocalStore, reference: str) -> Path:
    path = store.path_of(store.resolve(parse_reference(reference)).digest)
    assert path is not None
    return path


@pytest.fixture
def ours(tmp_path: Path) -> LocalStore:
    """A run whose two checkpoints were collected, and another that used what came of the first."""
    store = store_at(tmp_path / "ours")
    made = [log(store, "ckpt", each, type="checkpoint", run_id=RUN) for each in COLLECTED]
    record_run(store, RUN, *map(logged, made))
    report = log(store, "report", b"report", parents=("ckpt:v1",), run_id=RUN)
    record_run(store, OTHER, used(report))
    for run_id in (RUN, OTHER):
        store.seal(run_id)
    for path in (tmp_path / "ours/objects").rglob("*"):
        os.utime(path, (0, 0))
    done = store.upkeep.collect(Scope(policies=(policy(keep=["tagged"], types=["checkpoint"]),)))
    assert done.objects == 2
    return store


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize(("run_id", "collected"), [(RUN, 2), (OTHER, 1)])
def test_what_was_collected_is_left_out_and_told(
    ours: LocalStore, tmp_path: Path, packed: bool, run_id: str, collected: int
) -> None:
    if packed:
        ours.pack(everything=True)
    written = ours.bundles.export([run_id], tmp_path / "b")
    assert written.left_out == {"not in the store": collected}
    theirs = store_at(tmp_path / "theirs")
    brought = theirs.bundles.import_(tmp_path / "b")
    assert (brought.left_out, len(brought.artifacts)) == (collected, 2)
    assert theirs.run(run_id) == ours.run(run_id)
    found = theirs.verify()
    assert found.ok
    dropped = {each.expected for each in found.problems if each.kind == "object_dropped"}
    assert dropped == {
        ours.resolve(parse_reference(f"ckpt:v{number + 1}")).digest for number in range(collected)
    }
    with pytest.raises(NotFoundError, match=r"is not here: bundle sha256:.* came without it"):
        theirs.get_bytes(theirs.resolve(parse_reference("ckpt:v1")).digest)
    onward = theirs.bundles.export([run_id], tmp_path / "onward")
    assert onward.left_out == written.left_out
    log(ours, "again", COLLECTED[0])
    whole = bundle_of(ours, tmp_path / "more", run_id)
    assert theirs.bundles.import_(whole).objects == 1


def test_the_command_says_what_it_left_out(store_path: Path, tmp_path: Path) -> None:
    with ExperimentContext(name="three") as run:
        for step in range(3):
            run.log_checkpoint({"w": step}, step=step, best=step == 2)
    assert call(*GC).code == 0
    done = call("export", "latest", "-o", tmp_path / "b")
    assert (done.code, done.err.splitlines()[-1]) == (0, "left out 2 objects: not in the store")


@pytest.mark.parametrize("limit", [None, 1 << 20])
def test_what_was_lost_is_told_in_one_line_with_the_way_out(
    tmp_path: Path, limit: int | None
) -> None:
    store = store_at(tmp_path / "ours")
    full_run(store)
    lost = object_of(store, "model")
    shutil.move(lost, tmp_path / "lost")
    with pytest.raises(IntegrityError) as told:
        bundle_of(store, tmp_path / "b", max_object_bytes=limit)
    for words in (f"sha256:{lost.name} is lost", "repair --from", "--without-objects"):
        assert words in str(told.value)
    assert "\n" not in str(told.value)
    assert not (tmp_path / "b").exists()
    none = store.bundles.export([RUN], tmp_path / "none", max_object_bytes=-1)
    assert none.left_out == {"lost": 1, "without objects": 1}
    theirs = store_at(tmp_path / "theirs")
    assert theirs.bundles.import_(tmp_path / "none").left_out == 2
    assert theirs.verify().ok


def test_what_a_collection_set_aside_goes_along(tmp_path: Path) -> None:
    store = store_at(tmp_path / "ours")
    full_run(store)
    (tmp_path / "ours/trash").mkdir(exist_ok=True)
    path = object_of(store, "model")
    path.rename(tmp_path / "ours/trash" / path.name)
    contents = taken_apart(bundle_of(store, tmp_path / "b"))[1]
    assert contents[f"objects/{path.name[:2]}/{path.name}"] == WEIGHTS


def test_what_goes_while_it_is_exported_is_no_matter_of_space(tmp_path: Path) -> None:
    store = store_at(tmp_path / "ours")
    full_run(store, weights=os.urandom(300_000))
    path = object_of(store, "model")
    with pytest.raises(StoreError, match=f"{path} went from the store meanwhile; export again$"):
        bundle_of(store, tmp_path / "b", told=lambda _: path.unlink(missing_ok=True))
    assert not list(tmp_path.glob("*b*"))
