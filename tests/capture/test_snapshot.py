"""The snapshot: true, stable, and honest about what it lacks."""

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import msgspec
import pytest

from instrument.canonical import canonical_bytes, digest
from instrument.capture.processors import cpu
from instrument.capture.snapshot import capture_place, capture_snapshot
from instrument.capture.system import virtualisation
from instrument.capture.variables import variables
from instrument.clock import SystemClock
from instrument.errors import UsageError
from instrument.records import EnvironmentCaptured
from instrument_local import open_store

DIGEST = (
    "from instrument.capture.snapshot import capture_snapshot;"
    "from instrument.canonical import digest;"
    "{imports}print(digest(capture_snapshot({level})[0]))"
)


EXPLAINED = ("python", "cuda", "system", "cpu", "memory", "limits")
"""Parts in which no null is without a reason; docs/environment.md says what one means in others."""


def unexplained(value: Any, at: str) -> list[str]:
    """Where in `value` a null has no reason."""
    if isinstance(value, list):
        return [found for each in value for found in unexplained(each, at)]
    if not isinstance(value, dict):
        return []
    inside = [found for name in value for found in unexplained(value[name], f"{at}.{name}")]
    reasons = value.get("reasons", {})
    bare = [name for name in value if value[name] is None and name not in reasons]
    return [*inside, *(f"{at}.{name}" for name in bare)]


def test_every_null_has_its_reason() -> None:
    facts, healths = capture_snapshot(3)
    place, more = capture_place(3)
    assert [found for part in EXPLAINED for found in unexplained(facts[part], part)] == []
    reasons = {health.part: health.reason for health in healths + more}
    assert all(reasons[part] for part, value in {**facts, **place}.items() if value is None)


def test_what_a_bare_machine_does_not_tell_has_its_reason(tmp_path: Path) -> None:
    bare = {**cpu(tmp_path), "virtualisation": virtualisation(tmp_path)}
    assert bare["model"] is None
    assert unexplained(bare, "cpu") == []
    assert unexplained({"a": None, "reasons": {}}, "x") == ["x.a"]


@pytest.mark.parametrize("level", [1, 2, 3])
def test_equal_environments_have_equal_digests(python: str, level: int) -> None:
    def of_a_process() -> str:
        program = DIGEST.format(imports="", level=level)
        done = subprocess.run([python, "-c", program], capture_output=True, text=True, check=True)
        return done.stdout

    assert of_a_process() == of_a_process()


@pytest.mark.parametrize("level", [1, 2])
def test_what_is_loaded_does_not_change_it(python: str, level: int) -> None:
    pytest.importorskip("torch")
    digests = {
        subprocess.run(
            [python, "-c", DIGEST.format(imports=imports, level=level)],
            capture_output=True, text=True, check=True,
        ).stdout
        for imports in ("", "import torch, numpy;")
    }  # fmt: skip
    assert len(digests) == 1


def test_levels_add_parts() -> None:
    parts = [set(capture_snapshot(level)[0]) for level in (1, 2, 3)]
    assert parts[0] == {"level", "python", "packages", "gpu"}
    assert parts[0] < parts[1] < parts[2]
    assert parts[1] == parts[0] | {
        "package_sources", "shadowed_packages", "editables", "conda", "rocm", "cuda", "system",
        "cpu", "memory", "limits", "disks",
    }  # fmt: skip
    assert parts[2] == parts[1] | {
        "cpu_flags", "package_installers", "package_hashes", "container", "variables", "scheduler",
        "libraries", "lock_files",
    }  # fmt: skip
    places = [set(capture_place(level)[0]) for level in (1, 2, 3)]
    assert places[0] == {"ci"}
    assert places[1] == {"ci", "cpu_affinity", "gpu_ids", "notebook"}
    assert places[2] == places[1] | {"container_ids"}


@pytest.mark.parametrize("capture", [capture_snapshot, capture_place])
def test_every_part_has_its_line_of_health_and_a_reason_when_unknown(capture: Any) -> None:
    snapshot, healths = capture(3)
    assert [health.part for health in healths] == [name for name in snapshot if name != "level"]
    for health in healths:
        assert (snapshot[health.part] is None) == (health.status != "done")
        assert (health.reason is None) == (health.status == "done")
        assert health.seconds >= 0


def test_what_only_names_the_place_is_not_part_of_the_snapshot(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("instrument.capture.snapshot._known", {})
    before = digest(capture_snapshot(3)[0])
    monkeypatch.setenv("GITHUB_ACTIONS", "true")
    monkeypatch.setenv("GITHUB_RUN_ID", "12")
    monkeypatch.setattr("instrument.capture.snapshot._known", {})
    assert digest(capture_snapshot(3)[0]) == before
    assert capture_place(1)[0]["ci"] == {"system": "github", "run_id": "12"}


def test_it_is_json_and_says_what_is_so() -> None:
    snapshot: dict[str, Any] = capture_snapshot(2)[0]
    assert canonical_bytes(snapshot)
    assert snapshot["python"]["version"] == sys.version.split(maxsplit=1)[0]
    assert snapshot["system"]["kernel"] == os.uname().release
    assert snapshot["cpu"]["count"] == os.cpu_count()
    total = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    assert snapshot["memory"]["total_bytes"] == total


def test_an_unknown_level() -> None:
    with pytest.raises(UsageError, match="use 1, 2 or 3"):
        capture_snapshot(4)


def test_variables_are_an_allow_list_without_secrets(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0,1")
    monkeypatch.setenv("HF_TOKEN", "sesame-1")
    monkeypatch.setenv("HF_ENDPOINT", "https://me:sesame-2@hub.example.org")
    monkeypatch.setenv("MY_OWN_THING", "private")
    monkeypatch.setenv("PYTHONODD", b"\xff".decode("utf-8", "surrogateescape"))
    found = variables()
    assert found["values"]["CUDA_VISIBLE_DEVICES"] == "0,1"
    assert "HF_TOKEN" in found["redacted"]
    assert "MY_OWN_THING" not in found["values"]
    assert b"sesame" not in canonical_bytes(found)


def test_a_run_records_its_place_and_every_health_line(store_path: Path) -> None:
    program = (
        "from instrument import ExperimentContext\n"
        "with ExperimentContext({}, capture_level=2, monitor_hardware=False): pass"
    )
    environment = {**os.environ, "GITHUB_ACTIONS": "true", "GITHUB_RUN_ID": "12"}
    subprocess.run([sys.executable, "-c", program], check=True, env=environment)
    store = open_store(store_path, SystemClock())
    [run] = store.runs()
    records = [entry.record for entry in store.entries(run.id)]
    [record] = [each for each in records if isinstance(each, EnvironmentCaptured)]
    assert record.place["ci"] == {"system": "github", "run_id": "12"}
    assert record.snapshot is not None
    snapshot = msgspec.json.decode(store.get_bytes(record.snapshot))
    names = [*(name for name in snapshot if name != "level"), *record.place]
    assert sorted(health.part for health in record.health) == sorted(names)
    assert not {"failed", "timed_out"} & {health.status for health in record.health}
