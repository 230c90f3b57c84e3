"""What the processes of a run printed."""

from instrument.records.base import Record


class ConsoleWritten(Record, frozen=True, kw_only=True, tag="console"):
    """Lines that a process wrote to its standard output or standard error, secrets removed.

    Written about once a second and in the order of the lines. Where a line was overwritten (a
    progress bar), its last state stands; sequences that colour a terminal are gone.

    Attributes:
        stream: ``stdout`` or ``stderr``.
        text: Whole lines, or the state of a progress bar, which ends with a carriage return.
        omitted_characters: How much before it was left out, so that the journal stays small.
    """

    stream: str
    text: str
    omitted_characters: int = 0
