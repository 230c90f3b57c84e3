"""When to sample: often at first, seldom in a long run, and never for more than the budget."""

from typing import Final

EASE_AFTER_SECONDS: Final = 300.0
MAX_EASING: Final = 10.0
JUDGED_SAMPLES: Final = 5
MAX_SHEDDING: Final = 64.0
LEAST_SHARE: Final = 0.1


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
    """Widens the interval while recording, telemetry included, costs more than it may.

    Judged are `JUDGED_SAMPLES` samples at a time. The first sample, which makes the probes, is
    none of them. Telemetry is all that can be shed: where it takes less than `LEAST_SHARE` of the
    budget nothing is gained by that, and it is only told. When there is room for twice as many
    samples again, they are taken.

    Args:
        percent: The most that recording may cost, in percent of the time that passes.
    """

    def __init__(self, percent: float) -> None:
        self._percent = percent
        self._before: tuple[float, float, float] | None = None
        self._samples = 0
        self._worst = 0.0
        self._excess: str | None = None
        self.widening = 1.0
        """How many times the interval is wider than it would be."""
        self.reason: str | None = None
        """Why it was, for people; None while it never was."""

    @property
    def notes(self) -> list[str]:
        """What was shed, and what could not be, for people."""
        return [note for note in (self.reason, self._excess) if note is not None]

    def spent(
        self, cpu_seconds: float, elapsed_seconds: float, whole_seconds: float | None = None
    ) -> None:
        """Take account after a sample.

        Args:
            cpu_seconds: CPU time of all the sampling so far.
            elapsed_seconds: Time that has passed so far.
            whole_seconds: What all recording cost so far (`instrument.overhead`); None: no more.
        """
        now = cpu_seconds, elapsed_seconds, cpu_seconds if whole_seconds is None else whole_seconds
        before = self._before
        self._samples += before is not None
        if before is None:
            self._before = now
        elif self._samples >= JUDGED_SAMPLES and elapsed_seconds > before[1]:
            self._judge(*(later - earlier for later, earlier in zip(now, before, strict=True)))
            self._before, self._samples = now, 0

    def _judge(self, cpu: float, elapsed: float, whole: float) -> None:
        """What passed since the last time."""
        telemetry, share = 100 * cpu / elapsed, 100 * max(whole, cpu) / elapsed
        if share <= self._percent:
            if 2 * share <= self._percent:
                self.widening = max(self.widening / 2, 1.0)
        elif telemetry < LEAST_SHARE * self._percent or self.widening >= MAX_SHEDDING:
            self._tell_excess(share, elapsed)
        else:
            self.widening *= 2
            self.reason = (
                f"telemetry: the interval between samples was widened {self.widening:g} times: a "
                f"sample took {cpu / self._samples:.3g} CPU seconds, all recording {share:.3g} % "
                f"of the time, and the overhead budget is {self._percent:g} %"
            )

    def _tell_excess(self, share: float, elapsed: float) -> None:
        if share > self._worst:
            self._worst = share
            self._excess = (
                f"recording took {share:.3g} % of the time for {elapsed:.3g} seconds: the overhead "
                f"budget is {self._percent:g} %, and there was nothing to leave out"
            )
