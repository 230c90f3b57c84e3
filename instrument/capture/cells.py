"""The cells that IPython has executed in this process: the code of a notebook as it ran."""

from typing import Any, Final, NamedTuple

from instrument.capture.literals import holds_secret
from instrument.capture.notebook import shell_of_ipython
from instrument.capture.parts import NotKnown
from instrument.capture.script import MAX_BYTES
from instrument.capture.secret_lines import redacted_lines, secret_parts, where, without


class Cells(NamedTuple):
    """What was executed.

    Attributes:
        content: The sources in their order, a line ``# %% [number]`` above each, without secrets;
            None when they are not to be kept.
        reason: What of them is missing and why; None for nothing.
    """

    content: bytes | None
    reason: str | None = None


_LEAKS: Final = Cells(None, "the cells of the notebook are not kept: they hold a secret")


def has_cells() -> bool:
    """Whether IPython has executed a cell in this process: code in no file."""
    try:
        return any(shell_of_ipython().history_manager.input_hist_raw[1:])
    except NotKnown:
        return False


def executed_cells() -> Cells:
    """All that was executed up to now, the cell that runs included: the newest, up to `MAX_BYTES`.

    Raises:
        NotKnown: IPython does not run in this process.
    """
    sources = _sources(shell_of_ipython())
    kept, room = len(sources), MAX_BYTES
    while kept and room >= len(sources[kept - 1]):
        kept -= 1
        room -= len(sources[kept])
    limit = f"beyond {MAX_BYTES / 1e6:g} MB"
    reasons = [f"cells of the notebook left out: the first {kept} ({limit})"] if kept else []
    content = b"".join(sources[kept:])
    parts = secret_parts(content)
    content = without(content, parts)
    if parts:
        if holds_secret(content):
            return _LEAKS
        lines = where(redacted_lines(parts))
        reasons.append(f"secrets removed from the cells of the notebook: {lines}")
    return Cells(content, "; ".join(reasons) or None)


def _sources(shell: Any) -> list[bytes]:
    """The cells as they were typed, in the order in which they were executed."""
    executed = enumerate(shell.history_manager.input_hist_raw)
    return [
        f"# %% [{number}]\n{source}\n".encode("utf-8", "backslashreplace")
        for number, source in executed
        if number and source
    ]
