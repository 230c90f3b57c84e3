"""The ``--where`` language: what it can say, parsed without evaluating anything.

    params.lr <= 0.1 and metrics.accuracy > 0.9 and state == 'COMPLETED'
    not (tags contains 'baseline' or name ~ 'sft')

Fields are ``params.NAME``, ``metrics.NAME``, ``git.NAME`` and the plain fields of a run in JSON
(`FIELDS`). Operators: ``== != < <= > >=``, ``~`` (the text contains), ``contains`` (the list has),
``in (1, 2)`` (one of these). The command, and what was loaded and read, are texts (`text_of`).
A name with spaces stands in quotes: ``metrics."val acc"``.
Words: ``and or not true false null``. A run that lacks the field meets no comparison with it but
``== null`` and ``!=`` anything else (``!= null`` is met by every run that has it).
"""

from instrument.query.conditions import (
    FIELDS,
    GROUPS,
    LIST_FIELDS,
    TEXT_FIELDS,
    All,
    Comparison,
    Condition,
    Not,
    Operand,
    Some,
    matches,
    text_of,
    value_of,
)
from instrument.query.ordering import Order, in_order, parse_order
from instrument.query.parsing import parse, parse_field

__all__ = [
    "FIELDS",
    "GROUPS",
    "LIST_FIELDS",
    "TEXT_FIELDS",
    "All",
    "Comparison",
    "Condition",
    "Not",
    "Operand",
    "Order",
    "Some",
    "in_order",
    "matches",
    "parse",
    "parse_field",
    "parse_order",
    "text_of",
    "value_of",
]
