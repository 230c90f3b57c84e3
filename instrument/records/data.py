"""Data that was read: what really was, by content."""

from typing import Any

from instrument.records.base import Record


class DataRead(Record, frozen=True, kw_only=True, tag="data_read"):
    """A library read data. Its content is told by the `ContentIdentified` of the same `load_id`.

    Attributes:
        load_id: Number of the read in this process; no other load or read has it.
        reader: The call, such as ``torch.load``.
        library: The library and its version, such as ``torch 2.13.0``.
        requested: Path or id as the call got it, secrets removed; None when it was no name.
        rows: How many rows or examples were read; None where there is no such number.
        schema: Type of each column by its name; None where there are no columns.
        facts: What else is known, such as the split; a fact that is not known is absent.
        call_site: ``file:line`` of the user's code, or None.
        duration_seconds: How long the read took, by a monotonic clock.
        error: Type and message of the exception that ended the read, or None.
    """

    load_id: int
    reader: str
    library: str
    requested: str | None
    rows: int | None
    schema: dict[str, str] | None
    facts: dict[str, Any]
    call_site: str | None
    duration_seconds: float
    error: str | None = None
