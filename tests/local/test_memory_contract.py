from pathlib import Path

from instrument.protocols import Store
from instrument.testing import MemoryBackend, StoreContract


class TestMemoryBackend(StoreContract):
    def make_store(self, path: Path) -> Store:
        return MemoryBackend()
