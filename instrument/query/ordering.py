"""Runs in the order of one of their fields."""

from collections.abc import Iterable
from typing import Any, NamedTuple

from instrument.query.conditions import comparable, value_of
from instrument.query.parsing import parse_field
from instrument.summary import RunSummary


class Order(NamedTuple):
    """By which field runs stand, and which way."""

    field: str
    descending: bool


def parse_order(text: str) -> Order:
    """The order that ``FIELD``, ``FIELD:asc``, ``FIELD:desc`` or ``-FIELD`` spells.

    Raises:
        QueryError: It is none of these, or the field is unknown.
    """
    if text.startswith("-"):
        return Order(parse_field(text[1:]), descending=True)
    field, _, way = text.rpartition(":") if text.endswith((":asc", ":desc")) else (text, "", "asc")
    return Order(parse_field(field), way == "desc")


def in_order(runs: Iterable[RunSummary], order: Order) -> list[RunSummary]:
    """`runs` by `order`: numbers before texts; those without the field, and NaN, come last."""
    placed: list[tuple[RunSummary, object]] = []
    last: list[RunSummary] = []
    for run in runs:
        found, _ = comparable(value_of(run, order.field), 0)
        if found is None or found != found or isinstance(found, (list, dict)):  # noqa: PLR0124 - NaN
            last.append(run)
        else:
            placed.append((run, found))
    placed.sort(key=lambda pair: _sort_key(pair[1]), reverse=order.descending)
    return [run for run, _ in placed] + last


def _sort_key(value: object) -> tuple[int, Any]:
    return (0, float(value)) if isinstance(value, (int, float)) else (1, str(value))
