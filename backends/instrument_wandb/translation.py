"""What each kind of record becomes in a W&B run."""

from datetime import datetime
from functools import singledispatchmethod
from typing import TYPE_CHECKING, Any

import msgspec

from instrument.naming import parse_reference
from instrument.protocols import Objects, Versions
from instrument.records import (
    ArtifactLogged,
    ArtifactUsed,
    CodeCaptured,
    EnvironmentCaptured,
    ExceptionRaised,
    Metrics,
    Params,
    Problem,
    ProcessStarted,
    Record,
    RecordsLost,
    RunFinished,
    SeedsRecorded,
    TelemetrySummarised,
)
from instrument.vocabulary import RunState
from instrument_wandb.artifacts import to_wandb
from instrument_wandb.history import STEP_FIELD, Rows, row_values

if TYPE_CHECKING:
    import wandb


class Translation:
    """Says in one W&B run what the records say.

    Attributes:
        outputs: The W&B artifacts by our reference.
        state: How the run ended, as far as is known.

    Args:
        run: An open W&B run.
        objects: Where the bytes of artifacts are.
        versions: What artifact references mean.
    """

    def __init__(self, run: "wandb.Run", objects: Objects, versions: Versions) -> None:
        self.outputs: dict[str, wandb.Artifact] = {}
        self.state = RunState.INTERRUPTED
        self._run = run
        self._config: Any = run.config
        self._objects = objects
        self._versions = versions
        self._rows = Rows()
        self._inputs: list[str] = []
        self._displaced = 0
        self._problems = 0

    @singledispatchmethod
    def take(self, record: Record, at: datetime) -> None:
        """Translate `record`; most kinds have no place in W&B."""

    def end(self) -> None:
        """Say what only the end of the records tells."""
        summary: dict[str, Any] = {"instrument.state": str(self.state)}
        if self._displaced:
            summary["instrument.displaced_rows"] = self._displaced
        if self._problems:
            summary["instrument.problems"] = self._problems
        self._run.summary.update(summary)

    def _configure(self, values: dict[str, Any]) -> None:
        self._config.update(values, allow_val_change=True)

    @take.register
    def _(self, record: Params, _: datetime) -> None:
        self._configure(record.values)

    @take.register
    def _(self, record: Metrics, at: datetime) -> None:
        values = row_values(record.values)
        step = self._rows.place(values.keys(), record.step)
        if record.step is not None and record.step != step:
            values[STEP_FIELD] = record.step
            self._displaced += 1
        self._run.log({**values, "_timestamp": at.timestamp()}, step=step)

    @take.register
    def _(self, record: ArtifactLogged, _: datetime) -> None:
        if record.ref in self.outputs:
            return
        version = self._versions.resolve(parse_reference(record.ref))
        artifact = to_wandb(version, self._objects)
        self.outputs[record.ref] = self._run.log_artifact(artifact)

    @take.register
    def _(self, record: ArtifactUsed, _: datetime) -> None:
        if record.ref not in self._inputs:  # W&B's use_artifact works online only
            self._inputs.append(record.ref)
            self._configure({"instrument.inputs": list(self._inputs)})

    @take.register
    def _(self, record: CodeCaptured, _: datetime) -> None:
        git = msgspec.to_builtins(record.git)
        self._configure({"instrument.git": git, "instrument.patch": record.patch})

    @take.register
    def _(self, record: EnvironmentCaptured, _: datetime) -> None:
        if record.snapshot is not None:
            self._configure({"instrument.environment": record.snapshot})

    @take.register
    def _(self, record: SeedsRecorded, _: datetime) -> None:
        told = msgspec.to_builtins(record)
        given = told.pop("given")
        by_library = {f"instrument.seeds_given.{name}": given[name] for name in given}
        self._configure(by_library or {"instrument.seeds": told})

    @take.register
    def _(self, record: TelemetrySummarised, _: datetime) -> None:
        self._run.summary.update({"instrument.telemetry": record.values})

    @take.register
    def _(self, _record: Problem, _: datetime) -> None:
        self._problems += 1

    @take.register
    def _(self, record: RecordsLost, _: datetime) -> None:
        self._problems += record.count

    @take.register
    def _(self, record: ExceptionRaised, _: datetime) -> None:
        self._run.summary.update({"instrument.exception": f"{record.type}: {record.message}"})

    @take.register
    def _(self, record: ProcessStarted, _: datetime) -> None:
        if record.owner:  # a further attempt: how the earlier one ended no longer counts
            self.state = RunState.INTERRUPTED

    @take.register
    def _(self, record: RunFinished, _: datetime) -> None:
        self.state = record.state
        self._run.summary.update({"instrument.duration_seconds": record.duration_seconds})
