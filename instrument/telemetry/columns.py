"""The samples of a run as columns, and as a compressed object.

The object is gzip over JSON: ``{"elapsed_seconds":[…],"readings":{"<name>":[… or null]}}``. gzip
because every Python and every machine reads it (``zcat``); nothing has to be installed for it.
"""

from collections.abc import Callable, Iterable
from typing import Final

import msgspec

from instrument.errors import IntegrityError
from instrument.protocols import Store
from instrument.readings import Trace
from instrument.records import (
    Entry,
    ProcessStarted,
    RecordsLost,
    TelemetrySampled,
    TelemetrySummarised,
)

FEWEST_SAMPLES: Final = 60
"""Of fewer samples no object is made: the journal tells them as fast."""
SAMPLES_AN_OBJECT: Final = 2048
_MAX_BYTES: Final = 1 << 30
_LEVEL: Final = 6


class Columns(msgspec.Struct, kw_only=True):
    """Samples, reading by reading.

    Attributes:
        elapsed_seconds: When each sample was taken, since sampling began.
        readings: By name one value a sample; None where it was not known.
    """

    elapsed_seconds: list[float] = []
    readings: dict[str, list[float | None]] = {}

    def add(self, values: dict[str, float], elapsed_seconds: float) -> None:
        """Append one sample."""
        rows = len(self.elapsed_seconds)
        self.elapsed_seconds.append(elapsed_seconds)
        for name, value in values.items():
            column = self.readings.get(name)
            if column is None:
                column = self.readings[name] = [None] * rows
            column.append(value)
        for column in self.readings.values():
            if len(column) == rows:
                column.append(None)

    def compressed(self) -> bytes:
        """As bytes for an object; equal columns give equal bytes."""
        import gzip

        return gzip.compress(msgspec.json.encode(self), _LEVEL, mtime=0)


class Keeper:
    """Stores samples as objects of at most `SAMPLES_AN_OBJECT` while they come.

    Args:
        put: Stores bytes and gives their digest.
    """

    def __init__(self, put: Callable[[bytes], str]) -> None:
        self._put = put
        self._columns = Columns()
        self._digests: list[str] = []

    def add(self, values: dict[str, float], elapsed_seconds: float) -> None:
        """Take one sample.

        Raises:
            StoreError: The store cannot take an object.
        """
        self._columns.add(values, elapsed_seconds)
        if len(self._columns.elapsed_seconds) == SAMPLES_AN_OBJECT:
            self._store()

    def finish(self) -> tuple[str, ...]:
        """Digests of all objects, in order; none for few samples.

        Raises:
            StoreError: As in `add`.
        """
        if len(self._columns.elapsed_seconds) >= (1 if self._digests else FEWEST_SAMPLES):
            self._store()
        return tuple(self._digests)

    def _store(self) -> None:
        self._digests.append(self._put(self._columns.compressed()))
        self._columns = Columns()


def read_compressed(data: bytes) -> Columns:
    """Inverse of `Columns.compressed`.

    Raises:
        IntegrityError: `data` is something else.
    """
    import zlib

    engine = zlib.decompressobj(wbits=31)
    try:
        plain = engine.decompress(data, _MAX_BYTES)
        return msgspec.json.decode(plain, type=Columns)
    except (zlib.error, msgspec.MsgspecError) as error:
        raise IntegrityError(f"the columns of the telemetry do not read: {error}") from error


def read_columns(store: Store, run_id: str) -> Columns:
    """The samples of a run, those of its owner: from the object, else from the journal.

    Raises:
        NotFoundError: There is no such run.
        IntegrityError: What is stored is damaged.
    """
    entries = list(_of_telemetry(store.entries(run_id)))
    writer = _watcher(entries)
    columns, trace = Columns(), Trace()
    for entry in entries:
        record = entry.record
        if entry.writer != writer:
            continue
        if isinstance(record, TelemetrySummarised) and record.columns:
            return _joined(read_compressed(store.get_bytes(digest)) for digest in record.columns)
        if isinstance(record, TelemetrySampled):
            elapsed = record.elapsed_seconds
            values, _ = trace.take(record.values, elapsed, whole=record.whole)
            columns.add(values, elapsed)
        elif isinstance(record, RecordsLost):
            trace.forget()
    return columns


def _joined(parts: Iterable[Columns]) -> Columns:
    whole = Columns()
    for part in parts:
        rows = len(whole.elapsed_seconds)
        whole.elapsed_seconds += part.elapsed_seconds
        for name, column in part.readings.items():
            whole.readings.setdefault(name, [None] * rows).extend(column)
        for column in whole.readings.values():
            column.extend([None] * (len(whole.elapsed_seconds) - len(column)))
    return whole


def _of_telemetry(entries: Iterable[Entry]) -> Iterable[Entry]:
    kinds = (ProcessStarted, TelemetrySampled, TelemetrySummarised, RecordsLost)
    return (entry for entry in entries if isinstance(entry.record, kinds))


def _watcher(entries: list[Entry]) -> str | None:
    """The journal that tells the samples: the owner's of the last attempt, else another's."""
    sampled = {e.writer for e in entries if isinstance(e.record, TelemetrySampled)}
    ranked = [
        (e.record.owner, e.record.attempt, e.writer)
        for e in entries
        if isinstance(e.record, ProcessStarted) and e.writer in sampled
    ]
    return max(ranked)[2] if ranked else None


def run_telemetry(run: str, *, store: str | None = None) -> Columns:
    """The hardware's readings while a run went on, as columns.

        columns = run_telemetry("20261121-041845-3f2a")
        columns.readings["process.memory_bytes"]

    Args:
        run: The run's id, or the beginning of it.
        store: Directory of the store; by default the one that the settings lead to.

    Raises:
        NotFoundError: There is no such run.
        IntegrityError: What is stored is damaged.
    """
    from instrument import registry, settings
    from instrument.clock import SystemClock

    opened = registry.open_store("local", settings.resolve(store=store).store, SystemClock())
    return read_columns(opened, opened.run(run).id)
