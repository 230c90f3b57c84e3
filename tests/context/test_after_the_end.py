"""What is logged when the run has ended: told, and never taken for a part of the run."""

import pytest

from instrument import ExperimentContext
from instrument.testing import MemoryBackend


def test_an_artifact_that_comes_late_is_kept_and_told_and_is_of_no_run(
    capsys: pytest.CaptureFixture[str],
) -> None:
    store = MemoryBackend()
    with ExperimentContext(backend=store, monitor_hardware=False, capture_level=1) as run:
        run.log_artifact("early", data=[0])
    run.log_metrics({"loss": 1.0})
    assert capsys.readouterr().err.count("log_metrics of loss and what follows") == 1
    late = run.log_artifact("late", data=[1])
    assert capsys.readouterr().err == (
        f"instrument: run {run.id} has ended: log_artifact of late:v1 and what follows is stored, "
        "but is no output of the run\n"
    )
    run.log_artifact("later", data=[2])
    run.log_metrics({"loss": 2.0})
    assert capsys.readouterr().err == "", "told once"
    (early,) = store.artifacts("early")
    assert early.run_id == run.id
    assert (late.version, late.run_id) == (1, None)
    assert store.run(run.id).outputs == ["early:v1"]
