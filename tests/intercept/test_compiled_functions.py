"""``torch.compile`` of functions that are recorded gives what it gives without us, and they are.

In a process of its own: only there the compiler is imported after the functions were wrapped.
"""

import json
import subprocess
import sys
import textwrap
from pathlib import Path
from types import ModuleType, SimpleNamespace

import pytest

from instrument import ExperimentContext
from instrument.intercept import switch

MODULE = """
    def half(x):
        return x / 2

    def around(x):
        return half(x) + 1

    def behind(x):
        return half(x) + 3
"""
PROGRAM = """
    import copy, functools, json, sys, warnings
    import torch
    import own_code
    from instrument import ExperimentContext, reproducible
    from instrument.records import CallStarted

    warnings.simplefilter("error")  # what the compiler says of code that it should not look into
    compiled = functools.partial(torch.compile, backend="eager")

    @reproducible
    def decorated(x):
        return x * 3

    def behind():
        skipped = torch.compiler.disable(own_code.behind, recursive=False)
        return compiled(lambda x: skipped(x))

    FUNCTIONS = {
        "itself": lambda: compiled(own_code.half),
        "in one graph": lambda: compiled(own_code.half, fullgraph=True),
        "around": lambda: compiled(own_code.around),
        "behind": behind,
        "decorated": lambda: compiled(decorated),
        "around decorated": lambda: compiled(lambda x: decorated(x) - 1),
    }
    for _ in range(2):
        there_before = "torch._dynamo" in sys.modules
        made = {name: make() for name, make in FUNCTIONS.items()} if there_before else {}
        with ExperimentContext(monitor_hardware=False, capture_level=1) as run:
            made = made or {name: make() for name, make in FUNCTIONS.items()}
            values = {name: function(torch.ones(1)).item() for name, function in made.items()}
            assert not any(copy.copy(mark) for name, mark in vars(own_code.half).items()
                           if name.startswith("_torchdynamo"))  # where it goes by value
        calls = [
            entry.record.function.partition(":")[2]
            for entry in run.store.entries(run.id)
            if isinstance(entry.record, CallStarted)
        ]
        print(json.dumps([there_before, values, calls, run.store.run(run.id).recording.problems]))
    assert not vars(own_code.half)
    assert compiled(own_code.around, fullgraph=True)(torch.ones(1)) == 1.5
"""


def test_recorded_functions_can_be_compiled(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "own_code.py").write_text(textwrap.dedent(MODULE))
    path = tmp_path / "main.py"
    path.write_text(textwrap.dedent(PROGRAM))
    monkeypatch.setenv("INSTRUMENT_TRACE", "own_code.half")
    done = subprocess.run([sys.executable, path], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    values = {
        "itself": 0.5,
        "in one graph": 0.5,
        "around": 1.5,
        "behind": 3.5,
        "decorated": 3.0,
        "around decorated": 2.0,
    }
    calls = ["half"] * 4 + ["decorated"] * 2
    assert [json.loads(line) for line in done.stdout.splitlines()] == [
        [False, values, calls, []],
        [True, values, calls, []],
    ]


@pytest.mark.parametrize("known", [True, False])
def test_a_compiler_that_is_there_is_told_of_our_code_once(
    known: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    compiler, told = ModuleType("torch._dynamo"), list[str]()
    if known:
        vars(compiler)["trace_rules"] = SimpleNamespace(add=told.append)
    monkeypatch.setitem(sys.modules, "torch._dynamo", compiler)
    monkeypatch.setattr(switch, "_is_kept_out", False)
    for _ in range(2):
        with ExperimentContext(monitor_hardware=False, capture_level=1) as run:
            pass
    assert told == ["instrument"] * known
    assert run.store is not None
    notes = "".join(run.store.run(run.id).recording.notes)
    assert ("torch.compile skipped: it may look into our own code" in notes) is not known
