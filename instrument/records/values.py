"""Parameters and metrics."""

from typing import Any

from instrument.records.base import Record


class Params(Record, frozen=True, kw_only=True, tag="params"):
    """Parameters of the run.

    Attributes:
        values: Nested names become dotted: ``{"optim": {"lr": 0.1}}`` is ``optim.lr``.
        source: ``config``, ``call`` or ``log_params``.
    """

    values: dict[str, Any]
    source: str


class Metrics(Record, frozen=True, kw_only=True, tag="metrics", gc=False):  # no cycles
    """Measured values at one step.

    Attributes:
        values: Numbers by name; NaN and the infinities stand as strings.
        step: Step they belong to, from 0; None when the user gave none.
    """

    values: dict[str, float | str]
    step: int | None
