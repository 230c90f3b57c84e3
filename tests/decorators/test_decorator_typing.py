"""A type checker sees the original signature: right usages pass, wrong ones are errors."""

from pathlib import Path

import pytest
from mypy import api

ROOT = Path(__file__).resolve().parents[2]

WRONG = """
from typing import Any
from instrument import checkpoint, reproducible, track_artifacts

@reproducible
def bare(a: int, *, b: str = "b") -> float:
    return 1.0

@track_artifacts(outputs=["model"])
async def later(n: int) -> int:
    return n

class Holder:
    @checkpoint(frequency=2)
    def method(self, a: int) -> int:
        return a

bare("one")  # arg-type
bare(1, c=2)  # call-arg
text: str = bare(1)  # assignment
number: int = later(1)  # assignment
Holder().method()  # call-arg
reproducible("name")  # call-overload
reproducible(seed="42")  # call-overload
track_artifacts(outputs=[1])  # list-item
checkpoint(mode="best")  # call-overload
"""


@pytest.mark.slow
def test_right_usages_pass_and_wrong_ones_are_errors(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(ROOT)
    wrong = tmp_path / "wrong_usages.py"
    wrong.write_text(WRONG)
    right = "tests/decorators/typing_usages.py"
    output, errors, _ = api.run([right, str(wrong), "--no-error-summary", "--show-error-codes"])
    assert errors == ""
    found = [line for line in output.splitlines() if "error:" in line]
    assert [line for line in found if "wrong_usages" not in line] == []
    lines = WRONG.splitlines()
    expected = {n: line.split("# ")[1] for n, line in enumerate(lines, 1) if "# " in line}
    actual = {int(line.split(":")[1]): line.rpartition("[")[2].rstrip("]") for line in found}
    assert actual == expected
