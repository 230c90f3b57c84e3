"""How a run passes to the processes that are started inside it: one environment variable.

``INSTRUMENT_HANDOVER=<run id>:<attempt>:<pid>:<part>`` is set while a run is open. A child process
reads it and takes part in that run: with ``adopt`` (under ``instrument run``) the first
`ExperimentContext` of the child *is* the run; with ``join`` (a worker of a run's own process) only
what is logged without a context of its own goes there, and a context opens a child run.
"""

import os
from typing import Final, Literal, NamedTuple, TypeAlias, cast

VARIABLE: Final = "INSTRUMENT_HANDOVER"
Part: TypeAlias = Literal["adopt", "join"]


class Handover(NamedTuple):
    """A run that another process handed to this one.

    Attributes:
        run_id: The run.
        attempt: Its attempt.
        pid: The process that handed it over.
        part: ``adopt`` or ``join``.
    """

    run_id: str
    attempt: int
    pid: int
    part: Part

    def __str__(self) -> str:
        """The variable's value."""
        return f"{self.run_id}:{self.attempt}:{self.pid}:{self.part}"


def received() -> Handover | None:
    """The run that was handed to this process, or None; the process's own hand-over is none."""
    parts = os.environ.get(VARIABLE, "").split(":")
    if len(parts) != 4 or parts[3] not in {"adopt", "join"}:  # noqa: PLR2004 - its four fields
        return None
    if not (parts[1].isdigit() and parts[2].isdigit()) or int(parts[2]) == os.getpid():
        return None
    return Handover(parts[0], int(parts[1]), int(parts[2]), cast("Part", parts[3]))


class Offer:
    """Sets variables for child processes, and puts back exactly what it changed."""

    def __init__(self, handover: Handover, store: str) -> None:
        self._values = {VARIABLE: str(handover), "INSTRUMENT_STORE": store}
        self._before: dict[str, str | None] = {}

    def make(self) -> None:
        """Set the variables."""
        for name, value in self._values.items():
            self._before[name] = os.environ.get(name)
            os.environ[name] = value

    def withdraw(self) -> None:
        """Restore them, unless somebody else has changed them since."""
        for name, before in self._before.items():
            if os.environ.get(name) != self._values[name]:
                continue
            if before is None:
                del os.environ[name]
            else:
                os.environ[name] = before
        self._before.clear()
