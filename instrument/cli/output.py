"""What goes to stdout and stderr: one JSON value, or pages for people.

Everything that comes from a record passes through `words.visible`, so that a run's name cannot
drive the terminal. rich is imported when the first table is drawn. Colours appear on terminals
only, and not where NO_COLOR is set.
"""

import os
import shutil
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Final, TypeAlias

from instrument.cli.words import json_text, visible
from instrument.errors import QueryError, UsageError

if TYPE_CHECKING:
    from rich.console import Console, RenderableType
    from rich.table import Table
    from rich.text import Text

Cell: TypeAlias = "str | Text"
# Where nothing is a terminal, a line is as long as it needs to be: programs read it.
_UNLIMITED_WIDTH: Final = 10_000
_WIDE: Final = 120
_MAX_SHOWN_EXPRESSION: Final = 60
STATE_STYLES: Final = {
    "COMPLETED": "green",
    "FAILED": "red",
    "INTERRUPTED": "yellow",
    "RUNNING": "cyan",
}


def emit_json(value: object) -> None:
    """Write `value` as the one JSON value on stdout."""
    sys.stdout.write(json_text(value) + "\n")


def emit(text: str) -> None:
    """Write a line (or lines) of safe text to stdout."""
    sys.stdout.write(text + "\n")


def write_text(value: str, path: Path | None) -> None:
    """Write text to `path`, replaced at once so that no reader sees a part, or to stdout.

    Raises:
        UsageError: `path` cannot be written.
    """
    if path is None:
        sys.stdout.write(value)
        return
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        part.write_text(value)
        part.replace(path)
    except OSError as error:
        part.unlink(missing_ok=True)
        raise UsageError(f"{path} cannot be written: {error.strerror}; name another file") from None


def say(message: str) -> None:
    """Tell the user something on stderr."""
    sys.stderr.write(message + "\n")


def fail(message: str) -> None:
    """Tell an error on stderr, in one line."""
    say(f"error: {visible(message)}")


def fail_at(error: QueryError) -> None:
    """Tell an error in an expression, and show the expression with a caret below the place."""
    whole = f" at position {error.position + 1} of {error.expression!r}"
    fail(str(error).removesuffix(whole) + f" at position {error.position + 1}")
    start = max(0, error.position - _MAX_SHOWN_EXPRESSION)
    end = error.position + _MAX_SHOWN_EXPRESSION
    before = visible(error.expression[start : error.position])
    after = visible(error.expression[error.position : end])
    from rich.cells import cell_len

    say(f"  {before}{after}\n  {' ' * cell_len(before)}^")


def show(page: "RenderableType") -> None:
    """Draw a table, a tree or text on stdout."""
    console = _console()
    with console.capture() as captured:
        console.print(page)
    for line in captured.get().splitlines():
        sys.stdout.write(line.rstrip() + "\n")


def table(
    headings: Sequence[str],
    rows: Iterable[Sequence[Cell]],
    *,
    numeric: Sequence[str] = (),
    cut: str | None = None,
) -> "Table":
    """A table without lines.

    Args:
        headings: Heads of the columns.
        rows: Their cells; strings are made safe here.
        numeric: Heads of the columns that stand to the right.
        cut: Head of the column that a narrow terminal cuts, so that each row stays on one line;
            without one, long cells are folded.
    """
    from rich.table import Table

    drawn = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="dim")
    for heading in headings:
        drawn.add_column(
            heading,
            overflow="fold",
            justify="right" if heading in numeric else "left",
            no_wrap=cut is not None and heading != cut,
        )
    for row in rows:
        cells = [text(cell) if isinstance(cell, str) else cell for cell in row]
        if cut is not None:
            cells[list(headings).index(cut)].no_wrap = True
            cells[list(headings).index(cut)].overflow = "ellipsis"
        drawn.add_row(*cells)
    return drawn


def section(title: str, page: "RenderableType") -> tuple["RenderableType", "RenderableType"]:
    """A title, and what stands under it."""
    from rich.padding import Padding

    return text(title, "bold"), Padding(page, (0, 0, 0, 2))


def facts(lines: Iterable[tuple[str, str]]) -> "Table":
    """Names and values, one pair a line, aligned."""
    from rich.table import Table

    grid = Table.grid(padding=(0, 2, 0, 0))
    grid.add_column(no_wrap=True, style="dim")
    grid.add_column(overflow="fold")
    for label, value in lines:
        grid.add_row(text(label), text(value))
    return grid


def text(value: str, style: str = "") -> "Text":
    """`value`, made safe, in a style."""
    from rich.text import Text

    return Text(visible(value), style=style)


def state_text(state: str) -> "Text":
    """The state of a run in its colour."""
    return text(state, STATE_STYLES.get(state, ""))


def is_narrow() -> bool:
    """Whether stdout is a terminal on which a wide table would break."""
    return sys.stdout.isatty() and shutil.get_terminal_size().columns < _WIDE


def _console() -> "Console":
    from rich.console import Console

    width = None if sys.stdout.isatty() else _UNLIMITED_WIDTH
    return Console(width=width, highlight=False, markup=False, emoji=False)
