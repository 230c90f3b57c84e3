"""Values in words for people: times, sizes, numbers, names. Nothing here writes anything."""

import re
from collections.abc import Iterable, Mapping, Sequence
from datetime import MAXYEAR, UTC, datetime
from typing import Any, Final

import msgspec

# Control characters move the cursor and forge lines; direction marks reorder what is read.
_DIRECTION: Final = "\u061c\u200b\u200e\u200f\u2028-\u202e\u2066-\u2069\ufeff"
_UNSAFE: Final = re.compile(f"[\x00-\x1f\x7f-\x9f{_DIRECTION}\ud800-\udfff]")
_UNSAFE_IN_JSON: Final = re.compile(f"[\x7f-\x9f{_DIRECTION}]")
_NAMED: Final = {"\n": r"\n", "\r": r"\r", "\t": r"\t"}
_DIGEST: Final = re.compile(r"(?<![0-9a-f])([0-9a-f]{12})[0-9a-f]{52}(?![0-9a-f])")
_SEEN: Final = re.compile(r"(optimizer|scheduler|dataloader)(_\d+)?\.")
SHORT_ID: Final = 20
_STEPS: Final = ((60, "s"), (60, "min"), (24, "h"), (365, "d"))


def visible(text: object, limit: int = 2000) -> str:
    r"""`text` on one line, harmless to a terminal, cut at `limit` characters.

    >>> print(visible("a\x1b[31mb"))
    a\x1b[31mb
    """
    shown = _UNSAFE.sub(lambda found: _escaped(found[0]), str(text)[: limit + 1])
    return shown if len(shown) <= limit else shown[: limit - 1] + "…"


def json_text(value: object) -> str:
    """`value` as JSON with indentation, harmless to a terminal."""
    return safe_json(msgspec.json.format(msgspec.json.encode(value), indent=2).decode())


def safe_json(data: str) -> str:
    """The same JSON, with the characters escaped that JSON allows and a terminal obeys."""
    return _UNSAFE_IN_JSON.sub(lambda found: f"\\u{ord(found[0]):04x}", data)


def value_text(value: Any, limit: int = 200) -> str:
    """A parameter, a metric or another plain value on one line."""
    if isinstance(value, str):
        return visible(value, limit)
    if isinstance(value, float):
        return f"{value:.6g}"
    return visible(msgspec.json.encode(value).decode(), limit)


def duration(seconds: float | None) -> str:
    """``0.42 s``, ``12.4 s``, ``3 min 5 s``, ``2 h 4 min``, ``3 d 1 h``."""
    if seconds is None:
        return "-"
    if round(seconds, 1) < 60:  # noqa: PLR2004 - a minute
        return f"{seconds:.2f} s" if seconds < 10 else f"{seconds:.1f} s"  # noqa: PLR2004 - digits
    minutes, rest_seconds = divmod(round(seconds), 60)
    hours, rest_minutes = divmod(minutes, 60)
    days, rest_hours = divmod(hours, 24)
    if days:
        return f"{days} d {rest_hours} h"
    return f"{hours} h {rest_minutes} min" if hours else f"{minutes} min {rest_seconds} s"


def ago(at: datetime | None, now: datetime | None = None) -> str:
    """``just now``, ``3 min ago``, ``2 h ago``, ``5 d ago``."""
    if at is None:
        return "-"
    amount = int(((now or datetime.now(UTC)) - at).total_seconds())
    if amount < 1:
        return "just now"
    for step, unit in _STEPS:
        if amount < step:
            return f"{amount} {unit} ago"
        amount //= step
    return f"{amount} y ago"


def moment(at: datetime | None) -> str:
    """``2026-11-21 04:18:45`` in the local time zone."""
    return "-" if at is None else f"{at.astimezone():%Y-%m-%d %H:%M:%S}"


def last_day(until: datetime) -> str:
    """``2030-01-01``; of the last day that there is ``forever``."""
    return "forever" if until.year == MAXYEAR else f"{until:%Y-%m-%d}"


def size(count: int | None) -> str:
    """``512 B``, ``1.5 KiB``, ``20 MiB``."""
    if count is None:
        return "-"
    amount = float(count)
    for unit in ("B", "KiB", "MiB", "GiB"):
        if amount < 1024:  # noqa: PLR2004 - binary units
            whole = unit == "B" or amount >= 100  # noqa: PLR2004 - three digits are enough
            return f"{amount:.0f} {unit}" if whole else f"{amount:.3g} {unit}"
        amount /= 1024
    return f"{amount:.0f} TiB"


def count(number: int, noun: str) -> str:
    """``1 run``, ``2 runs``."""
    return f"{number:,} {noun}" + ("" if number == 1 else "s")


def by_interest(values: Mapping[str, object]) -> list[str]:
    """The names: what people set, then what was seen of optimizers and loaders; nulls last."""
    return sorted(values, key=lambda name: (values[name] is None, bool(_SEEN.match(name))))


def short_ids(ids: Sequence[str]) -> dict[str, str]:
    """For each id a prefix that is unique among `ids`, of equal length where possible."""
    length = SHORT_ID
    longest = max((len(run_id) for run_id in ids), default=0)
    while length < longest and len({run_id[:length] for run_id in ids}) < len(set(ids)):
        length += 4
    return {run_id: run_id[:length] for run_id in ids}


def short_digests(text: str) -> str:
    """`text` with each digest in it cut to its first 12 digits."""
    return _DIGEST.sub(r"\1…", text)


def short_digest(digest: str | None) -> str:
    """``sha256:`` and the first 12 digits."""
    return "-" if digest is None else digest[:19]


def listed(items: Iterable[object], most: int = 12) -> str:
    """The items, separated by commas; how many more there are beyond `most`."""
    texts = [visible(item, 200) for item in items]
    more = f", and {len(texts) - most} more" if len(texts) > most else ""
    return ", ".join(texts[:most]) + more


def _escaped(character: str) -> str:
    number = ord(character)
    return _NAMED.get(character) or (f"\\x{number:02x}" if number < 256 else f"\\u{number:04x}")  # noqa: PLR2004
