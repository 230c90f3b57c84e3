"""Interleaved rounds: A B C, B C A, C A B, so that a busy machine is busy for everyone."""

import sys
import time
from collections.abc import Sequence
from statistics import median
from typing import NamedTuple

from benchmarks.row import Entrant, Numbers, Row, Target
from benchmarks.workplace import Workplace


class Results(NamedTuple):
    """What a row gave.

    Attributes:
        row: The row.
        rounds: The numbers of each entrant in each round.
        wall_seconds: How long it took in all.
    """

    row: Row
    rounds: list[dict[str, Numbers]]
    wall_seconds: float = 0.0

    def samples(self, entrant: str, metric: str) -> list[float]:
        """One number of one entrant, round by round."""
        return [each[entrant][metric] for each in self.rounds if metric in each.get(entrant, {})]

    def middle(self, entrant: str, metric: str) -> float | None:
        """The median over all rounds; None where it was not measured."""
        samples = self.samples(entrant, metric)
        return median(samples) if samples else None

    def value(self, target: Target) -> float | None:
        """What `target` limits: a median, or the median of the rounds' ratios."""
        if target.against is None:
            return self.middle(target.entrant, target.metric)
        ratios = [
            numbers[target.entrant][target.metric] / numbers[target.against][target.metric]
            for numbers in self.rounds
            if target.entrant in numbers and target.against in numbers
        ]
        return median(ratios) if ratios else None


def measure(row: Row, place: Workplace, entrants: Sequence[Entrant], rounds: int) -> Results:
    """Measure `row` for `rounds` rounds; who fails in one takes no part in the next."""
    rounds = min(rounds, row.most_rounds)
    measured_rounds: list[dict[str, Numbers]] = []
    started = time.monotonic()
    for number in range(-1 if row.warm_up else 0, rounds):
        elapsed = time.monotonic() - started
        print(
            f"\r{row.name}: {elapsed:.0f} s, round {number} of {rounds} ", end="", file=sys.stderr
        )
        entrants = [entrant for entrant in entrants if number < entrant.most_rounds]
        shift = number % len(entrants)
        measured = row.measure(place, [*entrants[shift:], *entrants[:shift]])
        entrants = [entrant for entrant in entrants if entrant.label in measured]
        if number >= 0:
            measured_rounds.append(measured)
    print(f"\r{'':60}\r", end="", file=sys.stderr)
    return Results(row, measured_rounds, time.monotonic() - started)
