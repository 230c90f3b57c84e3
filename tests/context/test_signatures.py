"""The arguments of a run and of what it uses, in the order that users of other trackers know."""

import pytest

import instrument
from instrument import ExperimentContext
from instrument.errors import NotFoundError, StoreError, UsageError
from instrument.testing import MemoryBackend


def test_the_options_of_a_run_by_position() -> None:
    store = MemoryBackend()
    order = ({"lr": 0.1}, "base", "digits", ["a"], 1, False, True, store)
    with ExperimentContext(*order):
        pass
    with ExperimentContext(None, "more", tags=None, backend=store):
        pass
    more, base = store.runs()
    assert (base.name, base.project, base.params) == ("base", "digits", {"lr": 0.1})
    assert (list(base.tags), list(more.tags), more.name) == (["a"], [], "more")


def test_a_version_is_asked_for_by_number_word_or_alias() -> None:
    store = MemoryBackend()
    with ExperimentContext(backend=store, monitor_hardware=False) as run:
        for number in (1, 2, 3):
            run.log_artifact("data", data=[number])
        assert run.use_artifact("data", version=2).load() == [2]
        assert instrument.use_artifact("data", "v1").load() == [1]
        assert run.use_artifact("data", version="latest").ref == "data:v3"
        assert run.use_artifact("data:v1", None).ref == "data:v1"
        for name, version in (("data:v1", 2), ("data", True), ("data", 1.0), ("data", "")):
            with pytest.raises(UsageError):
                run.use_artifact(name, version)  # type: ignore[arg-type]
        with pytest.raises(NotFoundError):
            run.use_artifact("data", version=9)
    [found] = store.runs()
    assert found.inputs == ["data:v2", "data:v1", "data:v3"]


def test_disabled_it_is_told_why_there_is_nothing_to_load(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("INSTRUMENT_MODE", "disabled")
    with ExperimentContext() as run:
        used = run.use_artifact(run.log_artifact("n", data=[1]))
        with pytest.raises(StoreError, match=r"^'n:unrecorded' .*INSTRUMENT_MODE=disabled; keep"):
            used.load()
