"""What stands beside an artifact: everything that was captured, and nothing typed over it."""

import hashlib
import json
import time
from pathlib import Path
from typing import Any

import pytest

from instrument import ExperimentContext, create_artifact_metadata
from instrument.errors import UsageError

PROVENANCE: dict[str, Any] = {
    "git_commit": "a" * 40,
    "git_dirty": None,
    "timestamp": "2020-01-01T00:00:00+00:00",
    "loader_version": "sha256:0+0",
    "model_name": "m",
    "model_digest": "sha256:1",
    "quantization": "none",
    "template_disabled": True,
    "add_special_tokens": False,
    "sentinel_tests_passed": True,
    "sentinel_tests": [{"prompt": "p"}],
}


def test_it_has_what_was_captured_and_what_is_added() -> None:
    made = create_artifact_metadata(
        PROVENANCE, __file__, "training_data", temperature=0.4, seed=3, models={"base": "b"}
    )
    captured = {name: value for name, value in PROVENANCE.items() if name != "sentinel_tests"}
    assert made.items() >= {**captured, "timestamp": made["timestamp"]}.items()
    assert made["timestamp"] > PROVENANCE["timestamp"]
    assert made["git_dirty"] is None
    assert made["artifact_type"] == "training_data"
    assert made["script_name"] == Path(__file__).name
    assert made["script_sha256"] == hashlib.sha256(Path(__file__).read_bytes()).hexdigest()
    assert (made["temperature"], made["seed"], made["models"]) == (0.4, 3, {"base": "b"})
    assert "sentinel_tests" not in made
    assert json.loads(json.dumps(made)) == made


CAPTURED = [
    "git_commit",
    "timestamp",
    "script_sha256",
    "model_digest",
    "environment",
    "sentinel_tests",  # captured too, though it is left out
]


@pytest.mark.parametrize("name", CAPTURED)
def test_a_captured_field_cannot_be_typed_over(name: str) -> None:
    extra: dict[str, Any] = {name: "mine"}
    with pytest.raises(ValueError, match=f"{name} cannot be given: captured already"):
        create_artifact_metadata(PROVENANCE, __file__, "evaluation", **extra)


def test_fields_of_the_loader_that_are_missing_are_named() -> None:
    partial = {
        name: value
        for name, value in PROVENANCE.items()
        if name not in {"quantization", "model_digest"}
    }
    with pytest.raises(ValueError, match=r"lacks model_digest, quantization; pass what"):
        create_artifact_metadata(partial, __file__, "evaluation")


def test_a_script_that_is_not_there_is_unknown_and_says_why() -> None:
    made = create_artifact_metadata(PROVENANCE, "nowhere.py", "evaluation")
    assert made["script_sha256"] is None
    assert made["script_reason"] == "'nowhere.py' cannot be read"


def test_an_artifact_has_a_type() -> None:
    with pytest.raises(UsageError, match="artifact_type is empty"):
        create_artifact_metadata(PROVENANCE, __file__, "")


def test_the_environment_is_that_of_the_open_run() -> None:
    alone = create_artifact_metadata(PROVENANCE, __file__, "evaluation")
    assert alone["environment"] is None
    assert "no run is open" in alone["environment_reason"]
    with ExperimentContext(monitor_hardware=False, capture_level=1) as run:
        deadline = time.monotonic() + 30
        made = create_artifact_metadata(PROVENANCE, __file__, "evaluation")
        while made["environment"] is None and time.monotonic() < deadline:
            assert "not yet" in made["environment_reason"]
            time.sleep(0.1)
            made = create_artifact_metadata(PROVENANCE, __file__, "evaluation")
    assert run.store is not None
    assert made["environment"] == run.store.run(run.id).environment is not None
    assert "environment_reason" not in made
    with run.store.open(made["environment"]) as snapshot:
        assert b"python" in snapshot.read()
