"""Content that is a version already: the record of each run tells what that run made it from."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from cli.support import call

from instrument import ArtifactManager, ExperimentContext
from instrument.clock import SystemClock
from instrument.lineage import LineageTracker, build_graph, render, validate
from instrument.records import ArtifactLogged
from instrument.registry import open_store
from instrument_local import LocalStore

QUIET: Mapping[str, Any] = {"capture_level": 1, "monitor_hardware": False}


def _run(**arguments: Any) -> ExperimentContext:
    return ExperimentContext(**{**QUIET, **arguments})


def _evaluated(weight: int, **said: Any) -> ExperimentContext:
    """A run whose model is its own, and whose scores are those of any other."""
    with _run(name=f"e{weight}") as run:
        model = run.log_artifact("model", "model", data={"w": weight})
        run.log_artifact("scores", "evaluation", data=[1.0], parent_artifacts=[model], **said)
    return run


def _record(run: ExperimentContext, ref: str = "scores:v1") -> ArtifactLogged:
    assert run.store is not None
    found = [entry.record for entry in run.store.entries(run.id)]
    return [each for each in found if isinstance(each, ArtifactLogged) and each.ref == ref][-1]


def test_equal_scores_of_two_models_came_from_both_and_each_run_tells_its_own(
    capsys: pytest.CaptureFixture[str],
) -> None:
    first = _evaluated(1, metadata={"for": 1})
    assert capsys.readouterr().err == ""
    second = _evaluated(2, metadata={"for": 2})
    told = capsys.readouterr().err
    assert "scores:v1 had this content already" in told
    assert "the parentage given now is not kept with the version" in told
    records = [_record(run) for run in (first, second)]
    assert [record.parents for record in records] == [("model:v1",), ("model:v2",)]
    assert [record.again for record in records] == [False, True]
    assert [record.metadata for record in records] == [None, {"for": 2}]
    store = second.store
    assert store is not None
    assert [version.parents for version in store.artifacts("scores")] == [("model:v1",)]
    assert store.run(second.id).logged_again == {"scores:v1": ["model:v2"]}
    graph = build_graph(store)
    assert graph.edge("model:v2", "scores:v1").kind == "derived"
    assert "model:v1" in render(graph, "scores:v1", "text", "up")
    assert "scores:v1" in render(graph, "model:v2", "text", "down")
    assert validate(graph)["is_valid"]
    assert store.verify().problems == ()


def test_what_is_logged_again_with_the_same_words_is_told_as_it_was() -> None:
    for _ in range(2):
        run = _evaluated(1, metadata={"for": 1, "pair": (1, 2)})
        assert not _record(run).again
        assert _record(run).metadata is None
    assert run.store is not None
    assert run.store.run(run.id).logged_again == {}


def test_every_face_tells_the_same_lineage() -> None:
    for weight in (1, 2):
        _evaluated(weight)
    with _run() as run:
        run.log_artifact("report", data="good", parent_artifacts=["scores"])
    parents = {
        "report:v1": ("scores:v1",),
        "scores:v1": ("model:v1", "model:v2"),
        "model:v1": (),
        "model:v2": (),
    }
    assert ArtifactManager().get_lineage("report") == parents
    assert LineageTracker.from_store().get_ancestors("report:v1") == [*parents][1:]
    assert "model:v1, model:v2" in call("artifacts", "show", "scores").out
    shown = call("artifacts", "show", "scores", "--json").json
    assert (shown["parents"], shown["made_from"]) == (["model:v1"], ["model:v1", "model:v2"])


def test_secrets_in_metadata_of_content_that_is_there_are_removed_from_the_record() -> None:
    _evaluated(1)
    run = _evaluated(1, metadata={"api_key": "sk-proj-abcdefghijklmnopqrstuvwxyz0123456789ABCD"})
    assert "abcdefghij" not in str(_record(run).metadata)


def test_parents_that_are_not_given_are_what_this_run_has_used() -> None:
    refs = []
    for weight in (1, 2):
        with _run() as run:
            refs.append(run.log_artifact("model", data={"w": weight}).ref)
        with _run() as run:
            run.use_artifact(refs[-1])
            run.log_artifact("scores", data=[1.0])
        assert _record(run).parents == (refs[-1],)
    assert set(LineageTracker.from_store().get_ancestors("scores:v1")) == {*refs}


def test_no_version_comes_from_itself_or_from_what_was_made_of_it() -> None:
    with _run() as run:
        for _ in range(2):
            run.log_artifact("data", data=[1, 2])
            run.use_artifact("data")
            run.log_artifact("fit", data={"w": 3})
            run.use_artifact("fit")
    assert _record(run, "data:v1").parents == ("fit:v1",)
    tracker = LineageTracker.from_store()
    assert tracker.get_ancestors("fit:v1") == ["data:v1"]
    assert tracker.get_ancestors("data:v1") == []
    assert tracker.validate_lineage()["is_valid"]
    assert ArtifactManager().get_lineage("fit") == {"fit:v1": ("data:v1",), "data:v1": ()}


def test_lineage_leads_on_in_another_store_under_the_names_of_there(tmp_path: Path) -> None:
    first, second = _evaluated(1), _evaluated(2)
    store = second.store
    assert isinstance(store, LocalStore)
    bundle = tmp_path / "b.bundle"
    store.bundles.export([first.id, second.id], bundle)
    there = open_store("local", tmp_path / "there", SystemClock())
    assert isinstance(there, LocalStore)
    with _run(backend=there) as other:  # takes the names
        other.log_artifact("model", data="another")
        other.log_artifact("scores", data="another")
    there.bundles.import_(bundle)
    found = there.run(second.id).logged_again
    assert found == {"scores:v2": ["model:v3"]}
    graph = build_graph(there)
    (digest,) = {version.digest for version in store.artifacts("model") if version.version == 2}
    assert digest in {each.digest for each in there.artifacts("model") if each.ref == "model:v3"}
    assert graph.edge("model:v3", "scores:v2").kind == "derived"
    assert validate(graph)["is_valid"]
    assert there.verify().problems == ()
