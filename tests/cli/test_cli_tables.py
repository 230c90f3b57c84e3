"""A table reads the same whether rich draws it for a terminal or a program gets plain text."""

import io
import subprocess
import sys
from collections.abc import Sequence

import pytest
from cli.support import Writer
from hypothesis import given, strategies as st
from rich.console import Console
from rich.text import Text

from instrument.cli.output import Cell, Styled, Table, table

_CELLS: st.SearchStrategy[Cell] = st.one_of(
    st.text(max_size=12).map(lambda text: "".join(text.split())),  # rich trims odd spaces
    st.sampled_from(["", "café", "数据集", "a  b", "e\u0301", "\x1b[31m", "two\nlines", "🚀 run"]),
    st.sampled_from([Styled("FAILED", "red"), Text("whole", "green")]),
)


def _drawn(drawn: Table) -> list[str]:
    stream = io.StringIO()
    console = Console(file=stream, width=10_000, highlight=False, markup=False, emoji=False)
    console.print(drawn)
    return [line.rstrip() for line in stream.getvalue().splitlines()]


@given(st.lists(st.tuples(_CELLS, _CELLS, _CELLS), max_size=5), st.sampled_from([None, "third"]))
def test_plain_text_is_what_rich_draws(rows: Sequence[Sequence[Cell]], cut: str | None) -> None:
    made = table(["first", "第二", "third"], rows, numeric=("第二",), cut=cut)
    assert [line.rstrip() for line in made.lines()] == _drawn(made)


@pytest.mark.parametrize("options", [[], ["--columns", "params.lr,state"], ["--json"]])
def test_a_list_for_programs_needs_no_rich(writer: Writer, options: list[str]) -> None:
    writer.run("first", params={"lr": 0.1})
    script = (
        "import sys; sys.argv[0] = 'instrument'\n"
        "from instrument.cli.main import main\n"
        "try: main()\n"
        "finally: sys.stderr.write(' '.join(name for name in sys.modules if name == 'rich'))"
    )
    command = [sys.executable, "-c", script, "runs", "list", *options]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert "first" in done.stdout
    assert done.stderr == ""


@pytest.mark.parametrize(
    ("columns", "shown"),
    [(80, "run when state metrics"), (46, "run state metrics"), (30, "run metrics")],
)
def test_a_narrow_terminal_goes_without_what_can_be_spared(
    monkeypatch: pytest.MonkeyPatch, columns: int, shown: str
) -> None:
    monkeypatch.setenv("COLUMNS", str(columns))
    row = ["20261121-125015-39fa", "2026-11-21", "COMPLETED", "loss 0.1  accuracy 0.9"]
    headings = ["run", "when", "state", "metrics"]
    made = table(headings, [row], cut="metrics", spare=("when", "state"))
    stream = io.StringIO()
    Console(file=stream, width=columns).print(made)
    first, second = stream.getvalue().splitlines()
    assert first.split() == shown.split()
    assert second.split()[0] == row[0]
