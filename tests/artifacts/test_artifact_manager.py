"""`ArtifactManager`: the surface that users of the first tracker know."""

from pathlib import Path

import pytest

from instrument import ArtifactManager, ExperimentContext, current_run
from instrument.errors import NotFoundError, UsageError
from instrument.protocols import Store


@pytest.fixture
def store(any_store: Store) -> Store:
    return any_store


@pytest.fixture
def manager(store: Store) -> ArtifactManager:
    return ArtifactManager(store)


def test_log_use_list(manager: ArtifactManager) -> None:
    manager.log_artifact("data", "dataset", data=[1, 2], metadata={"rows": 2})
    version = manager.log_artifact("model", type="model", data={"w": 1}, parent_artifacts=["data"])
    assert version.parents == ("data:v1",)
    assert manager.use_artifact("data").load() == [1, 2]
    assert [version.ref for version in manager.list_artifacts()] == ["data:v1", "model:v1"]
    assert [version.ref for version in manager.list_artifacts("model")] == ["model:v1"]


def test_versions_in_every_spelling(manager: ArtifactManager) -> None:
    for number in range(1, 12):
        manager.log_artifact("data", data={"n": number})
    for version in (None, "latest", 11, "v11", "11"):
        assert manager.use_artifact("data", version).ref == "data:v11"
    assert manager.use_artifact("data:v3").ref == "data:v3"
    assert manager.use_artifact("data", 3).load() == {"n": 3}
    with pytest.raises(UsageError):
        manager.use_artifact("data:v3", 4)
    for missing in (0, 12, "best"):
        with pytest.raises((NotFoundError, UsageError)):
            manager.use_artifact("data", missing)


def test_a_rollback_moves_latest_and_loses_nothing(manager: ArtifactManager) -> None:
    for number in (1, 2, 3):
        manager.log_artifact("data", data={"n": number})
    assert manager.rollback("data", 1).version == 1
    assert manager.use_artifact("data").load() == {"n": 1}
    assert manager.use_artifact("data:v3").load() == {"n": 3}
    assert manager.log_artifact("data", data={"n": 4}).version == 4
    assert manager.use_artifact("data").ref == "data:v4"
    assert manager.rollback("data", "2").version == 2
    with pytest.raises(NotFoundError):
        manager.rollback("data", 9)


def test_a_large_file_is_a_file(manager: ArtifactManager, tmp_path: Path) -> None:
    path = tmp_path / "large.bin"
    path.write_bytes(b"0" * 1_000_000)
    version = manager.log_large_artifact("large", path, "dataset", metadata={"rows": 1})
    assert (version.type, version.size_bytes) == ("dataset", 1_000_000)
    with pytest.raises(NotFoundError, match="missing"):
        manager.log_large_artifact("large", tmp_path / "missing")


def test_lineage_goes_all_the_way_up(manager: ArtifactManager) -> None:
    manager.log_artifact("raw", data=1)
    manager.log_artifact("clean", data=2, parent_artifacts=["raw:v1"])
    manager.log_artifact("model", data=3, parent_artifacts=["clean:v1", "raw:v1"])
    assert manager.get_lineage("model:v1") == {
        "model:v1": ("clean:v1", "raw:v1"),
        "clean:v1": ("raw:v1",),
        "raw:v1": (),
    }
    with pytest.raises(NotFoundError):
        manager.get_lineage("model:v2")


def test_by_default_the_settings_name_the_store(store_path: Path) -> None:
    ArtifactManager().log_artifact("data", data=[1])
    assert ArtifactManager().use_artifact("data").load() == [1]
    assert store_path.is_dir()


def test_versions_belong_to_the_run_that_was_named(store: Store) -> None:
    manager = ArtifactManager(store, run_id="20260101-000000-abcdef")
    assert manager.log_artifact("data", data=[1]).run_id == "20260101-000000-abcdef"
    assert manager.store is store


def test_a_store_may_be_named_by_its_directory(tmp_path: Path) -> None:
    places: list[Path | str] = [tmp_path / "one", str(tmp_path / "two")]
    for number, place in enumerate(places):
        assert ArtifactManager(store=place).log_artifact("data", data=[number]).ref == "data:v1"
        assert ArtifactManager(place).use_artifact("data").load() == [number]
    with pytest.raises(UsageError, match="store=3 is no directory"):
        ArtifactManager(3)  # type: ignore[arg-type]


def test_inside_a_run_it_makes_and_uses_what_the_run_does(tmp_path: Path) -> None:
    manager = ArtifactManager()
    manager.log_artifact("before", data=[0])
    with ExperimentContext(name="joined", monitor_hardware=False):
        assert manager.use_artifact("before").load() == [0]
        made = manager.log_artifact("model", data={"w": 1})
        elsewhere = ArtifactManager(tmp_path / "elsewhere").log_artifact("apart", data=[1])
    after = manager.log_artifact("after", data=[2])
    [run] = manager.store.runs()
    assert (list(run.inputs), list(run.outputs)) == (["before:v1"], ["model:v1"])
    assert (made.run_id, made.parents) == (run.id, ("before:v1",))
    assert (elsewhere.run_id, after.run_id) == (None, None)


def test_inside_a_run_of_another_store_it_speaks_to_that_one(tmp_path: Path) -> None:
    manager = ArtifactManager()
    manager.log_artifact("data", data=[1])
    with ExperimentContext(store=tmp_path / "other", monitor_hardware=False) as run:
        assert current_run() is run
        manager.log_artifact("data", data=["other"])
        manager.log_artifact("data", data=["newer"])
        assert manager.rollback("data", 1).version == 1
        assert manager.use_artifact("data").load() == ["other"]
        assert [version.ref for version in manager.list_artifacts()] == ["data:v1", "data:v2"]
        assert manager.get_lineage("data:v1") == {"data:v1": ()}
    assert manager.use_artifact("data").load() == [1]
