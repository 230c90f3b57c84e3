"""Opens a W&B run for a run of ours."""

import os
import re
from pathlib import Path
from typing import Any, Final

from instrument.errors import UsageError
from instrument.protocols import Objects, Versions
from instrument.summary import RunSummary
from instrument_wandb.records import WandbRecords

DEFAULT_PROJECT: Final = "instrument"
_MAX_PROJECT_LENGTH: Final = 128
_MAX_TAG_LENGTH: Final = 64
_OFFLINE_MODES: Final = ("offline", "dryrun")
_SETTINGS: Final[dict[str, Any]] = {
    # What W&B would find out about this process is not about the run: that is recorded already.
    "console": "off",
    "disable_git": True,
    "disable_job_creation": True,
    "save_code": False,
    "silent": True,
    "x_disable_machine_info": True,
    "x_disable_meta": True,
    "x_disable_stats": True,
    "x_save_requirements": False,
}


class WandbMirror:
    """A mirror (see `instrument.protocols.Mirror`) that drives the wandb SDK.

    Args:
        offline: Not one network system call.
        directory: Where W&B's own files go, unless the user has set WANDB_DIR.
    """

    def __init__(self, *, offline: bool, directory: Path | None = None) -> None:
        self._offline = offline
        self._directory = directory

    @property
    def offline(self) -> bool:
        """Whether W&B will only write: asked for here, by WANDB_MODE, or by ``wandb offline``."""
        if self._offline:
            return True
        _prepare()
        from wandb.sdk import wandb_setup  # starts no service, as the public way does

        mode: str = wandb_setup.singleton().settings.mode
        return mode in _OFFLINE_MODES

    def begin(self, run: RunSummary, objects: Objects, versions: Versions) -> WandbRecords:
        """Open the W&B run with the id of `run`; one that is there already is written anew.

        Online, W&B's own settings say where and as whom (WANDB_BASE_URL, WANDB_API_KEY, …).
        The run's directory is made below WANDB_DIR or else the mirror's directory. Offline,
        artifacts there refer to the store's objects, which must be there until ``wandb sync``.

        Raises:
            UsageError: WANDB_MODE=disabled: W&B would take everything and keep nothing.
            Exception: Whatever wandb raises.
        """
        _prepare()
        import wandb

        opened = wandb.init(
            id=run.id,
            name=run.name or run.id,
            project=_project(run.project),
            tags=[tag[:_MAX_TAG_LENGTH] for tag in run.tags if tag],
            mode="offline" if self._offline else None,
            dir=self._root(),
            reinit="create_new",
            settings=wandb.Settings(**_SETTINGS),
        )
        if opened.disabled:
            opened.finish()
            raise UsageError("WANDB_MODE=disabled keeps nothing; unset it to mirror runs to wandb")
        return WandbRecords(opened, objects, versions)

    def _root(self) -> str | None:
        """What is to be W&B's directory; None leaves it to W&B."""
        if self._directory is None or os.environ.get("WANDB_DIR"):
            return None
        self._directory.mkdir(parents=True, exist_ok=True)
        return str(self._directory)


def _prepare() -> None:
    """What must hold before wandb reads its environment, which it does once."""
    # A crash report is a network call; wandb 0.31 looks up its host's name even offline.
    os.environ["WANDB_ERROR_REPORTING"] = "false"
    # Its own service process: that of the recorded process ends together with it.
    os.environ.pop("WANDB_SERVICE", None)


def _project(project: str | None) -> str:
    wanted = project or os.environ.get("WANDB_PROJECT") or DEFAULT_PROJECT
    return re.sub(r"[/\\#?%:]", "-", wanted)[:_MAX_PROJECT_LENGTH]
