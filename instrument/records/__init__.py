"""The facts a run leaves behind: one frozen type for each kind of record.

A record is one line of a journal (docs/store-format.md, which is generated from these types).
Records are only ever added: nothing here describes a change to an earlier record. Each module holds
the kinds of one subject; here they come together.
"""

import functools
import operator
from collections.abc import Mapping
from datetime import datetime
from typing import Any, Final

import msgspec

from instrument.errors import IntegrityError
from instrument.records.artifacts import ArtifactLogged, ArtifactUsed, CheckpointSaved
from instrument.records.base import Record
from instrument.records.calls import CallFinished, CallStarted
from instrument.records.checks import ModelChecked
from instrument.records.console import ConsoleWritten
from instrument.records.data import DataRead
from instrument.records.environment import CodeCaptured, EnvironmentCaptured, SeedsRecorded
from instrument.records.generation import GenerationCalled, GenerationsCounted
from instrument.records.models import ContentIdentified, LoadsCounted, ModelLoaded
from instrument.records.runs import (
    ExceptionRaised,
    Problem,
    ProcessFinished,
    ProcessStarted,
    RecordsLost,
    RunFinished,
    RunStarted,
)
from instrument.records.telemetry import (
    PhaseFinished,
    PhaseStarted,
    TelemetrySampled,
    TelemetrySummarised,
)
from instrument.records.values import Metrics, Params

__all__ = [
    "FORMAT_VERSION",
    "KINDS",
    "ArtifactLogged",
    "ArtifactUsed",
    "CallFinished",
    "CallStarted",
    "CheckpointSaved",
    "CodeCaptured",
    "ConsoleWritten",
    "ContentIdentified",
    "DataRead",
    "Entry",
    "EnvironmentCaptured",
    "ExceptionRaised",
    "GenerationCalled",
    "GenerationsCounted",
    "LoadsCounted",
    "Metrics",
    "ModelChecked",
    "ModelLoaded",
    "Params",
    "PhaseFinished",
    "PhaseStarted",
    "Problem",
    "ProcessFinished",
    "ProcessStarted",
    "Record",
    "RecordsLost",
    "RunFinished",
    "RunStarted",
    "SeedsRecorded",
    "TelemetrySampled",
    "TelemetrySummarised",
    "UnknownRecord",
    "decode_record",
]

FORMAT_VERSION: Final = 1


class UnknownRecord(Record, frozen=True, kw_only=True, tag="unknown"):
    """A kind of record that a newer version wrote; kept as it is and passed over.

    Attributes:
        original_kind: Its kind.
        fields: Its fields.
    """

    original_kind: str
    fields: dict[str, Any]


KINDS: Final[Mapping[str, type[Record]]] = {
    str(cls.__struct_config__.tag): cls
    for cls in (
        ProcessStarted,
        RunStarted,
        CodeCaptured,
        EnvironmentCaptured,
        SeedsRecorded,
        Params,
        Metrics,
        ArtifactLogged,
        ArtifactUsed,
        CheckpointSaved,
        CallStarted,
        CallFinished,
        ModelLoaded,
        DataRead,
        ContentIdentified,
        LoadsCounted,
        ModelChecked,
        GenerationCalled,
        GenerationsCounted,
        TelemetrySampled,
        TelemetrySummarised,
        PhaseStarted,
        PhaseFinished,
        ConsoleWritten,
        Problem,
        RecordsLost,
        ExceptionRaised,
        RunFinished,
        ProcessFinished,
    )
}


class Entry(msgspec.Struct, frozen=True, kw_only=True):
    """A record in its place: one line of one journal.

    Attributes:
        writer: Name of the journal.
        seq: Its number in the journal, from 0.
        at: When it was taken, UTC.
        record: The record.
    """

    writer: str
    seq: int
    at: datetime
    record: Record


def decode_record(data: bytes | msgspec.Raw) -> Record:
    """The record that the JSON object `data` holds.

    Raises:
        IntegrityError: `data` is no JSON object with a kind, or lacks fields of its kind.
    """
    try:
        kind = _kind_decoder.decode(data).kind
        if kind in KINDS:
            return _decoder.decode(data)
        fields = msgspec.json.decode(data)
    except (msgspec.MsgspecError, RecursionError, UnicodeDecodeError) as error:
        raise IntegrityError(f"a record does not parse: {error}") from error
    fields.pop("kind", None)
    return UnknownRecord(original_kind=kind, fields=fields)


class _Kind(msgspec.Struct):
    kind: str


_kind_decoder = msgspec.json.Decoder(_Kind)
_decoder: msgspec.json.Decoder[Record] = msgspec.json.Decoder(
    functools.reduce(operator.or_, KINDS.values())
)
