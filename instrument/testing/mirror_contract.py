"""What every mirror promises."""
# ruff: noqa: D102, S101 - tests: the name is the documentation, and tests assert

from pathlib import Path
from typing import Any, NamedTuple

import pytest

from instrument.protocols import Mirror, MirrorRecords, Store
from instrument.records import ArtifactLogged, Metrics, Params, Record, UnknownRecord
from instrument.testing.memory import MemoryBackend
from instrument.testing.samples import AT, draft, record_run, run_started
from instrument.vocabulary import ArtifactVersion


class Arrived(NamedTuple):
    """What a mirror has of a run, read back from where it sent it.

    Attributes:
        params: Parameters by dotted name.
        metrics: For each metric its ``(step, value)`` in order; NaN as the string ``"NaN"``.
        artifacts: Digest of each artifact's one file, by ``name``, versions in order.
        state: The state the run ended in, or None while it has not.
    """

    params: dict[str, Any]
    metrics: dict[str, list[tuple[int | None, float | str]]]
    artifacts: dict[str, list[str]]
    state: str | None


class MirrorContract:
    """The promises of `instrument.protocols.Mirror`. Override `make_mirror` and `read_back`."""

    RUN_ID = "20260304-050607-0123456789ab"

    def make_mirror(self, path: Path) -> Mirror:
        """The mirror under test; it may use `path`, an empty directory, as its place."""
        raise NotImplementedError

    def read_back(self, path: Path, run_id: str) -> Arrived:
        """What arrived of run `run_id`, read from `path` after the mirror was closed."""
        raise NotImplementedError

    @pytest.fixture
    def recorded(self) -> MemoryBackend:
        """A store that holds one finished run with params, metrics and two artifact versions."""
        store = MemoryBackend()
        records: list[Record] = [
            run_started("mirrored", "tag-1"),
            Params(values={"lr": 0.1, "optim.name": "adam"}, source="config"),
            UnknownRecord(original_kind="from_the_future", fields={"x": 1}),
        ]
        records += [
            Metrics(values={"loss": 1 / (step + 1), "odd": step % 2}, step=step)
            for step in range(20)
        ]
        records.append(Metrics(values={"loss": "NaN"}, step=20))
        for content in (b"weights 1", b"weights 2"):
            store.put_bytes(content)
            version = store.claim(draft("model-x", content, run_id=self.RUN_ID))
            records.append(_logged(version))
        record_run(store, self.RUN_ID, *records)
        return store

    def feed(self, mirror: Mirror, store: Store) -> MirrorRecords:
        """Hand every entry of the run to `mirror`, as ``sync`` does, and close it."""
        records = mirror.begin(store.run(self.RUN_ID), store, store)
        for entry in store.entries(self.RUN_ID):
            records.take(entry.record, entry.at)
        records.flush()
        records.close()
        return records

    def test_everything_arrives(self, recorded: MemoryBackend, tmp_path: Path) -> None:
        records = self.feed(self.make_mirror(tmp_path), recorded)
        arrived = self.read_back(tmp_path, self.RUN_ID)
        assert records.lost == 0
        assert arrived.params == {"lr": 0.1, "optim.name": "adam"}
        losses: list[tuple[int, float | str]] = [(step, 1 / (step + 1)) for step in range(20)]
        assert arrived.metrics["loss"] == [*losses, (20, "NaN")]
        assert arrived.metrics["odd"] == [(step, step % 2) for step in range(20)]
        digests = [version.digest for version in recorded.artifacts("model-x")]
        assert arrived.artifacts == {"model-x": digests}
        assert arrived.state == "COMPLETED"

    def test_flush_and_close_are_idempotent(self, recorded: MemoryBackend, tmp_path: Path) -> None:
        records = self.feed(self.make_mirror(tmp_path), recorded)
        records.flush()
        records.close()
        assert records.lost == 0

    def test_what_comes_after_close_is_lost(self, recorded: MemoryBackend, tmp_path: Path) -> None:
        records = self.feed(self.make_mirror(tmp_path), recorded)
        records.take(Params(values={"late": 1}, source="config"), AT)
        assert records.lost == 1
        assert "late" not in self.read_back(tmp_path, self.RUN_ID).params


def _logged(version: ArtifactVersion) -> ArtifactLogged:
    return ArtifactLogged(
        ref=version.ref, type=version.type, digest=version.digest, size_bytes=version.size_bytes
    )
