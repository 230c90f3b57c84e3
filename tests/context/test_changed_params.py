"""A parameter that is set twice: the last value counts, and nothing of it is silent."""

from typing import Any

import pytest

from instrument import ExperimentContext
from instrument.errors import UsageError
from instrument.testing import MemoryBackend

QUIET: dict[str, Any] = {"monitor_hardware": False, "capture_level": 1}


@pytest.fixture
def store() -> MemoryBackend:
    return MemoryBackend()


def test_a_parameter_that_changes_is_told_once_and_noted(
    store: MemoryBackend, capsys: pytest.CaptureFixture[str]
) -> None:
    with ExperimentContext({"lr": 1, "same": [1]}, backend=store, **QUIET) as run:
        run.log_params({"same": [1], "new": "x"})
        assert capsys.readouterr().err == ""
        run.log_params({"lr": 2})
        assert capsys.readouterr().err == (
            "instrument: parameter lr was 1 and is 2 now; the last value counts\n"
        )
        run.log_params({"lr": 3})
        assert capsys.readouterr().err == ""
    found = store.run(run.id)
    assert found.params == {"lr": 3, "same": [1], "new": "x"}
    assert found.recording.notes == ["parameter lr was 1 first; the last value counts: 3"]
    assert found.recording.complete


def test_the_next_attempt_tells_what_it_changes(
    store: MemoryBackend, capsys: pytest.CaptureFixture[str]
) -> None:
    for alpha in (0.1, 0.2):
        assert "alpha" not in capsys.readouterr().err
        with ExperimentContext({"alpha": alpha}, backend=store, run_id="again1", **QUIET):
            pass
    assert "parameter alpha was 0.1 and is 0.2 now" in capsys.readouterr().err
    found = store.run("again1")
    assert found.params == {"alpha": 0.2}
    assert found.recording.notes == ["parameter alpha was 0.1 first; the last value counts: 0.2"]


def test_a_secret_that_changes_is_not_told(
    store: MemoryBackend, capsys: pytest.CaptureFixture[str]
) -> None:
    with ExperimentContext({"password": "sesame-one-1"}, backend=store, **QUIET) as run:
        run.log_params({"password": "sesame-two-2"})
    assert "sesame" not in capsys.readouterr().err
    assert "sesame" not in str(store.run(run.id).recording.notes)


def test_of_many_changes_a_few_are_told_and_all_are_counted(
    store: MemoryBackend, capsys: pytest.CaptureFixture[str]
) -> None:
    with ExperimentContext({f"p{n}": 0 for n in range(30)}, backend=store, **QUIET) as run:
        run.log_params({f"p{n}": 1 for n in range(30)})
    assert "p4 was 0 and is 1 now, 25 more have changed; the last" in capsys.readouterr().err
    notes = store.run(run.id).recording.notes
    assert len(notes) == 21
    assert notes[-1] == "10 more parameters were set to another value first"


def test_a_parameter_needs_a_name(store: MemoryBackend) -> None:
    with pytest.raises(UsageError, match="'' cannot name a parameter"):
        ExperimentContext({"": 1})
    with (
        ExperimentContext(backend=store, **QUIET) as run,
        pytest.raises(UsageError, match="'' cannot name a parameter"),
    ):
        run.log_params({"": 1})
    assert store.run(run.id).params == {}
