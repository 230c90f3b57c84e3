"""What goes to stdout and stderr: one JSON value, or pages for people.

Everything that comes from a record passes through `words.visible`, so that a run's name cannot
drive the terminal. Colours appear on terminals only, and not where NO_COLOR is set. rich is
imported for terminals and for pages; a table that a program reads is written without it.
"""

import os
import shutil
import sys
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TypeAlias

import msgspec

from instrument.cli.words import json_text, visible
from instrument.errors import QueryError, UsageError

if TYPE_CHECKING:
    from rich.console import Console, RenderableType
    from rich.table import Table as RichTable
    from rich.text import Text

# Where nothing is a terminal, a line is as long as it needs to be: programs read it.
_UNLIMITED_WIDTH: Final = 10_000
_MAX_SHOWN_EXPRESSION: Final = 60
STATE_STYLES: Final = {
    "COMPLETED": "green",
    "FAILED": "red",
    "INTERRUPTED": "yellow",
    "RUNNING": "cyan",
}


class Styled(msgspec.Struct, frozen=True):
    """A text in a style, in a table."""

    text: str
    style: str

    def drawn(self) -> "Text":
        """The text as rich draws it."""
        return text(self.text, self.style)


Cell: TypeAlias = "str | Styled | Text"


class Table(msgspec.Struct, frozen=True):
    """A table without lines; see `table`."""

    headings: list[str]
    rows: list[list[Any]]  # of `Cell`
    numeric: tuple[str, ...]
    cut: str | None
    spare: tuple[str, ...] = ()

    def lines(self) -> Iterator[str]:
        """The table as plain text, each line as long as it needs to be."""
        whole = [self.headings, *([_plain(cell) for cell in row] for row in self.rows)]
        widths = [max(map(_width, column)) for column in zip(*whole, strict=True)]
        to_the_right = [heading in self.numeric for heading in self.headings]
        for row in whole:
            cells = []
            for cell, width, right in zip(row, widths, to_the_right, strict=True):
                space = " " * (width - _width(cell))
                cells.append(space + cell if right else cell + space)
            yield "  ".join(cells).rstrip()

    def __rich__(self) -> "RichTable":
        from rich.table import Table as RichTable

        drawn = RichTable(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="dim")
        shown = self._fitting()
        for heading in (self.headings[column] for column in shown):
            drawn.add_column(
                heading,
                overflow="fold" if self.cut is None else "ellipsis",
                justify="right" if heading in self.numeric else "left",
                no_wrap=self.cut is not None and heading != self.cut,
            )
        for row in self.rows:
            cells = [_rich(cell) for cell in row]
            if self.cut is not None:
                cells[self.headings.index(self.cut)].no_wrap = True
                cells[self.headings.index(self.cut)].overflow = "ellipsis"
            drawn.add_row(*(cells[column] for column in shown))
        return drawn

    def _fitting(self) -> list[int]:
        """The columns, without those to spare that the terminal has no room for."""
        shown = list(range(len(self.headings)))
        if not self.spare:
            return shown
        whole = [self.headings, *([_plain(cell) for cell in row] for row in self.rows)]
        widths = [max(map(_width, column)) + 2 for column in zip(*whole, strict=True)]
        if self.cut is not None:
            widths[self.headings.index(self.cut)] = _width(self.cut)
        room = shutil.get_terminal_size().columns
        for heading in self.spare:
            if heading in self.headings and sum(widths[column] for column in shown) > room:
                shown.remove(self.headings.index(heading))
        return shown


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
    if isinstance(page, Table) and not sys.stdout.isatty():
        for line in page.lines():
            sys.stdout.write(line + "\n")
        return
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
    spare: Sequence[str] = (),
) -> Table:
    """A table without lines.

    Args:
        headings: Heads of the columns.
        rows: Their cells; strings are made safe here.
        numeric: Heads of the columns that stand to the right.
        cut: Head of the column that a narrow terminal cuts, so that each row stays on one line;
            without one, long cells are folded.
        spare: Heads of the columns that a narrow terminal goes without, the first one first.
    """
    return Table(list(headings), [list(row) for row in rows], tuple(numeric), cut, tuple(spare))


def section(title: str, page: "RenderableType") -> tuple["RenderableType", "RenderableType"]:
    """A title, and what stands under it."""
    from rich.padding import Padding

    return text(title, "bold"), Padding(page, (0, 0, 0, 2))


def facts(lines: Iterable[tuple[str, str]]) -> "RichTable":
    """Names and values, one pair a line, aligned."""
    from rich.table import Table as RichTable

    grid = RichTable.grid(padding=(0, 2, 0, 0))
    grid.add_column(no_wrap=True, style="dim")
    grid.add_column(overflow="fold")
    for label, value in lines:
        grid.add_row(text(label), text(value))
    return grid


def text(value: str, style: str = "") -> "Text":
    """`value`, made safe, in a style."""
    from rich.text import Text

    return Text(visible(value), style=style)


def state_text(state: str) -> Styled:
    """The state of a run in its colour."""
    return Styled(state, STATE_STYLES.get(state, ""))


def _console() -> "Console":
    from rich.console import Console

    width = None if sys.stdout.isatty() else _UNLIMITED_WIDTH
    return Console(width=width, highlight=False, markup=False, emoji=False)


def _rich(cell: Cell) -> "Text":
    if isinstance(cell, Styled):
        return cell.drawn()
    return text(cell) if isinstance(cell, str) else cell


def _plain(cell: Cell) -> str:
    if isinstance(cell, Styled):
        cell = cell.text
    return visible(cell) if isinstance(cell, str) else cell.plain


def _width(shown: str) -> int:
    """How many columns `shown` takes."""
    if shown.isascii():
        return len(shown)
    from rich.cells import cell_len

    return cell_len(shown)
