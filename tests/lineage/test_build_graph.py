"""The graph that a store's own records make."""

import json
from typing import Any

import pytest

from instrument import ExperimentContext
from instrument.lineage import (
    LineageTracker,
    ancestors,
    build_graph,
    cycles,
    descendants,
    render,
    validate,
)
from instrument.protocols import Store


@pytest.fixture
def history(log: Any, run: Any) -> None:
    """Raw data is cleaned, a model trained on it and evaluated."""
    log("raw", [1])
    log("clean", [2], parents=["raw:v1"], run_id="clean-run")
    run("clean-run", ["raw:v1"], ["clean:v1"])
    log("model", {"w": 1}, parents=["clean:v1"], run_id="train-run")
    run("train-run", ["clean:v1"], ["model:v1"], name="train")
    log("report", {"acc": 1}, parents=["model:v1", "raw:v1"], run_id="eval-run")
    run("eval-run", ["model:v1", "raw:v1"], ["report:v1"])


@pytest.mark.usefixtures("history")
def test_the_whole_history_is_there(store: Store) -> None:
    graph = build_graph(store)
    assert list(ancestors(graph, "model:v1").items()) == [
        ("clean:v1", 1), ("train-run", 1), ("raw:v1", 2), ("clean-run", 2),
    ]  # fmt: skip
    assert set(descendants(graph, "raw:v1")) == {
        "clean-run", "clean:v1", "train-run", "model:v1", "eval-run", "report:v1",
    }  # fmt: skip
    assert set(descendants(graph, "train-run")) == {"model:v1", "eval-run", "report:v1"}
    train = graph.node("train-run")
    assert (train.kind, train.name, train.state, train.known) == ("run", "train", "COMPLETED", True)
    assert graph.node("model:v1").type == "model"
    assert validate(graph)["is_valid"]


@pytest.mark.usefixtures("history")
def test_a_run_without_artifacts_is_alone(store: Store, run: Any) -> None:
    run("idle-run", [], [])
    graph = build_graph(store)
    assert "idle-run" in graph
    assert not ancestors(graph, "idle-run")
    assert not descendants(graph, "idle-run")


def test_who_makes_something_and_uses_it_has_both_edges(store: Store, log: Any, run: Any) -> None:
    log("data", [1], run_id="one-run")
    run("one-run", ["data:v1"], ["data:v1"])
    graph = build_graph(store)
    assert {tuple(edge) for edge in graph.edges()} == {
        ("one-run", "data:v1", "made"),
        ("data:v1", "one-run", "used"),
    }
    assert ancestors(graph, "data:v1") == descendants(graph, "data:v1") == {"one-run": 1}
    assert validate(graph)["is_valid"]


def test_all_who_logged_it_are_seen_and_the_first_is_its_maker(
    store: Store, log: Any, run: Any
) -> None:
    log("data", [1], run_id="first-run")
    run("first-run", [], ["data:v1"])
    run("again-run", ["data:v1"], ["data:v1"])
    run("third-run", [], ["data:v1"])
    graph = build_graph(store)
    assert {tuple(edge) for edge in graph.edges()} == {
        ("first-run", "data:v1", "made"),
        ("data:v1", "again-run", "used"),
        ("again-run", "data:v1", "logged again"),
        ("third-run", "data:v1", "logged again"),
    }
    assert validate(graph)["stats"]["artifacts_by_run"] == {
        "first-run": 1, "again-run": 1, "third-run": 1,
    }  # fmt: skip
    assert cycles(graph.derivations()) == []


def test_the_same_script_three_times_leaves_the_same_edges_each_time(store: Store) -> None:
    runs = []
    for _ in range(3):
        with ExperimentContext(name="fit", capture_level=1) as run:
            run.log_artifact("numbers", "dataset", data=[1, 2, 3])
            total = sum(run.use_artifact("numbers").load())
            run.log_artifact("fit", "model", data={"total": total})
            runs.append(run.id)
    graph = LineageTracker.from_store().graph
    for run_id in runs:
        assert set(graph.before(run_id)) == {"numbers:v1"}
        assert set(graph.after(run_id)) == {"numbers:v1", "fit:v1"}
    assert graph.edge("numbers:v1", "fit:v1").kind == "derived"
    assert graph.edge(runs[0], "fit:v1").kind == "made"
    assert {graph.edge(run_id, "fit:v1").kind for run_id in runs[1:]} == {"logged again"}


def test_a_version_comes_from_its_parents_and_not_from_what_its_run_made_of_it() -> None:
    """Data is logged, a model trained on it, and the model used to judge other data."""
    with ExperimentContext(name="all", capture_level=1) as run:
        run.log_artifact("data", "dataset", data=[1, 2])
        run.use_artifact("data")
        run.log_artifact("model", "model", data={"w": 3})
        run.use_artifact("model")
        run.log_artifact("other", "model", data={"w": 4}, parent_artifacts=[])
        run.log_artifact("report", "evaluation", data={"accuracy": 1})
    graph = LineageTracker.from_store().graph
    assert set(ancestors(graph, "data:v1")) == {run.id}
    assert set(ancestors(graph, "model:v1")) == {"data:v1", run.id}
    assert set(ancestors(graph, "report:v1")) == {"model:v1", "data:v1", run.id}
    assert set(descendants(graph, "data:v1")) == {"model:v1", "report:v1", run.id}
    assert set(descendants(graph, "model:v1")) == {"report:v1", run.id}
    assert set(descendants(graph, run.id)) == {"data:v1", "model:v1", "other:v1", "report:v1"}
    assert set(ancestors(graph, run.id)) == {"data:v1", "model:v1"}
    up = json.loads(render(graph, "data:v1", "json", "up"))
    assert up["edges"] == [{"source": run.id, "target": "data:v1", "kind": "made"}]
    assert "model" not in render(graph, "data:v1", "text", "up")
    assert "model" not in render(graph, "data:v1", "dot", "up")
    assert "model" not in render(graph, "data:v1", "mermaid", "up")


def test_what_a_run_names_and_the_store_lacks_is_missing(store: Store, log: Any, run: Any) -> None:
    run("a-run", ["ghost:v3"], [])
    log("data", [1], run_id="gone-run")
    graph = build_graph(store)
    result = validate(graph)
    assert not result["is_valid"]
    assert not graph.node("ghost:v3").known
    (issue,) = result["issues"]
    assert issue["type"] == "missing_references"
    assert {detail["id"] for detail in issue["details"]} == {"ghost:v3", "gone-run"}
    assert issue["details"][1]["referenced_by"] == ["a-run"]


def test_the_lineage_of_real_runs() -> None:
    with ExperimentContext(name="prepare", capture_level=1) as prepare:
        prepare.log_artifact("data", "dataset", data=[1, 2])
    with ExperimentContext(name="train", capture_level=1) as train:
        rows = train.use_artifact("data").load()
        train.log_artifact("model", "model", data={"w": sum(rows)})
    tracker = LineageTracker.from_store()
    assert tracker.get_ancestors("model:v1") == ["data:v1"]
    assert tracker.get_run_lineage(train.id) == {
        "run_id": train.id, "inputs": ["data:v1"], "outputs": ["model:v1"],
    }  # fmt: skip
    assert tracker.validate_lineage()["is_valid"]
