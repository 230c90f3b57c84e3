"""What each Python of a recorded command runs first (`sitecustomize`), and how it gets there."""

import os
import sys
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Final

VARIABLE: Final = "INSTRUMENT_STARTUP"
_IGNORING: Final = {
    "I": "isolates it from the environment",
    "E": "makes it ignore the environment",
    "S": "keeps site-packages away",
}
_WITH_VALUE: Final = frozenset("cmWX")


def variables(environment: Mapping[str, str], roots: Iterable[str]) -> dict[str, str]:
    """What to add to the environment of a command, so that its Pythons take part in the run.

    Args:
        environment: The environment that it would have.
        roots: Top-level modules whose import makes a process take part.
    """
    here = str(Path(__file__).resolve().parent)
    before = environment.get("PYTHONPATH")
    return {
        "PYTHONPATH": f"{here}{os.pathsep}{before}" if before else here,
        VARIABLE: f"{sys.prefix}{os.pathsep}{','.join(sorted(set(roots)))}",
    }


def unreachable(command: Sequence[str]) -> str | None:
    """Why the Python that `command` starts cannot take part; None where it can.

    >>> unreachable(["python3", "-uI", "train.py"])
    'python3 -I isolates it from the environment'
    """
    program = Path(command[0]).name
    if not program.startswith("python"):
        return None
    for argument in command[1:]:
        if not argument.startswith("-") or argument.startswith("--"):
            return None
        for letter in argument[1:]:
            if letter in _IGNORING:
                return f"{program} -{letter} {_IGNORING[letter]}"
            if letter in _WITH_VALUE:
                break
        if set(argument[1:]) & set("cm"):
            return None
    return None
