"""What the real SDK writes offline, read back by wandb's own reader and by a decoder of our own."""

import hashlib
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import psutil
import pytest
from mirroring import wandb_log
from mirroring.apart import apart
from mirroring.making_runs import (
    FINISHED,
    RUN_ID,
    at,
    begin,
    end,
    keep,
    logged,
    loss,
    process,
    record_run,
)

from instrument.mirroring import MirrorReport, feed
from instrument.protocols import Store
from instrument.records import (
    ArtifactLogged,
    ArtifactUsed,
    CodeCaptured,
    EnvironmentCaptured,
    ExceptionRaised,
    Metrics,
    Params,
    Problem,
    RunFinished,
    SeedsRecorded,
    TelemetrySummarised,
)
from instrument.summary import RunSummary
from instrument.testing.memory import MemoryBackend
from instrument.vocabulary import GitState, GivenSeed, RunState
from instrument_wandb import open_mirror

Lines = list[dict[str, Any]]


class FileBackend(MemoryBackend):
    """Objects lie as plain files, as in the local store."""

    def __init__(self, root: Path) -> None:
        super().__init__()
        self._root = root

    def path_of(self, digest: str) -> Path | None:
        path = self._root / digest.removeprefix("sha256:")
        path.write_bytes(self.get_bytes(digest))
        return path


def fed(store: Store, *, offline: bool = True) -> MirrorReport:
    return apart(lambda: feed(store, open_mirror(offline=offline), RUN_ID, follow=False))


def mirrored(store: Store, root: Path) -> Lines:
    """Feed the run and read the result with wandb's own reader."""
    report = fed(store)
    assert report.problems == ()
    assert report.complete
    [directory] = wandb_log.run_directories(root)
    return wandb_log.inspect(directory)


def rows(lines: Lines) -> list[dict[str, Any]]:
    """History rows without what wandb adds by itself."""
    items = [line["item"] for line in wandb_log.of_type(lines, "history")]
    return [
        {name: item[name] for name in item if name not in {"_runtime", "_timestamp"}}
        for item in items
    ]


def test_the_run_has_its_id_name_project_and_tags(wandb_root: Path) -> None:
    store = MemoryBackend()
    record_run(store)
    lines = mirrored(store, wandb_root)
    [run] = wandb_log.of_type(lines, "run")
    assert run["run_id"] == RUN_ID
    assert run["display_name"] == "baseline"
    assert run["project"] == "trials"
    assert run["tags"] == ["first", "small"]


def test_every_param_is_in_the_config_under_its_name(wandb_root: Path) -> None:
    store = MemoryBackend()
    values = {"optim.lr": 0.1, "layers": [64, 32], "name": "Grüße", "cut": None, "on": True}
    later = Params(values={"optim.lr": 0.2, "late": 1}, source="log_params")
    record_run(store, Params(values=values, source="config"), later)
    config = wandb_log.config(mirrored(store, wandb_root))
    assert {name: config[name] for name in (*values, "late")} == {
        **values,
        "optim.lr": 0.2,
        "late": 1,
    }


def test_every_metric_is_in_the_history_at_its_step_and_time(wandb_root: Path) -> None:
    store = MemoryBackend()
    count = 2000  # the log spans several blocks
    record_run(store, *(loss(step / 8, step * 3) for step in range(count)))
    lines = mirrored(store, wandb_root)
    assert rows(lines) == [{"loss": step / 8, "_step": step * 3} for step in range(count)]
    first = wandb_log.of_type(lines, "history")[0]["item"]
    assert first["_timestamp"] == at(1).timestamp()

    [directory] = wandb_log.run_directories(wandb_root)
    decoded = [record for record in wandb_log.decode(directory) if record.HasField("history")]
    assert [record.history.step.num for record in decoded] == [step * 3 for step in range(count)]
    values = [json.loads(text) for text in wandb_log.values_of("loss", decoded)]
    assert values == [step / 8 for step in range(count)]


def test_steps_that_go_back_repeat_or_lack_are_all_there(wandb_root: Path) -> None:
    store = MemoryBackend()
    accuracy = Metrics(values={"accuracy": 0.5}, step=2)
    record_run(store, loss(1.0, 2), accuracy, loss(2.0, 2), loss(3.0, 0), loss(4.0, None))
    lines = mirrored(store, wandb_root)
    assert rows(lines) == [
        {"loss": 1.0, "accuracy": 0.5, "_step": 2},
        {"loss": 2.0, "instrument/step": 2, "_step": 3},
        {"loss": 3.0, "instrument/step": 0, "_step": 4},
        {"loss": 4.0, "_step": 5},
    ]
    assert wandb_log.summary(lines)["instrument.displaced_rows"] == 2


def test_not_a_number_and_the_infinities_arrive_as_such(wandb_root: Path) -> None:
    store = MemoryBackend()
    record_run(store, loss("NaN", 0), loss("Infinity", 1), loss("-Infinity", 2))
    mirrored(store, wandb_root)
    [directory] = wandb_log.run_directories(wandb_root)
    found = list(wandb_log.values_of("loss", wandb_log.decode(directory)))
    assert found == ["NaN", "Infinity", "-Infinity"]


def test_artifacts_refer_to_the_store_and_carry_our_digest(
    wandb_root: Path, tmp_path: Path
) -> None:
    (tmp_path / "objects").mkdir()
    store = FileBackend(tmp_path / "objects")
    files = {"config.json": b"{}", "layers/0.bin": b"\x00" * 1000}
    version = keep(store, "model+v2", "model", files)
    record_run(store, logged(version), logged(version))
    [artifact] = wandb_log.of_type(mirrored(store, wandb_root), "artifact")

    assert artifact["name"] == "model-v2"
    assert artifact["type"] == "model"
    metadata = json.loads(artifact["metadata"])
    assert metadata["ref"] == "model+v2:v1"
    assert metadata["digest"] == version.digest
    assert metadata["size_bytes"] == 1002
    assert metadata["metadata"] == {"epochs": 3}
    assert metadata["files"] == {
        path: f"sha256:{hashlib.sha256(data).hexdigest()}" for path, data in files.items()
    }
    entries = {entry["path"]: entry for entry in artifact["manifest"]["contents"]}
    assert entries.keys() == files.keys()
    for path, data in files.items():
        lies_at = Path(entries[path]["local_path"])
        assert lies_at.parent == tmp_path / "objects"
        assert lies_at.read_bytes() == data
    assert not list((tmp_path / "wandb-data").rglob("tmp*"))


def test_objects_that_are_no_files_are_copied_for_wandb(wandb_root: Path) -> None:
    store = MemoryBackend()
    record_run(store, logged(keep(store, "report", "evaluation", {"report.json": b"[1, 2]"})))
    [artifact] = wandb_log.of_type(mirrored(store, wandb_root), "artifact")
    [entry] = artifact["manifest"]["contents"]
    assert entry["path"] == "report.json"
    assert Path(entry["local_path"]).read_bytes() == b"[1, 2]"


def test_an_artifact_that_is_gone_is_told_and_the_rest_arrives(wandb_root: Path) -> None:
    store = MemoryBackend()
    gone = ArtifactLogged(ref="gone:v1", type="model", digest="sha256:0", size_bytes=1)
    record_run(store, gone, loss(1.0, 0))
    report = fed(store)
    assert not report.complete
    [problem] = report.problems
    assert problem.startswith("the mirror could not take artifact gone:v1: NotFoundError: ")
    [directory] = wandb_log.run_directories(wandb_root)
    assert rows(wandb_log.inspect(directory)) == [{"loss": 1.0, "_step": 0}]


def test_types_that_wandb_keeps_for_itself_are_renamed(wandb_root: Path) -> None:
    store = MemoryBackend()
    record_run(
        store,
        logged(keep(store, "a", "job", {"a": b"a"})),
        logged(keep(store, "b", "wandb-history", {"b": b"b"})),
    )
    artifacts = wandb_log.of_type(mirrored(store, wandb_root), "artifact")
    assert [artifact["type"] for artifact in artifacts] == [
        "instrument-job",
        "instrument-wandb-history",
    ]


def test_inputs_code_environment_and_seeds_are_in_the_config(wandb_root: Path) -> None:
    store = MemoryBackend()
    used = [
        ArtifactUsed(ref=f"data:v{n}", type="dataset", digest="sha256:1", requested="data")
        for n in (1, 2, 1)
    ]
    record_run(
        store,
        *used,
        CodeCaptured(git=GitState(commit="a" * 40, branch="main", dirty=True), patch="sha256:2"),
        EnvironmentCaptured(level=1, snapshot="sha256:3", health=()),
        SeedsRecorded(seed=7, set_in=("random",), states={}, flags={}),
        *(
            SeedsRecorded(seed=None, set_in=(), states={}, flags={}, given=given)
            for given in (
                {"torch": GivenSeed(seed=8, calls=1)},
                {"numpy": GivenSeed(seed=9, calls=1)},
            )
        ),
    )
    config = wandb_log.config(mirrored(store, wandb_root))
    assert config["instrument.inputs"] == ["data:v1", "data:v2"]
    assert config["instrument.git"]["commit"] == "a" * 40
    assert config["instrument.git"]["dirty"] is True
    assert config["instrument.patch"] == "sha256:2"
    assert config["instrument.environment"] == "sha256:3"
    assert config["instrument.seeds"]["seed"] == 7
    assert config["instrument.seeds_given.torch"]["seed"] == 8
    assert config["instrument.seeds_given.numpy"]["seed"] == 9


def test_telemetry_and_problems_are_in_the_summary(wandb_root: Path) -> None:
    store = MemoryBackend()
    readings = {"process.memory_bytes": {"mean": 2.0, "max": 3.0}}
    record_run(
        store,
        TelemetrySummarised(values=readings, samples=4, interval_seconds=1.0),
        Problem(doing="ask git", error="OSError", message="no"),
    )
    summary = wandb_log.summary(mirrored(store, wandb_root))
    assert summary["instrument.telemetry"] == readings
    assert summary["instrument.problems"] == 1


@pytest.mark.parametrize("state", [RunState.COMPLETED, RunState.FAILED, RunState.INTERRUPTED])
def test_the_state_and_exit_code_tell_how_the_run_ended(wandb_root: Path, state: RunState) -> None:
    store = MemoryBackend()
    records = begin(store)
    if state is RunState.FAILED:
        error = ExceptionRaised(type="builtins.ValueError", message="too small", traceback="")
        records.take(error, at(1))
    end(records, RunFinished(state=state, duration_seconds=12.5))
    lines = mirrored(store, wandb_root)
    summary = wandb_log.summary(lines)
    assert summary["instrument.state"] == state.value
    assert summary["instrument.duration_seconds"] == 12.5
    failed = state is RunState.FAILED
    assert summary.get("instrument.exception") == (
        "builtins.ValueError: too small" if failed else None
    )
    [left] = wandb_log.of_type(lines, "exit")
    assert left.get("exit_code", 0) == (0 if state is RunState.COMPLETED else 1)


def test_a_further_attempt_that_died_is_what_counts(wandb_root: Path) -> None:
    store = MemoryBackend()

    def two_attempts() -> None:
        records = open_mirror(offline=True).begin(RunSummary(id=RUN_ID), store, store)
        for record in (process(attempt=1), FINISHED, process(attempt=2)):
            records.take(record, at(0))
        records.close()

    apart(two_attempts)
    [directory] = wandb_log.run_directories(wandb_root)
    assert wandb_log.summary(wandb_log.inspect(directory))["instrument.state"] == "INTERRUPTED"


def test_the_mirrors_own_process_is_not_taken_for_the_run(wandb_root: Path) -> None:
    store = MemoryBackend()
    record_run(store)
    lines = mirrored(store, wandb_root)
    kinds = {line["type"] for line in lines}
    assert not kinds & {"environment", "stats", "output", "output_raw", "files"}
    [directory] = wandb_log.run_directories(wandb_root)
    assert not list(directory.glob("files/*"))


def test_names_that_wandb_does_not_allow_are_made_valid(
    wandb_root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = MemoryBackend()
    summary = RunSummary(id=RUN_ID, project="team/vision: #1", tags=("t" * 70, ""))
    apart(lambda: open_mirror(offline=True).begin(summary, store, store).close())
    [directory] = wandb_log.run_directories(wandb_root)
    [run] = wandb_log.of_type(wandb_log.inspect(directory), "run")
    assert run["project"] == "team-vision- -1"
    assert run["display_name"] == RUN_ID
    assert run["tags"] == ["t" * 64]


def test_what_comes_after_the_end_counts_as_lost(wandb_root: Path) -> None:
    store = MemoryBackend()

    def lost() -> int:
        records = open_mirror(offline=True).begin(RunSummary(id=RUN_ID), store, store)
        records.close()
        records.close()
        records.take(loss(1.0, 0), at(1))
        return records.lost

    assert apart(lost) == 1


def test_offline_as_wandb_says_itself(wandb_root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WANDB_MODE", "offline")
    store = MemoryBackend()
    record_run(store)
    report = fed(store, offline=False)
    assert report.complete
    assert [report.offline_directory] == [str(d) for d in wandb_log.run_directories(wandb_root)]


def test_a_disabled_wandb_is_not_taken_for_a_mirror(
    wandb_root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WANDB_MODE", "disabled")
    store = MemoryBackend()
    record_run(store)
    report = fed(store, offline=False)
    assert not report.complete
    assert "WANDB_MODE=disabled" in report.problems[0]


def test_a_wandb_that_dies_is_told(wandb_root: Path) -> None:
    class Killing(MemoryBackend):
        """Kills wandb's service when the mirror asks for the artifact."""

        def resolve(self, reference: Any) -> Any:
            for child in psutil.Process().children(recursive=True):
                if "wandb-core" in child.name():
                    child.kill()
                    child.wait()
            return super().resolve(reference)

    store = Killing()
    version = keep(store, "model", "model", {"w": b"w"})
    record_run(store, logged(version), *(loss(0.0, step) for step in range(50)))
    report = fed(store)
    assert not report.complete
    assert report.problems[-1].startswith("the mirror could not finish: ")


def test_nothing_of_wandb_is_imported_before_the_first_run() -> None:
    code = (
        "import sys, instrument_wandb, instrument.mirroring\n"
        "instrument_wandb.open_mirror(offline=True)\n"
        "print(sorted({'wandb', 'numpy', 'torch', 'pydantic'} & sys.modules.keys()))"
    )
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert done.stdout.strip() == "[]"


def _offline(asked: dict[str, str]) -> list[bool]:
    """What the mirror says with each WANDB_MODE and settings file, one after the other."""
    import wandb

    said = []
    for mode, settings in asked.items():
        os.environ.pop("WANDB_MODE", None)
        os.environ.update({"WANDB_MODE": mode} if mode else {})
        Path(os.environ["WANDB_CONFIG_DIR"], "settings").write_text(settings)
        said.append(open_mirror(offline=False).offline)
        wandb.teardown()
    return said


def test_whether_it_only_writes_is_what_the_settings_of_wandb_say(wandb_root: Path) -> None:
    Path(os.environ["WANDB_CONFIG_DIR"]).mkdir()
    offline = "[default]\nmode = offline\n"
    asked = {"offline": "", "dryrun": "", "": offline, "online": offline, "disabled": ""}
    assert apart(lambda: _offline(asked)) == [True, True, True, False, False]
    assert open_mirror(offline=True).offline
