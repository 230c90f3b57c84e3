"""Takes the records of one run into one W&B run."""

from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

from instrument.errors import StoreError
from instrument.protocols import Objects, Versions
from instrument.records import Record
from instrument.vocabulary import RunState
from instrument_wandb.translation import Translation

if TYPE_CHECKING:
    import wandb


class WandbRecords:
    """The records of one run (see `instrument.protocols.Records`), on their way to W&B.

    `take` raises what wandb raises: a mirror has no user whose run it could harm. `close` returns
    only when W&B has everything: offline on disk, online on the server, artifacts committed.

    Attributes:
        lost: How many records came after the end.

    Args:
        run: An open W&B run.
        objects: Where the bytes of artifacts are.
        versions: What artifact references mean.
    """

    def __init__(self, run: "wandb.Run", objects: Objects, versions: Versions) -> None:
        self.lost = 0
        self._run = run
        self._offline = bool(run.offline)
        self._translation = Translation(run, objects, versions)
        self._closed = False

    @property
    def offline_directory(self) -> Path | None:
        """What ``wandb sync`` takes; None when wandb itself sends the run."""
        return Path(self._run.settings.sync_dir) if self._offline else None

    def take(self, record: Record, at: datetime) -> None:
        """Hand one record to W&B.

        Raises:
            NotFoundError: An artifact is not in the store.
            IntegrityError: Its bytes do not match their digest.
            Exception: Whatever wandb raises.
        """
        if self._closed:
            self.lost += 1
            return
        self._translation.take(record, at)

    def flush(self) -> None:
        """Nothing to do: wandb writes as it goes, and the store has everything anyway."""

    def close(self) -> None:
        """Finish the W&B run and make sure that it is there. Idempotent.

        Raises:
            StoreError: wandb reported no error, and yet wrote nothing.
            Exception: Whatever wandb raises.
        """
        if self._closed:
            return
        self._closed = True
        self._translation.end()
        if not self._offline:
            for artifact in self._translation.outputs.values():
                artifact.wait()
        written = Path(self._run.settings.sync_file)
        self._run.finish(exit_code=0 if self._translation.state is RunState.COMPLETED else 1)
        if self._offline and not (written.is_file() and written.stat().st_size):
            raise StoreError(f"wandb left no {written}")
