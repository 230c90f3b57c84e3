"""docs/api.md names everything that the package offers, runs, and names every setting."""

import re
import subprocess
import sys
from pathlib import Path

import instrument
from instrument.settings import Settings

ROOT = Path(__file__).resolve().parents[2]
DOCUMENT = ROOT / "docs" / "api.md"
_VARIABLE = re.compile(r"\bINSTRUMENT_[A-Z0-9_]*[A-Z0-9]")


def test_the_examples_run() -> None:
    examples = re.findall(r"```python\n(.*?)```", DOCUMENT.read_text("utf-8"), re.DOTALL)
    assert len(examples) == 4
    for number, example in enumerate(examples):
        Path(f"example_{number}.py").write_text(example, encoding="utf-8")
        done = subprocess.run(
            [sys.executable, f"example_{number}.py"], capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stderr


def test_every_public_name_and_every_setting_is_there() -> None:
    text = DOCUMENT.read_text("utf-8")
    for name in instrument.__all__:
        assert re.search(rf"^\|.*`\.?{re.escape(name)}\b", text, re.MULTILINE), name
    for setting in Settings.__struct_fields__:
        assert f"| `INSTRUMENT_{setting.upper()}` |" in text, setting


def test_every_variable_that_the_code_names_is_there() -> None:
    text = DOCUMENT.read_text("utf-8")
    sources = [path for top in ("instrument", "backends") for path in (ROOT / top).rglob("*.py")]
    names = {name for path in sources for name in _VARIABLE.findall(path.read_text("utf-8"))}
    assert len(names) > len(Settings.__struct_fields__)
    for name in names:
        assert f"| `{name}` |" in text, name
