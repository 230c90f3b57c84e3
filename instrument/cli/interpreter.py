"""Whose packages a command uses: those of the interpreter that records it, or others."""

import os
import shutil
import sys
from pathlib import Path

_MAX_LINE = 512


def foreign_environment(program: str) -> str | None:
    """Why the packages of this interpreter are not known to be those of `program`; None: they are.

    Also None when there is no such program. A script is judged by the interpreter that its first
    line names.
    """
    found = shutil.which(program)
    if found is None:
        return None
    interpreter = _interpreter_of(Path(found))
    if not interpreter.name.startswith("python"):
        kind = f"it is no Python program ({found})"
    elif os.path.realpath(interpreter.parent) == os.path.realpath(Path(sys.executable).parent):
        return None
    else:
        kind = f"it runs in another interpreter ({interpreter})"
    return f"{kind}; the packages recorded are those of instrument's own"


def _interpreter_of(program: Path) -> Path:
    """What runs `program`: the interpreter of a script, or the program itself."""
    try:
        with program.open("rb") as file:
            line = file.readline(_MAX_LINE).decode("utf-8", "replace")
    except OSError:
        return program  # it may be run, not read
    words = line.removeprefix("#!").split() if line.startswith("#!") else []
    if not words:
        return program
    if Path(words[0]).name != "env":
        return Path(words[0])
    named = next((word for word in words[1:] if not word.startswith("-") and "=" not in word), "")
    return Path(shutil.which(named) or program)
