"""What a row of the benchmark is made of."""

import sys
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

from benchmarks.launch import LaunchError
from benchmarks.workplace import Workplace

Numbers = dict[str, float]


class Entrant(NamedTuple):
    """One line of a row's table.

    Attributes:
        label: Its name, in the table and for the scenario.
        environment: The virtual environment it runs in.
        arguments: More arguments for the scenario.
        most_rounds: Rounds in which it takes part: a slow one shows in the first.
    """

    label: str
    environment: str
    arguments: tuple[str, ...] = ()
    most_rounds: int = 99


class Target(NamedTuple):
    """What PERFORMANCE asks: `metric` of `entrant` is at most `at_most`, or that times `against`.

    Attributes:
        metric: Key of the number.
        entrant: Label of ours.
        at_most: The limit.
        against: Label of the peer or the floor whose number is the unit; None for a plain limit.
    """

    metric: str
    entrant: str
    at_most: float
    against: str | None = None


class Row(NamedTuple):
    """One question, put to all entrants.

    Attributes:
        name: For ``--rows``.
        title: The question.
        entrants: Who answers.
        columns: Heading of each number to show, by key.
        targets: What we want.
        measure: One round: the numbers of each entrant, from the entrants in their order.
        warm_up: Whether one round is run first and thrown away.
        most_rounds: Rounds beyond this add nothing.
    """

    name: str
    title: str
    entrants: tuple[Entrant, ...]
    columns: Mapping[str, str]
    targets: tuple[Target, ...]
    measure: Callable[[Workplace, Sequence[Entrant]], dict[str, Numbers]]
    warm_up: bool = True
    most_rounds: int = 99


def one_by_one(
    measure: Callable[[Workplace, Entrant], Numbers],
) -> Callable[[Workplace, Sequence[Entrant]], dict[str, Numbers]]:
    """A round in which the entrants run one after another; who fails is told and left out."""

    def measure_all(place: Workplace, entrants: Sequence[Entrant]) -> dict[str, Numbers]:
        numbers = {}
        for entrant in entrants:
            try:
                numbers[entrant.label] = measure(place, entrant)
            except LaunchError as error:
                print(f"\n{entrant.label} failed: {error}", file=sys.stderr)
        return numbers

    return measure_all
