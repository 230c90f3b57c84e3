"""Secrets out of everything that is kept: by name, by form, by value, and out of URLs.

A *name* decides for variables, settings and flags (`is_secret_name`). In free text the *form* of
well-known tokens decides (`forms`), and every *value* that this process knows to be secret
(`known`): of its variables, and of settings and flags from the moment they were seen.

What is removed leaves a mark in its place, ``[redacted]`` or ``[redacted npm token]``: the record
says what was removed and from where. docs/secrets.md tells what that can do and what it cannot.
"""

from instrument.redaction.known import MIN_LENGTH as MIN_SECRET_LENGTH, learn
from instrument.redaction.names import hides, is_secret_name, spares
from instrument.redaction.texts import (
    REDACTED,
    hide,
    printable,
    redact_behind_flags,
    redact_command,
    redact_plain,
    redact_text,
    redact_url,
    redact_value,
)

__all__ = [
    "MIN_SECRET_LENGTH",
    "REDACTED",
    "hide",
    "hides",
    "is_secret_name",
    "learn",
    "printable",
    "redact_behind_flags",
    "redact_command",
    "redact_plain",
    "redact_text",
    "redact_url",
    "redact_value",
    "spares",
]
