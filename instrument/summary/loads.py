"""What a run loaded and read, by content, and how it called models."""

from typing import Any, Final

import msgspec

from instrument.records import (
    ContentIdentified,
    DataRead,
    Entry,
    GenerationCalled,
    GenerationsCounted,
    LoadsCounted,
    ModelLoaded,
)
from instrument.summary.life import Life
from instrument.summary.run import RunSummary
from instrument.vocabulary import RunState

_OF_A_MODEL: Final = ("what", "loader", "requested", "commit")
_OF_DATA: Final = ("reader", "requested", "rows", "schema")
_COUNTS: Final = (
    "calls",
    "failed",
    "prompts",
    "sequences",
    "prompt_tokens",
    "new_tokens",
    "duration_seconds",
)


class Loads:
    """The loads of models, the reads of data and the calls of models."""

    def __init__(self, summary: RunSummary, life: Life) -> None:
        self._summary = summary
        self._life = life
        self._models: list[dict[str, Any]] = []
        self._data: list[dict[str, Any]] = []
        self._by_id: dict[tuple[str, int], dict[str, Any]] = {}
        self._generations: dict[tuple[str, int], dict[str, Any]] = {}

    def model_loaded(self, record: ModelLoaded, entry: Entry) -> None:
        """A model, a tokenizer or weights."""
        self._take(record, entry, self._models, _OF_A_MODEL)

    def data_read(self, record: DataRead, entry: Entry) -> None:
        """Data that came through a watched library."""
        self._take(record, entry, self._data, _OF_DATA)

    def _take(
        self,
        record: ModelLoaded | DataRead,
        entry: Entry,
        loads: list[dict[str, Any]],
        names: tuple[str, ...],
    ) -> None:
        """What `record` says under `names`, and its facts; the content is known later."""
        if record.error is not None:
            return
        told = {name: getattr(record, name) for name in names}
        load = {**record.facts, **told, "digest": None, "size_bytes": None}
        loads.append(load)
        self._by_id[entry.writer, record.load_id] = load

    def content_identified(self, record: ContentIdentified, entry: Entry) -> None:
        """The files of a load have been hashed."""
        load = self._by_id.get((entry.writer, record.load_id))
        if load is not None:
            load["digest"] = record.digest
            load["size_bytes"] = sum(file.size_bytes for file in record.files)
            if record.reason is not None:
                load["reason"] = record.reason

    def loads_counted(self, record: LoadsCounted, _: Entry) -> None:
        """Loads beyond those that are told one by one."""
        if record.left_out:
            note = f"{record.left_out} more calls of {record.loader} than are told"
            self._summary.recording.notes.append(note)
        if record.files:
            more = f"({record.files} more)"
            told = {"reader": record.loader, "requested": more, "rows": None, "schema": None}
            content = {"digest": record.digest, "size_bytes": record.size_bytes}
            reason = {"reason": record.reason} if record.reason is not None else {}
            self._data.append(told | content | reason)

    def generation_called(self, record: GenerationCalled, entry: Entry) -> None:
        """A way of calling a model, seen for the first time."""
        way = msgspec.structs.asdict(record)
        way |= dict.fromkeys(_COUNTS, 0)
        del way["generation_id"], way["library"], way["call_site"]
        self._generations[entry.writer, record.generation_id] = way

    def generations_counted(self, record: GenerationsCounted, entry: Entry) -> None:
        """How often, so far."""
        way = self._generations.get((entry.writer, record.generation_id))
        if way is not None:
            way |= {name: getattr(record, name) for name in _COUNTS}
            if record.error is not None:
                way["error"] = record.error

    def tell(self) -> None:
        """Set the loads, and each way of calling with the digest of its model."""
        summary = self._summary
        summary.models = self._models or None
        summary.data = self._data or None
        for (writer, _), way in self._generations.items():
            load = self._by_id.get((writer, way["model"].get("load_id", 0)))
            if load is not None and not way["model"].get("changed_since_load"):
                way["model"] = {**way["model"], "digest": load["digest"]}
        summary.generations = list(self._generations.values()) or None
        if summary.state is RunState.RUNNING:
            return
        for writer in sorted({writer for writer, _ in self._generations}):
            if not self._life.is_closed(writer):
                summary.recording.notes.append(
                    f"calls of models: the last counts of journal {writer} may be missing"
                )
