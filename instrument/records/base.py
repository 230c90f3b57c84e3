"""What every kind of record is."""

import msgspec


class Record(msgspec.Struct, frozen=True, kw_only=True, tag_field="kind"):
    """Base of all kinds of record; the field ``kind`` says which one a line holds."""
