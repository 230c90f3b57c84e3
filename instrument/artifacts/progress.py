"""A progress bar for what takes longer than a second, on a terminal."""

import sys
import time
from types import TracebackType
from typing import TYPE_CHECKING, Final, Self

if TYPE_CHECKING:
    from rich.progress import Progress as Bar, TaskID

PATIENCE_SECONDS: Final = 1.0


class Progress:
    """Counts steps; shows a bar on stderr once they have taken a while.

    Args:
        what: What is going on.
        steps: How many steps it takes.
    """

    def __init__(self, what: str, steps: int) -> None:
        self._what = what
        self._steps = steps
        self._done = 0
        self._bar: Bar | None = None
        self._task: TaskID | None = None
        self._patient_until = time.monotonic() + PATIENCE_SECONDS
        self._wanted = sys.stderr is not None and sys.stderr.isatty()

    def advance(self, steps: int) -> None:
        """So many more steps are done."""
        self._done += steps
        if not self._wanted or time.monotonic() < self._patient_until:
            return
        if self._bar is None:
            self._bar = _bar()
            self._bar.start()
            self._task = self._bar.add_task(self._what, total=self._steps)
        if self._task is not None:
            self._bar.update(self._task, completed=self._done)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self._bar is not None:
            self._bar.stop()


def _bar() -> "Bar":
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress as Bar,
        TextColumn,
        TimeRemainingColumn,
    )

    columns = TextColumn("{task.description}", markup=False), BarColumn(), MofNCompleteColumn()
    return Bar(*columns, TimeRemainingColumn(), console=Console(stderr=True), transient=True)
