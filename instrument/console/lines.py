"""From pieces of text, as they were written, to whole lines that may be kept."""

import re
from typing import Final

from instrument.redaction import printable, redact_text

MAX_LINE: Final = 65_536
KEPT_OF_LINE: Final = 8_192
_MAX_KEY: Final = 16_384
_ESCAPES: Final = re.compile(r"\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*(?:\x07|\x1b\\)|[@-Z\\^_])")
_KEY_BEGINS: Final = re.compile(r"-----BEGIN [A-Z0-9 ]{0,30}PRIVATE KEY")


class Lines:
    """The lines of one stream, secrets removed.

    A line is handed out when it has ended, and a private key when all its lines have: a secret that
    is written in pieces is seen whole. Of a line that is overwritten, the last state is kept.
    """

    def __init__(self) -> None:
        self._held = ""  # what is not handed out yet: a line that is open, a key before it
        self._state = ""  # the last state but one of an open line: nothing is added to it
        self._is_cut = False  # the beginning of the open line was handed out

    def feed(self, text: str) -> str:
        """Take `text`; the lines that are whole now."""
        if self._is_cut:
            _, newline, text = text.partition("\n")
            if not newline:
                return ""
            self._is_cut = False
        ended, newline, begun = (self._held + text).rpartition("\n")
        if newline:
            self._state = ""
        if "\r" in begun:
            begun = self._overwritten(begun)
        whole = ended + newline
        key = _open_key(whole)
        self._held = whole[key:] + begun
        whole = whole[:key]
        if len(self._held) > MAX_LINE:
            whole += f"{self._held[:MAX_LINE]}\n"
            self._held, self._is_cut = "", not self._held.endswith("\n")
        return _safe(whole)

    def progress(self) -> str:
        """The state of a line that is being overwritten, if it is a new one; ends as states do."""
        state, self._state = self._state, ""
        return f"{_safe(state)}\r" if state else ""

    def close(self) -> str:
        """The line that has not ended."""
        rest, self._held, self._state = self._held, "", ""
        return _safe(rest)

    def _overwritten(self, line: str) -> str:
        """The last state of an open line; the one before it can be told."""
        states = [state for state in line.split("\r") if state.strip()]
        is_whole = line.endswith("\r")
        whole = states if is_whole else states[:-1]
        self._state = whole[-1] if whole else self._state
        return states[-1] + "\r" * is_whole if states else ""


def _open_key(text: str) -> int:
    """Where in `text` the line begins that begins a private key without an end; else its length."""
    begins = None
    for begins in _KEY_BEGINS.finditer(text):  # noqa: B007 - the last one
        pass
    if begins is None or "-----END" in text[begins.start() :]:
        return len(text)
    at = text.rfind("\n", 0, begins.start()) + 1
    return at if len(text) - at < _MAX_KEY else len(text)


def _safe(text: str) -> str:
    """`text` as it may be kept: as UTF-8 can hold it, last states, short lines, no secrets."""
    if not text:
        return ""
    text = redact_text(_ESCAPES.sub("", printable(text)))
    if "\r" in text or len(text) > KEPT_OF_LINE:
        text = "\n".join(map(_last_state, text.split("\n")))
    return text


def _last_state(line: str) -> str:
    if "\r" in line:
        line = next((state for state in reversed(line.split("\r")) if state.strip()), "")
    if len(line) > KEPT_OF_LINE:
        return f"{line[:KEPT_OF_LINE]} [and {len(line) - KEPT_OF_LINE} characters]"
    return line
