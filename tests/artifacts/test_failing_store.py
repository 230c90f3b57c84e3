"""What the store could not do never reaches user code: it is no parent and no input, and told."""

import errno
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest
from faults.small_disk import in_memory

from instrument import ExperimentContext, register_serialiser, registry, track_artifacts
from instrument.clock import SystemClock
from instrument.errors import NotFoundError, StoreError
from instrument.records import ArtifactUsed, Problem
from instrument.vocabulary import ArtifactVersion, RunState
from instrument_local.files import Disk


@contextmanager
def a_run(**options: Any) -> Iterator[ExperimentContext]:
    """A run whose environment is captured: what fails in the store is what the test does to it."""
    with ExperimentContext(name="hurt", capture_level=1, monitor_hardware=False, **options) as run:
        if run.recording is not None and (task := run.recording._background._task) is not None:
            task.join(30)
        yield run


def problems(path: Path) -> list[str]:
    """What the newest run says could not be done."""
    store = registry.open_store("local", path, SystemClock())
    records = [entry.record for entry in store.entries(store.run("latest").id)]
    return [f"{each.doing}: {each.message}" for each in records if isinstance(each, Problem)]


@pytest.fixture
def small_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A store on 600 KB."""
    with in_memory(tmp_path / "small", "600k") as place:
        monkeypatch.setenv("INSTRUMENT_STORE", str(place / "store"))
        yield place / "store"


@pytest.fixture(params=["a full disk", "a fault of the disk"])
def too_small(
    request: pytest.FixtureRequest, store_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Path:
    """A store that takes small artifacts and no large ones."""
    if request.param == "a full disk":
        path: Path = request.getfixturevalue("small_disk")
        return path

    def only_little(fd: int) -> None:  # as NFS tells it: at the sync
        if os.fstat(fd).st_size > 600_000:
            raise OSError(errno.ENOSPC, "No space left on device")
        os.fsync(fd)

    class SmallDisk(Disk):
        def __init__(self) -> None:
            super().__init__()
            self.fsync = self.fdatasync = only_little

    monkeypatch.setattr("instrument_local.store.Disk", SmallDisk)
    return store_path


def too_large(run: ExperimentContext, name: str = "big") -> ArtifactVersion:
    version = run.log_artifact(name, data=os.urandom(2_000_000))
    assert (version.version, version.ref) == (None, f"{name}:unrecorded")
    return version


@pytest.mark.parametrize("given", ["the version", "its reference", "its name", "a number"])
def test_what_could_not_be_stored_is_no_parent(too_small: Path, given: str) -> None:
    with a_run() as run:
        version = too_large(run)
        as_given = {"its reference": version.ref, "its name": "big", "a number": "big:v1"}
        parent = as_given.get(given, version)
        kept = run.log_artifact("kept", data=[0])
        model = run.log_artifact("model", data=[1], parent_artifacts=[parent, kept])
    assert (model.ref, model.parents) == ("model:v1", ("kept:v1",))
    _, told = problems(too_small)
    assert told.startswith("keep 'big")
    assert "as a parent of 'model'" in told
    assert "could not be stored" in told


def test_what_could_not_be_stored_is_no_input(too_small: Path) -> None:
    with a_run() as run:
        version = too_large(run)
        stand_in = run.use_artifact(version)
        model = run.log_artifact("model", data=[1], parent_artifacts=stand_in)
        for read in (stand_in.load, stand_in.path, lambda: stand_in.copy_to("copy")):
            with pytest.raises(StoreError, match=r"'big:unrecorded' has no content to read: it c"):
                read()
    assert (stand_in.version.version, model.parents, run.used) == (None, (), ())
    assert problems(too_small)[1].startswith("use artifact 'big:unrecorded': it could not be sto")


def test_an_older_version_is_not_taken_for_the_one_that_could_not_be_stored(
    too_small: Path,
) -> None:
    with a_run() as run:
        run.log_artifact("big", data=["old"])
        too_large(run)
        assert run.log_artifact("model", data=[1], parent_artifacts="big").parents == ()
        with pytest.raises(StoreError, match="the newest 'big' could not be stored"):
            run.use_artifact("big").load()
        assert run.use_artifact("big:v1").load() == ["old"]
        run.log_artifact("big", data=["new"])
        assert run.use_artifact("big").load() == ["new"]
    assert too_small.exists()


def test_a_wrong_name_is_still_raised_when_the_store_is_full(too_small: Path) -> None:
    with a_run() as run:
        too_large(run)
        with pytest.raises(NotFoundError, match="there is no artifact 'bigg'"):
            run.log_artifact("model", data=[1], parent_artifacts="bigg")
        with pytest.raises(NotFoundError, match="there is no artifact 'bigg'"):
            run.use_artifact("bigg")
        kept = run.log_artifact("kept", data=[1])
        with pytest.raises(NotFoundError, match="kept:v2"):
            run.log_artifact("model", data=[1], parent_artifacts=[kept, "kept:v2"])
    assert too_small.exists()


def test_functions_that_follow_each_other_go_on(too_small: Path) -> None:
    """Each call is a run of its own; the second reads what the first one could not store."""
    prepare: Any = track_artifacts(outputs=["data"])(lambda: os.urandom(2_000_000))
    train: Any = track_artifacts(inputs=["data"], outputs=["model"])(lambda: [1])
    prepare()
    assert train() == [1]
    store = registry.open_store("local", too_small, SystemClock())
    run = store.run("latest")
    assert (run.state, run.inputs, run.outputs) == (RunState.COMPLETED, [], ["model:v1"])
    assert "use artifact 'data': the newest 'data' could not be stored" in problems(too_small)


@pytest.fixture(params=["below a file", "below /proc", "a file"])
def impossible(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> str:
    """A store that cannot be made."""
    (tmp_path / "file").write_text("in the way")
    places = {"below a file": f"{tmp_path}/file/store", "below /proc": "/proc/nothing"}
    place = places.get(request.param, f"{tmp_path}/file")
    monkeypatch.setenv("INSTRUMENT_STORE", place)
    return place


def everything(run: ExperimentContext) -> None:
    """All that a run does with artifacts, where no store takes any."""
    version = run.log_artifact("data", data=[1])
    run.log_artifact("model", data=[2], parent_artifacts=version)
    run.log_artifact("model", data=[2], parent_artifacts=["data", "theirs:v3"])
    for reference in (version, "data", "theirs:v3"):
        run.log_artifact("model", data=[3], parent_artifacts=run.use_artifact(reference))
    run.log_checkpoint({"w": 1}, metrics={"loss": 0.5}, best=True)
    assert track_artifacts(inputs=["theirs", "data"], outputs=["out"])(lambda: 5)() == 5
    with pytest.raises(StoreError, match="'theirs:v3' has no content to read"):
        run.use_artifact("theirs:v3").load()


def test_a_store_that_cannot_be_made(impossible: str, capfd: pytest.CaptureFixture[str]) -> None:
    with a_run() as run:
        everything(run)
    assert run.state is RunState.COMPLETED
    assert track_artifacts(inputs=["theirs"])(lambda: 5)() == 5
    assert "not recorded" in capfd.readouterr().err
    assert impossible


@pytest.mark.parametrize("then", ["gone", "a file"])
def test_a_store_that_is_removed_in_mid_run(
    then: str, store_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    with a_run() as run:
        before = run.log_artifact("before", data=[1])
        run.use_artifact(before)
        shutil.rmtree(store_path)
        if then == "a file":
            store_path.write_text("")
        model = run.log_artifact("model", data=[2], parent_artifacts=before)
        assert model.parents == run.log_artifact("other", data=[3]).parents == ()
        assert run.use_artifact(before).version.version is None
        everything(run)
    assert run.state is RunState.COMPLETED
    assert "could not keep 'before:v1' as a parent of 'model'" in capfd.readouterr().err


def test_a_store_that_is_removed_while_an_artifact_is_stored(store_path: Path) -> None:
    def write(_: Fraction, path: Path) -> None:
        shutil.rmtree(store_path)
        path.write_text("1/2")

    register_serialiser(Fraction, suffix=".txt", write=write, read=Path.read_text)
    with a_run() as run:
        before = run.log_artifact("before", data=[1])
        version = run.log_artifact("half", data=Fraction(1, 2), parent_artifacts=before)
    assert (version.ref, run.state) == ("half:unrecorded", RunState.COMPLETED)


def test_an_artifact_that_went_from_a_store_that_works(store_path: Path) -> None:
    with a_run() as run:
        before = run.log_artifact("before", data=[1])
        run.use_artifact(before)
        shutil.rmtree(store_path / "artifacts" / "before")
        assert run.log_artifact("model", data=[2]).parents == ()
    assert problems(store_path)[0].startswith("keep 'before:v1' as a parent of 'model': it is no l")


def test_a_damaged_artifact_is_told_to_who_reads_it(store_path: Path) -> None:
    with a_run() as run:
        before = run.log_artifact("before", data=[1])
        file = store_path / "artifacts" / "before" / "v1.json"
        file.chmod(0o600)
        file.write_text("{}")
        assert run.log_artifact("model", data=[2], parent_artifacts=before).parents == ()
        stand_in = run.use_artifact(before)
        with pytest.raises(StoreError, match="'before:v1' has no content to read"):
            stand_in.load()
    store = registry.open_store("local", store_path, SystemClock())
    assert not [e for e in store.entries(run.id) if isinstance(e.record, ArtifactUsed)]


def test_a_strict_run_raises(too_small: Path) -> None:
    with pytest.raises(StoreError, match="No space left"), a_run(strict=True) as run:
        run.log_artifact("big", data=os.urandom(2_000_000))
    with a_run() as run:
        version = too_large(run)
    with pytest.raises(StoreError, match="could not be stored"), a_run(strict=True) as run:
        run.use_artifact(version)
    with pytest.raises(StoreError, match="could not be stored"), a_run(strict=True) as run:
        run.log_artifact("model", data=[1], parent_artifacts="big")
    assert too_small.exists()


def test_where_nothing_is_recorded_nothing_is_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("INSTRUMENT_MODE", "disabled")
    with a_run() as run:
        version = run.log_artifact("data", data=[1])
        assert run.use_artifact(version).ref == "data:unrecorded"
        assert run.log_artifact("model", data=[2], parent_artifacts=version).parents == ()
        with pytest.raises(NotFoundError, match="there is no artifact 'theirs'"):
            run.use_artifact("theirs")
