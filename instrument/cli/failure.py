"""The traceback of the exception that ended a run."""

from typing import TYPE_CHECKING, Final

from instrument.cli.output import text
from instrument.protocols import Store
from instrument.records import ExceptionRaised
from instrument.summary import RunSummary

if TYPE_CHECKING:
    from rich.console import RenderableType

_MOST_LINES: Final = 40


def traceback_of(store: Store, run: RunSummary) -> str | None:
    """As it was recorded; None where no exception ended the run: its journals are not read then."""
    if not run.exception:
        return None
    told = run.exception.get("type"), run.exception.get("message")
    raised = [
        entry.record
        for entry in store.entries(run.id)
        if isinstance(entry.record, ExceptionRaised)
        and (entry.record.type, entry.record.message) == told
    ]
    return raised[-1].traceback if raised else None


def drawn(traceback: str) -> "RenderableType":
    """The last lines of it: where it came from stands there."""
    from rich.text import Text

    lines = traceback.rstrip().splitlines()
    shown = lines[-_MOST_LINES:]
    if len(shown) < len(lines):
        shown.insert(0, f"… {len(lines) - len(shown)} lines before; --json shows all")
    return Text("\n").join(text(line) for line in shown)
