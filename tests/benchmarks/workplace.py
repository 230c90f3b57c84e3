"""Where measurements happen: git repositories, stores, and one clean environment."""

import os
import shutil
import subprocess
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Final

from benchmarks.launch import Launched

SCENARIOS: Final = Path(__file__).with_name("scenarios")
FILES: Final = 1000
_KEPT: Final = ("find_runs",)  # scenarios whose stores take minutes to make

# Nothing may leave the machine, and nobody may ask.
_OFFLINE: Final = {
    "WANDB_MODE": "offline",
    "WANDB_SILENT": "true",
    "WANDB_ERROR_REPORTING": "false",
    "MLFLOW_ALLOW_FILE_STORE": "true",
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "DVC_NO_ANALYTICS": "1",
    "HF_HUB_OFFLINE": "1",
    "HF_HUB_DISABLE_TELEMETRY": "1",
}


class Workplace:
    """Runs scenarios.

    Args:
        directory: What is in ``work`` of it is deleted; in ``kept`` are stores for the next time.
        python_of: The interpreter of an environment, by name.
    """

    def __init__(self, directory: Path, python_of: Callable[[str], Path]) -> None:
        self.directory = directory / "work"
        self._kept = directory / "kept"
        self._python_of = python_of
        self.clear()
        self._repository(FILES)

    def clear(self) -> None:
        """Delete everything that need not be kept."""
        shutil.rmtree(self.directory, ignore_errors=True)

    def start(self, environment: str, script: str, *arguments: str, files: int = FILES) -> Launched:
        """Start scenario `script` (its first argument names the tracker) and do not wait.

        Its repository has `files` files.
        """
        tracker = arguments[0]
        store = self.store(script, tracker)
        store.mkdir(parents=True, exist_ok=True)
        repository = self._repository(files)
        path = repository / "benchmarks" / "scenarios" / f"{script}.py"
        return Launched(
            [str(self._python_of(environment)), str(path), *arguments],
            directory=repository,
            environment=_variables(store, repository),
            told=self.directory / f"{script}-{tracker.replace(':', '.')}.told",
        )

    def run(
        self, environment: str, script: str, *arguments: str, files: int = FILES
    ) -> dict[str, float]:
        """Run scenario `script`: what it told and what it cost."""
        return self.start(environment, script, *arguments, files=files).wait()

    def store(self, script: str, tracker: str) -> Path:
        """Where `tracker` keeps everything in scenario `script`, its home and caches included."""
        stores = self._kept if script in _KEPT else self.directory / "stores"
        return stores / script / tracker.replace(":", ".")

    def wipe(self, script: str, tracker: str) -> None:
        """Empty a store, and wait until the disk is idle.

        What was in it is moved aside. For minutes after many files were deleted ext4 looks at each
        of them whenever a file is made, and that takes ten times as long.
        """
        store = self.store(script, tracker)
        if store.exists():
            store.rename(Path(tempfile.mkdtemp(dir=self.directory)) / "old")
        os.sync()

    def delete(self, script: str, tracker: str) -> None:
        """As `wipe`, for a store that takes much space."""
        shutil.rmtree(self.store(script, tracker), ignore_errors=True)
        os.sync()

    def _repository(self, files: int) -> Path:
        path = self.directory / f"repository-{files}"
        if not path.exists():
            _make_repository(path, files)
        return path


def _variables(store: Path, repository: Path) -> dict[str, str]:
    return {
        **_OFFLINE,
        "PATH": os.environ["PATH"],
        "LANG": "C.UTF-8",
        "HOME": str(store / "home"),
        "PYTHONPATH": str(repository),
        "BENCH_STORE": str(store),
        "INSTRUMENT_STORE": str(store / "instrument"),
        "TRACKIO_DIR": str(store / "trackio"),
        "DVC_SITE_CACHE_DIR": str(store / "dvc-site"),
        "WANDB_DATA_DIR": str(store / "wandb-data"),
        "WANDB_CACHE_DIR": str(store / "wandb-cache"),
    }


def _make_repository(path: Path, files: int) -> None:
    """A project of so many files and the scenarios, all committed, one file changed since."""
    shutil.copytree(
        SCENARIOS,
        path / "benchmarks" / "scenarios",
        ignore=shutil.ignore_patterns("__pycache__"),
    )
    for number in range(files):
        file = path / f"package{number // 50}" / f"module{number}.py"
        file.parent.mkdir(exist_ok=True)
        file.write_text(f'"""Module {number}."""\n\nVALUE = {number}\n' * 20)
    (path / ".gitignore").write_text("__pycache__/\n")
    (path / "pyproject.toml").write_text('[project]\nname = "bench"\nversion = "1"\n')
    _git(path, "init", "--quiet")
    _git(path, "add", "--all")
    _git(path, "commit", "--quiet", "--message", "Start")
    (path / "package0" / "module0.py").write_text("VALUE = 1\n")


def _git(path: Path, *arguments: str) -> None:
    who = ("-c", "user.name=Bench", "-c", "user.email=bench@example.org")
    subprocess.run(["git", *who, *arguments], cwd=path, check=True)
