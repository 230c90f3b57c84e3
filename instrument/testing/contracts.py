"""What every store and every mirror promises, as test classes to inherit.

    class TestMyStore(StoreContract):
        def make_store(self, path):
            return MyStore(path)

Each test checks one promise of `instrument.protocols` through the public face alone.
"""
# ruff: noqa: D102, S101 - tests: the name is the documentation, and tests assert

from pathlib import Path

import pytest

from instrument.protocols import Store
from instrument.testing.artifact_contracts import ObjectsContract, VersionsContract
from instrument.testing.mirror_contract import Arrived, MirrorContract
from instrument.testing.run_contracts import CatalogueContract, RecordsContract
from instrument.testing.samples import draft, record_run

__all__ = ["Arrived", "MirrorContract", "StoreContract"]


class StoreContract(ObjectsContract, VersionsContract, RecordsContract, CatalogueContract):
    """The promises of `instrument.protocols.Store`. Override `make_store`."""

    def make_store(self, path: Path) -> Store:
        """A new, empty store; `path` does not exist yet and may be used or not."""
        raise NotImplementedError

    @pytest.fixture
    def store(self, tmp_path: Path) -> Store:
        """The store under test."""
        return self.make_store(tmp_path / "store")

    def test_a_store_that_nobody_touched_verifies_clean(self, store: Store) -> None:
        assert store.verify().ok
        digest = store.put_bytes(b"object")
        store.claim(draft("model", b"object"))
        record_run(store, "run-0001")
        record_run(store, "run-0002", finish=False)
        store.seal("run-0001")
        result = store.verify()
        assert (result.ok, result.problems) == (True, ())
        assert (result.runs, result.objects) == (2, 1)
        assert result.size_bytes >= len(b"object")
        for selector in ("run-0001", "model:v1"):
            assert store.verify(selector).ok
        assert store.contains(digest)

    def test_a_store_says_where_and_what_it_is(self, store: Store) -> None:
        record_run(store, "run-0001")
        assert store.location
        assert store.info()["runs"] == 1
