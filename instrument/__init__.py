"""A flight recorder for machine-learning work.

Add two lines to code you have, and every run is recorded: what ran, on what data, code, environment
and hardware, what came out, and whether the record is whole.

    from instrument import ExperimentContext, log_metrics, reproducible

    @reproducible(name="baseline", seed=42)
    def train(config):
        ...

    with ExperimentContext(config={"lr": 0.1}, name="baseline") as run:
        run.log_metrics({"loss": 0.5}, step=0)
        run.log_artifact("report", type="evaluation", data={"accuracy": 0.9})

Everything is kept in a local store; no network is needed. ``instrument runs list`` shows it.
Names are loaded when they are first used: ``import instrument`` itself costs next to nothing.
"""

from importlib import import_module

TYPE_CHECKING = False  # `typing` would be most of what importing this package costs
if TYPE_CHECKING:
    from typing import Any

    from instrument.artifacts import register_serialiser as register_serialiser
    from instrument.automatic import autolog as autolog
    from instrument.capture.validate import ConfigCapture as ConfigCapture
    from instrument.context import ExperimentContext as ExperimentContext
    from instrument.current import (
        current_run as current_run,
        log_artifact as log_artifact,
        log_metrics as log_metrics,
        log_params as log_params,
        use_artifact as use_artifact,
    )
    from instrument.decorators import (
        checkpoint as checkpoint,
        reproducible as reproducible,
        track_artifacts as track_artifacts,
    )
    from instrument.errors import InstrumentError as InstrumentError
    from instrument.intercept.generation import Generation as Generation
    from instrument.lineage.tracker import LineageTracker as LineageTracker
    from instrument.manager import ArtifactManager as ArtifactManager
    from instrument.past import metric_history as metric_history, run as run, runs as runs
    from instrument.provenance import (
        CleanModelLoader as CleanModelLoader,
        check_git_dirty as check_git_dirty,
        create_artifact_metadata as create_artifact_metadata,
        get_git_branch as get_git_branch,
        get_git_sha as get_git_sha,
    )
    from instrument.telemetry import HardwareMonitor as HardwareMonitor
    from instrument.telemetry.columns import run_telemetry as run_telemetry
    from instrument.vocabulary import (
        ArtifactType as ArtifactType,
        ArtifactVersion as ArtifactVersion,
        EnvironmentCaptureLevel as EnvironmentCaptureLevel,
        RunState as RunState,
    )

__version__ = "0.1.0"

_HOME = {
    "ArtifactManager": "instrument.manager",
    "ArtifactType": "instrument.vocabulary",
    "ArtifactVersion": "instrument.vocabulary",
    "CleanModelLoader": "instrument.provenance.loader",
    "ConfigCapture": "instrument.capture.validate",
    "EnvironmentCaptureLevel": "instrument.vocabulary",
    "ExperimentContext": "instrument.context",
    "Generation": "instrument.intercept.generation",
    "HardwareMonitor": "instrument.telemetry",
    "InstrumentError": "instrument.errors",
    "LineageTracker": "instrument.lineage.tracker",
    "RunState": "instrument.vocabulary",
    "autolog": "instrument.automatic",
    "check_git_dirty": "instrument.provenance.code",
    "checkpoint": "instrument.decorators",
    "create_artifact_metadata": "instrument.provenance.metadata",
    "current_run": "instrument.current",
    "get_git_branch": "instrument.provenance.code",
    "get_git_sha": "instrument.provenance.code",
    "log_artifact": "instrument.current",
    "log_metrics": "instrument.current",
    "log_params": "instrument.current",
    "metric_history": "instrument.past",
    "register_serialiser": "instrument.artifacts",
    "reproducible": "instrument.decorators",
    "run": "instrument.past",
    "run_telemetry": "instrument.telemetry.columns",
    "runs": "instrument.past",
    "track_artifacts": "instrument.decorators",
    "use_artifact": "instrument.current",
}

__all__ = sorted([*_HOME, "__version__"])  # noqa: PLE0605 - one list, kept in `_HOME`


def __getattr__(name: str) -> "Any":
    if name not in _HOME:
        raise AttributeError(f"module 'instrument' has no attribute {name!r}")
    value = getattr(import_module(_HOME[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return __all__
