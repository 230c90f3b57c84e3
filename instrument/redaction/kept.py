"""The last net: texts of a record or of a snapshot, wherever in it they stand.

Each room removes the secrets that it can tell by their names. What reaches a store passes through
here as well, so that a text which nobody thought of (a tag, a reason, a message) is no way out.
"""

from typing import Any, Final, TypeVar

import msgspec

from instrument.records import (
    CallFinished,
    CallStarted,
    ConsoleWritten,
    Metrics,
    Record,
    TelemetrySampled,
)
from instrument.redaction.known import clean_texts
from instrument.redaction.texts import redact_behind_flags, redact_text

_R = TypeVar("_R", bound=Record)
_SAFE: Final = frozenset({CallFinished, CallStarted, ConsoleWritten, Metrics, TelemetrySampled})
"""Many and small, of numbers and of texts that were looked at already."""
_NO_TEXTS: Final = frozenset({bool, float, int, type(None)})


def redact_record(record: _R) -> _R:
    """`record` without secrets in its texts; itself where there are none."""
    if type(record) in _SAFE:
        return record
    plain = msgspec.to_builtins(record)
    safe = redact_texts(plain)
    return record if safe is plain else msgspec.convert(safe, type(record))


def redact_texts(value: Any) -> Any:
    """Plain values without secrets in their texts and names; itself where there are none.

    Names decide nothing here: what may be kept under which name, its room has decided.
    """
    return _redacted(value, clean_texts())


def _redacted(value: Any, clean: set[str]) -> Any:
    kind = type(value)
    if kind in _NO_TEXTS or (kind is str and value in clean):
        return value
    if isinstance(value, str):
        return redact_text(value)
    if isinstance(value, dict):
        return _redact_mapping(value, clean)
    if isinstance(value, (list, tuple)):
        items = [_redacted(item, clean) for item in value]
        items = redact_behind_flags(items)
        return value if all(map(_same, items, value)) else items
    return value


def _redact_mapping(value: dict[str, Any], clean: set[str]) -> dict[str, Any]:
    changed = {}
    for name, item in value.items():
        kind = type(item)
        if name in clean and (kind in _NO_TEXTS or (kind is str and item in clean)):
            continue  # as almost always
        pair = _redacted(name, clean), _redacted(item, clean)
        if not (_same(pair[0], name) and _same(pair[1], item)):
            changed[name] = pair
    return dict(changed.get(each[0], each) for each in value.items()) if changed else value


def _same(one: Any, other: Any) -> bool:
    return one is other or (isinstance(one, str) and one == other)
