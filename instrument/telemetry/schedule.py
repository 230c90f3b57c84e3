"""When to sample: often at first, seldom in a long run, and never for more than the budget."""

from typing import Final

EASE_AFTER_SECONDS: Final = 300.0
MAX_EASING: Final = 10.0
JUDGED_SAMPLES: Final = 5
MAX_SHEDDING: Final = 64.0


def interval_at(elapsed_seconds: float, first_interval: float) -> float:
    """Time to the next sample, for a run that has gone on for `elapsed_seconds`."""
    easing = min(MAX_EASING, max(1.0, elapsed_seconds / EASE_AFTER_SECONDS))
    return first_interval * easing


def next_due(due: float, now: float, interval: float) -> float:
    """When to sample next: a whole number of intervals after `due`, later than `now`.

    The time that a sample took does not add up, and ticks that were missed (a suspended machine)
    are not made up for.
    """
    missed = max(0.0, (now - due) // interval)
    return due + (missed + 1) * interval


class Budget:
    """Widens the interval while sampling takes more of a processor than it may.

    Judged are `JUDGED_SAMPLES` samples at a time. The first sample, which makes the probes, is
    none of them.

    Args:
        percent: The most CPU time that sampling may take, in percent of the time that passes.
    """

    def __init__(self, percent: float) -> None:
        self._percent = percent
        self._before: tuple[float, float] | None = None
        self._samples = 0
        self.widening = 1.0
        """How many times the interval is wider than it would be."""
        self.reason: str | None = None
        """Why it is, for people; None while it is not."""

    def spent(self, cpu_seconds: float, elapsed_seconds: float) -> None:
        """Take account after a sample.

        Args:
            cpu_seconds: CPU time of all the sampling so far.
            elapsed_seconds: Time that has passed so far.
        """
        if self._before is None:
            self._before = cpu_seconds, elapsed_seconds
            return
        self._samples += 1
        if self._samples < JUDGED_SAMPLES:
            return
        cpu, elapsed = cpu_seconds - self._before[0], elapsed_seconds - self._before[1]
        if elapsed > 0 and 100 * cpu / elapsed > self._percent and self.widening < MAX_SHEDDING:
            self.widening *= 2
            self.reason = (
                f"telemetry: the interval between samples was widened {self.widening:g} times: a "
                f"sample took {cpu / self._samples:.3g} CPU seconds, and the overhead budget is "
                f"{self._percent:g} %"
            )
        self._before, self._samples = (cpu_seconds, elapsed_seconds), 0
