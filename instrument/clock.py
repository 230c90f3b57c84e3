"""The one clock. Tests put `instrument.testing.FakeClock` in its place."""

import time
from datetime import UTC, datetime


class SystemClock:
    """The machine's clocks."""

    def now(self) -> datetime:
        """The wall clock, UTC."""
        return datetime.now(UTC)

    def monotonic_seconds(self) -> float:
        """Seconds of the monotonic clock."""
        return time.monotonic()
