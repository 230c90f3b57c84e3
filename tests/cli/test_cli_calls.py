"""``instrument runs calls``: what decorated calls got, and what became of them."""

import subprocess
import sys

from cli.support import Cli, Writer

SCRIPT = """
from instrument import ExperimentContext, reproducible

@reproducible
def inner(k):
    if k > 1:
        raise ValueError("no")

@reproducible
def fit(data, lr, note="x"):
    inner(k=lr)

with ExperimentContext(run_id="with-calls", config={"lr": 1}):
    fit([1, 2], lr=0.5)
    try:
        inner(7)
    except ValueError:
        pass
"""


def test_the_arguments_of_calls_inside_a_run_are_shown(cli: Cli) -> None:
    subprocess.run([sys.executable, "-c", SCRIPT], check=True, timeout=60)
    fit, inner, failed = cli("runs", "calls", "with-calls", "--json").json
    assert fit["function"] == "__main__:fit"
    assert (fit["arguments"]["lr"], fit["arguments"]["note"]) == (0.5, "x")
    assert (fit["outcome"], inner["outcome"], failed["outcome"]) == (
        "returned",
        "returned",
        "raised",
    )
    assert inner["parent_call_id"] == fit["call_id"]
    assert fit["parent_call_id"] is None
    assert fit["duration_seconds"] > 0
    lines = cli("runs", "calls", "with-calls").out.splitlines()
    assert lines[0].split() == ["function", "arguments", "outcome", "took"]
    assert "lr=0.5, note=x" in lines[1]
    assert "k=7" in lines[3]
    assert "raised" in lines[3]


def test_a_run_without_calls_says_so(cli: Cli, writer: Writer) -> None:
    writer.run("only-run")
    result = cli("runs", "calls", "latest")
    assert (result.code, result.out) == (0, "")
    assert "no call of a decorated function" in result.err
