"""The local store keeps every promise of a store."""

from pathlib import Path

from instrument.clock import SystemClock
from instrument.protocols import Store
from instrument.testing import StoreContract
from instrument_local import open_store


class TestLocalStore(StoreContract):
    def make_store(self, path: Path) -> Store:
        return open_store(path, SystemClock())


class TestLocalStoreAtAnOddPath(StoreContract):
    def make_store(self, path: Path) -> Store:
        return open_store(path / "with spaces" / "ünïcode 漢字 'quote'", SystemClock())
