"""Calls of decorated functions."""

from typing import Any

from instrument.records.base import Record


class CallStarted(Record, frozen=True, kw_only=True, tag="call_started", gc=False):  # no cycles
    """A decorated function was called.

    Attributes:
        call_id: Number of the call in this journal, from 1.
        function: ``module:qualname``.
        source_digest: Digest of the source text of the function, or None.
        arguments: Summaries of the arguments by parameter name.
        parent_call_id: The decorated call around it, or None.
    """

    call_id: int
    function: str
    source_digest: str | None
    arguments: dict[str, Any]
    parent_call_id: int | None


class CallFinished(Record, frozen=True, kw_only=True, tag="call_finished", gc=False):  # no cycles
    """A decorated function returned, raised, or its generator was closed.

    Attributes:
        call_id: The call.
        outcome: ``returned``, ``raised`` or ``closed``.
        duration_seconds: From call to end, by a monotonic clock.
    """

    call_id: int
    outcome: str
    duration_seconds: float
