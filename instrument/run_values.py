"""The values of one run: its parameters and its metrics, on the record."""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from instrument import given
from instrument.capture.config import given_values
from instrument.errors import UsageError
from instrument.given import metric_name, number, numbers_by_name, shown
from instrument.guard import one_line, say
from instrument.overhead import clocks, costs
from instrument.records import Metrics, Params, Record
from instrument.redaction import redact_text
from instrument.redaction.kept import redact_record

if TYPE_CHECKING:
    from instrument.recording import Recording

_INFINITY = float("inf")
_MINUS_INFINITY = -_INFINITY
MAX_METRIC_NAMES = 50_000
"""Every name costs a line in each summary; a million would make the store slow for everybody."""
_USUAL_STEP = 2**30 - 1
"""Numbers up to here are compared in one step of the interpreter; others are looked at closely."""
_MOST_OF_NAME = 80
_MOST_CHANGES = 5
_now = datetime.now


class _Compared:
    """Values by name, each compared with the one that the name had before."""

    def __init__(self) -> None:
        self._values: dict[str, Any] = {}
        self._told: set[str] = set()

    def changes(self, values: Mapping[str, Any]) -> str:
        """Which of `values` were another before, each name once; empty where none was."""
        before = self._values
        changed = [
            name
            for name, value in values.items()
            if name not in self._told and before.get(name, value) != value
        ]
        told = [
            f"parameter {name[:_MOST_OF_NAME]} was {shown(before[name])} and is "
            f"{shown(values[name])} now"
            for name in changed[:_MOST_CHANGES]
        ]
        if len(changed) > len(told):
            told.append(f"{len(changed) - len(told)} more have changed")
        self._told.update(changed)
        before.update(values)
        return ", ".join(told)


class RunValues:
    """What a run does with values, and the `Recorder` that other rooms are handed.

    `instrument.context.ExperimentContext` is the run.

    Attributes:
        recording: What records this run; None when recording is disabled.
    """

    def __init__(self) -> None:
        super().__init__()
        self.recording: Recording | None = None
        self._metric_names: dict[str, str] = {}
        self._compared = _Compared()
        self._too_many_names = False

    def record(self, record: Record) -> None:
        """Take a record; does nothing when recording is disabled."""
        if self.recording is not None:
            self.recording.record(record)

    def problem(self, doing: str, error: BaseException) -> None:
        """Count, record and show a failure of recording."""
        if self.recording is not None:
            self.recording.problem(doing, error)
        else:
            say(f"could not {doing}: {one_line(error)}")

    @costs("records")
    def log_params(self, values: Mapping[str, Any] | object) -> None:
        """Record parameters; nested names become dotted, secrets are left out by name.

        Raises:
            UsageError: `values` is not a mapping or another kind of configuration, a name in it
                is empty, or a value has no JSON form.
        """
        self._record_params(Params(values=named_params(values), source="log_params"))

    def log_metrics(  # noqa: C901 - the hot path, in one piece
        self, metrics: Mapping[str, Any], step: int | None = None
    ) -> None:
        """Record numbers at one step. On return they survive ``kill -9``.

        Args:
            metrics: Numbers by name: Python, numpy or torch scalars; NaN is allowed. A float of 32
                bits is kept as the decimal that people see, 0.9 and not 0.8999999761581421.
            step: Where in the run they belong: an integer from 0.

        Raises:
            UsageError: A name, a value or the step is not usable; nothing is recorded.
        """
        recording = self.recording
        if recording is None:
            return
        weight = next(recording.metrics_weights)
        began = clocks() if weight else None
        if step is not None and (type(step) is not int or not 0 <= step <= _USUAL_STEP):
            step = given.step_of(metrics, step)
        if type(metrics) is not dict:
            metrics = numbers_by_name(metrics)
        values: dict[str, float | str] = {}
        names = self._metric_names
        for name, value in metrics.items():
            try:
                recorded = names[name]
            except KeyError:
                recorded = self._metric_name(name)
            if type(value) is float and _MINUS_INFINITY < value < _INFINITY:
                values[recorded] = value
            else:
                values[recorded] = number(name, value)
        if self._too_many_names:
            values.pop("", None)
            if not values and metrics:
                return
        try:
            take = recording.take
            take(Metrics(values=values, step=step), _now(UTC))
        except Exception as error:
            self.problem("log metrics", error)
        if began is not None:
            recording.overhead.estimate("records", weight, began)

    def _record_params(self, record: Params) -> None:
        """Record parameters; the last value counts, and one that was another before is told."""
        recording = self.recording
        if recording is None:
            return
        with recording.guard.protect("compare the parameters"):
            record = redact_record(record)
            if changed := self._compared.changes(record.values):
                say(f"{changed}; the last value counts")
        self.record(record)

    def _metric_name(self, name: object) -> str:
        """`name` as it is recorded; no name when there are `MAX_METRIC_NAMES` others."""
        plain = metric_name(name)
        if plain in self._metric_names:
            return self._metric_names[plain]
        if len(self._metric_names) < MAX_METRIC_NAMES:
            self._metric_names[plain] = redact_text(plain)
            return self._metric_names[plain]
        if not self._too_many_names:
            self._too_many_names = True
            reason = f"there are {MAX_METRIC_NAMES}; what changes belongs into the step or value"
            self.problem(f"record the metric {plain:.80} and others", ValueError(reason))
        return ""


def named_params(config: object) -> dict[str, Any]:
    """The parameters that `config` holds, each with a name."""
    values = given_values(config)
    if "" in values:
        raise UsageError("'' cannot name a parameter; use a text that is not empty")
    return values
