"""A virtual environment for every tracker, made when it is first needed."""

import subprocess
import sys
import tomllib
from functools import cache
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).parents[2]
BENCH: Final = ROOT / ".bench"
OURS: Final = "instrument"
FLOOR: Final = "floor"
PEERS: Final = ("sacred", "wandb", "mlflow", "trackio", "dvclive", "aim")


@cache
def python_of(name: str) -> Path:
    """The interpreter of environment `name`, made or brought up to date where needed."""
    requirements = requirements_of(name)
    environment = BENCH / "envs" / name
    python = environment / "bin" / "python"
    made_from = environment / "made-from.txt"
    wanted = requirements.read_text() + f"python {sys.version}\n"
    if not made_from.exists() or made_from.read_text() != wanted:
        print(f"making the environment of {name}", file=sys.stderr)
        _run(sys.executable, "-m", "venv", "--clear", str(environment))
        _install(python, "-r", str(requirements))
        made_from.write_text(wanted)
    if name == OURS:  # as users have it: of an editable one a run would keep the repository's state
        _install(python, "--no-deps", "--force-reinstall", str(ROOT))
    return python


def requirements_of(name: str) -> Path:
    """The file that pins what is in environment `name`."""
    return ROOT / "requirements" / "bench" / f"{name}.txt"


def version_of(name: str) -> str:
    """What environment `name` is there to measure, such as ``mlflow-skinny 3.17.2``."""
    if name == OURS:
        return f"instrument-ml {_own_version()}"
    pins = requirements_of(name).read_text().splitlines()[1:]
    named = [pin for pin in pins if pin.startswith(name)] or pins
    return " ".join(pin.replace("==", " ") for pin in named)


def _own_version() -> str:
    with (ROOT / "pyproject.toml").open("rb") as file:
        return str(tomllib.load(file)["project"]["version"])


def _install(python: Path, *arguments: str) -> None:
    quiet = ("--quiet", "--disable-pip-version-check")
    _run(str(python), "-m", "pip", "install", *quiet, *arguments)


def _run(*command: str) -> None:
    done = subprocess.run(command, check=False, capture_output=True, text=True)
    if done.returncode != 0:
        raise SystemExit(f"{' '.join(command)}\n{done.stderr[-3000:]}")
