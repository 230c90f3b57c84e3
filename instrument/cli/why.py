"""The option ``--why`` of what the ledger remembers: for good, so without secrets."""

from collections.abc import Callable
from typing import Any

import click


def why_option(*, required: bool = False) -> Callable[[Any], Any]:
    """The option; the command gets its text with marks in place of secrets."""
    return click.option(
        "--why",
        required=required,
        metavar="TEXT",
        callback=_without_secrets,
        help="The reason, for the ledger.",
    )


def _without_secrets(_context: object, _option: object, text: str | None) -> str | None:
    from instrument.redaction import redact_text

    return redact_text(text) if text else text
