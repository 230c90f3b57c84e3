"""A progress bar for what takes longer than a second, on a terminal."""

import sys
import threading
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Final, Self

if TYPE_CHECKING:
    from rich.progress import Progress as Bar, TaskID

PATIENCE_SECONDS: Final = 1.0


class Progress:
    """Counts bytes; shows a bar on stderr once they have taken a while.

    Args:
        what: What is going on.
        total: Tells how many bytes there are, None where nobody knows; asked only when there is a
            bar to show.
    """

    def __init__(self, what: str, total: Callable[[], int | None]) -> None:
        self._what = what
        self._total = total
        self._done = 0
        self._lock = threading.Lock()
        self._bar: Bar | None = None
        self._task: TaskID | None = None
        self._patient_until = time.monotonic() + PATIENCE_SECONDS
        self._wanted = sys.stderr is not None and sys.stderr.isatty()

    def advance(self, count: int) -> None:
        """So many more bytes are done. Any thread may call."""
        if not self._wanted:
            return
        with self._lock:
            self._done += count
            if time.monotonic() >= self._patient_until:
                self._show()

    def _show(self) -> None:
        if self._bar is None:
            self._bar = _bar()
            self._bar.start()
            self._task = self._bar.add_task(self._what, total=self._total())
        if self._task is not None:
            self._bar.update(self._task, completed=self._done)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._bar is not None:
            self._bar.stop()


def _bar() -> "Bar":
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        DownloadColumn,
        Progress as Bar,
        TextColumn,
        TimeRemainingColumn,
    )

    columns = (
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        DownloadColumn(binary_units=True),
    )
    return Bar(*columns, TimeRemainingColumn(), console=Console(stderr=True), transient=True)
