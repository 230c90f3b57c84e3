"""The notebook that this process is the kernel of: its name and how far it has come.

Nothing is imported and nobody is asked over a network.
"""

import os
import sys
from pathlib import Path
from typing import Any, Final

import msgspec

from instrument.capture.parts import NotKnown
from instrument.redaction import printable

_MAX_BYTES: Final = 50_000_000
_WHY_NO_NAME: Final = "the kernel is not told it; newer Jupyter servers set JPY_SESSION_NAME"


class _Cell(msgspec.Struct):
    cell_type: str = ""


class _Notebook(msgspec.Struct):
    """What is read of an ``.ipynb`` file (nbformat 4): outputs are passed over."""

    cells: list[_Cell]


def notebook() -> dict[str, Any]:
    """Name of the notebook, its cells as saved, and how many were executed.

    ``executed_count`` counts executions in this kernel before the run, its own cell included.
    """
    shell = shell_of_ipython()
    path = _path(shell)
    cells, why = _cells(path) if path else (None, _WHY_NO_NAME)
    reasons = {"cell_count": why} if why else {}
    return {
        "frontend": "jupyter" if hasattr(shell, "kernel") else "terminal",
        "name": printable(Path(path).name) if path else None,
        "cell_count": len(cells) if cells is not None else None,
        "code_cell_count": _code_count(cells),
        "executed_count": getattr(shell, "execution_count", None),
        "reasons": reasons if path else {**reasons, "name": _WHY_NO_NAME},
    }


def shell_of_ipython() -> Any:
    """IPython's shell.

    Raises:
        NotKnown: There is none in this process.
    """
    module = sys.modules.get("IPython.core.interactiveshell")
    cls = getattr(module, "InteractiveShell", None)
    if cls is None or not cls.initialized():
        raise NotKnown("IPython does not run in this process")
    return cls.instance()


def _path(shell: Any) -> str | None:
    """Where the notebook lies, as VS Code or the Jupyter server says."""
    names = getattr(shell, "user_ns", {})
    path = names.get("__vsc_ipynb_file__") or os.environ.get("JPY_SESSION_NAME")
    return path if isinstance(path, str) else None


def _cells(path: str) -> tuple[list[_Cell] | None, str | None]:
    """The saved cells, or why they are not known."""
    try:
        file = Path(path)
        if not file.is_file() or file.stat().st_size > _MAX_BYTES:
            return None, f"{printable(path)} is no file of at most {_MAX_BYTES} bytes"
        return msgspec.json.decode(file.read_bytes(), type=_Notebook).cells, None
    except (OSError, msgspec.MsgspecError) as error:
        return None, f"{printable(path)} cannot be read: {error}"


def _code_count(cells: list[_Cell] | None) -> int | None:
    return sum(cell.cell_type == "code" for cell in cells) if cells is not None else None
