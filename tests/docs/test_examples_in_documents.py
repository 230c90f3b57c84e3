"""What the README and the documents show is run as it stands there."""

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

import instrument

ROOT = Path(__file__).resolve().parents[2]
README = ROOT / "README.md"
DOCUMENTS = (
    README,
    *(
        ROOT / "docs" / f"{name}.md"
        for name in (
            "artifacts",
            "clean-loading",
            "environment",
            "generation",
            "interception",
            "telemetry",
        )
    ),
)
COMMAND = [sys.executable, "-m", "instrument"]


def blocks(document: Path, language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", document.read_text("utf-8"), re.DOTALL)


def run(*command: str) -> str:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{command}: {done.stderr}"
    return done.stdout


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_the_examples_run(document: Path) -> None:
    examples = blocks(document, "python")
    assert examples
    for number, example in enumerate(examples):
        Path(f"example_{number}.py").write_text(example, encoding="utf-8")
        run(sys.executable, f"example_{number}.py")


def test_the_commands_of_the_readme_tell_the_story_of_its_example(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("PATH", f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}")
    Path("train.py").write_text(blocks(README, "python")[0], encoding="utf-8")
    run(sys.executable, "train.py")
    commands = [
        shlex.split(line, comments=True)[1:]
        for block in blocks(README, "sh")
        for line in block.splitlines()
        if line.startswith("instrument ") and "COMMAND" not in line
    ]
    assert len(commands) >= 6
    said = {tuple(command): run(*COMMAND, *command) for command in commands}
    listing = next(out for command, out in said.items() if command[:2] == ("runs", "list"))
    assert "first" in listing
    tree = next(out for command, out in said.items() if command[0] == "lineage")
    assert "numbers:v1" in tree
    assert any("intact" in out for out in said.values())


def test_every_public_name_is_there_and_listed() -> None:
    assert instrument.__all__ == sorted(instrument.__all__)
    for name in instrument.__all__:
        assert getattr(instrument, name) is not None
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        instrument.nothing  # noqa: B018 - looking is the test


def test_importing_loads_nothing_heavy() -> None:
    heavy = {
        "torch",
        "numpy",
        "transformers",
        "wandb",
        "git",
        "pydantic",
        "rich",
        "click",
        "msgspec",
    }
    script = f"import sys, instrument; print(sorted({heavy!r} & set(sys.modules)))"
    assert run(sys.executable, "-c", script) == "[]\n"
    script = (
        "import sys; from instrument import ExperimentContext, reproducible, current_run; "
        f"print(sorted({heavy - {'msgspec'}!r} & set(sys.modules)))"
    )
    assert run(sys.executable, "-c", script) == "[]\n"
