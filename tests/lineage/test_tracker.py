"""`LineageTracker`: the surface that users of the first tracker know."""

import json
from pathlib import Path

import pytest

from instrument.errors import NotFoundError, StoreError, UsageError
from instrument.lineage import LineageTracker


@pytest.fixture
def tracker() -> LineageTracker:
    tracker = LineageTracker()
    tracker.add_artifact("raw:v1", "dataset")
    tracker.add_artifact("clean:v1", "dataset", parents=["raw:v1"], run_id="clean-run")
    tracker.add_artifact("model:v1", "model", parents=["clean:v1"], run_id="train-run")
    tracker.add_artifact("report:v1", "evaluation", parents=["model:v1", "raw:v1"])
    return tracker


def test_ancestors_and_descendants(tracker: LineageTracker) -> None:
    assert tracker.get_ancestors("report:v1") == ["model:v1", "raw:v1", "clean:v1"]
    assert tracker.get_ancestors("report:v1", max_depth=1) == ["model:v1", "raw:v1"]
    assert tracker.get_descendants("raw:v1") == ["clean:v1", "report:v1", "model:v1"]
    assert tracker.get_descendants("raw:v1", 1) == ["clean:v1", "report:v1"]
    assert tracker.get_ancestors("raw:v1", 0) == tracker.get_ancestors("raw:v1") == []


def test_a_path_has_a_direction(tracker: LineageTracker) -> None:
    assert tracker.get_lineage_path("clean:v1", "report:v1") == [
        "clean:v1",
        "model:v1",
        "report:v1",
    ]
    assert tracker.get_lineage_path("raw:v1", "report:v1") == ["raw:v1", "report:v1"]
    assert tracker.get_lineage_path("report:v1", "raw:v1") == []
    assert tracker.get_lineage_path("raw:v1", "raw:v1") == ["raw:v1"]


def test_a_run_and_its_artifacts(tracker: LineageTracker) -> None:
    assert tracker.get_run_lineage("train-run") == {
        "run_id": "train-run", "inputs": ["clean:v1"], "outputs": ["model:v1"],
    }  # fmt: skip


def test_what_is_not_there_is_said(tracker: LineageTracker) -> None:
    for call in (
        lambda: tracker.get_ancestors("ghost:v1"),
        lambda: tracker.get_ancestors("train-run"),
        lambda: tracker.get_lineage_path("raw:v1", "ghost:v1"),
        lambda: tracker.get_run_lineage("ghost-run"),
        lambda: tracker.get_run_lineage("raw:v1"),
    ):
        with pytest.raises(NotFoundError):
            call()
    with pytest.raises(UsageError, match="list of ids"):
        tracker.add_artifact("x:v1", parents="raw:v1")
    with pytest.raises(UsageError, match="is a run"):
        tracker.add_artifact("train-run")


def test_a_sound_lineage(tracker: LineageTracker) -> None:
    assert tracker.detect_cycles() == []
    assert tracker.validate_lineage() == {
        "is_valid": True,
        "issues": [],
        "stats": {
            "total_artifacts": 4,
            "total_edges": 4,
            "artifacts_by_type": {"dataset": 2, "evaluation": 1, "model": 1},
            "artifacts_by_run": {"clean-run": 1, "train-run": 1},
            "max_depth": 3,
            "connected_components": 1,
        },
    }


def test_every_kind_of_issue_is_found(tracker: LineageTracker) -> None:
    tracker.add_artifact("alone:v1")
    tracker.add_artifact("child:v1", parents=["ghost:v1"])
    tracker.add_artifact("raw:v1", "dataset", parents=["report:v1"])
    result = tracker.validate_lineage()
    issues = {issue["type"]: issue for issue in result["issues"]}
    assert not result["is_valid"]
    assert set(issues) == {"cycles", "missing_references", "orphaned"}
    assert issues["orphaned"]["details"] == ["alone:v1"]
    assert issues["missing_references"]["details"] == [
        {"id": "ghost:v1", "kind": "artifact", "referenced_by": ["child:v1"]}
    ]
    (cycle,) = issues["cycles"]["details"]
    assert set(cycle) <= {"raw:v1", "clean:v1", "model:v1", "report:v1"}
    assert result["stats"]["max_depth"] is None
    assert result["stats"]["connected_components"] == 3
    assert issues["cycles"]["message"] == "1 cycle of artifacts that were derived from themselves"


def test_an_artifact_not_yet_used_is_no_error() -> None:
    tracker = LineageTracker()
    tracker.add_artifact("data:v1", "dataset")
    result = tracker.validate_lineage()
    assert result["is_valid"]
    assert [issue["type"] for issue in result["issues"]] == ["orphaned"]


def test_nothing_is_a_sound_lineage() -> None:
    result = LineageTracker().validate_lineage()
    assert result["is_valid"]
    assert result["stats"]["max_depth"] == 0


def test_parents_may_be_told_of_later() -> None:
    tracker = LineageTracker()
    tracker.add_artifact("child:v1", parents=["parent:v1"])
    assert tracker.get_ancestors("child:v1") == ["parent:v1"]
    assert not tracker.validate_lineage()["is_valid"]
    tracker.add_artifact("parent:v1")
    assert tracker.validate_lineage()["is_valid"]
    tracker.add_artifact("parent:v1", parents=["grandparent:v1"])
    assert tracker.get_ancestors("child:v1") == ["parent:v1", "grandparent:v1"]


def test_a_file_keeps_everything(tracker: LineageTracker, tmp_path: Path) -> None:
    tracker.add_artifact("child:v1", parents=["ghost:v1"])
    path = tracker.save(tmp_path / "lineage.json")
    assert json.loads(path.read_text())["nodes"]
    again = LineageTracker.load(path)
    assert again.validate_lineage() == tracker.validate_lineage()
    assert again.export_to_dot() == tracker.export_to_dot()
    assert again.get_run_lineage("train-run") == tracker.get_run_lineage("train-run")
    again.save(path)
    assert LineageTracker.load(path).get_ancestors("report:v1") == tracker.get_ancestors(
        "report:v1"
    )
    assert [entry.name for entry in tmp_path.glob(".instrument-*")] == []


def test_a_file_that_is_none_is_said(tracker: LineageTracker, tmp_path: Path) -> None:
    path = tmp_path / "lineage.json"
    with pytest.raises(NotFoundError):
        LineageTracker.load(path)
    for text in ("[]", "{", '{"nodes":[],"edges":[["a","b"]]}'):
        path.write_text(text)
        with pytest.raises(UsageError, match="no saved lineage"):
            LineageTracker.load(path)
    with pytest.raises(StoreError, match="cannot be written"):
        tracker.save(tmp_path / "missing" / "lineage.json")


def test_drawings_can_go_to_files(tracker: LineageTracker, tmp_path: Path) -> None:
    dot = tracker.export_to_dot(tmp_path / "lineage.dot")
    mermaid = tracker.export_to_mermaid(str(tmp_path / "lineage.mmd"))
    assert (tmp_path / "lineage.dot").read_text() == dot
    assert (tmp_path / "lineage.mmd").read_text() == mermaid
    assert dot.startswith("digraph")
    assert mermaid.startswith("flowchart")


def test_a_chain_of_100_000_artifacts(tmp_path: Path) -> None:
    tracker = LineageTracker()
    for number in range(100_000):
        tracker.add_artifact(f"step:v{number + 1}", parents=[f"step:v{number}"] if number else [])
    assert len(tracker.get_ancestors("step:v100000")) == 99_999
    assert len(tracker.get_lineage_path("step:v1", "step:v100000")) == 100_000
    assert tracker.validate_lineage()["stats"]["max_depth"] == 99_999
    assert tracker.export_to_dot().count("->") == 99_999
    assert tracker.export_to_mermaid().count("-->") == 99_999
    again = LineageTracker.load(tracker.save(tmp_path / "chain.json"))
    assert again.get_ancestors("step:v100000", 2) == ["step:v99999", "step:v99998"]
