from pathlib import Path

import pytest

from instrument import registry
from instrument.clock import SystemClock
from instrument.errors import MissingDependencyError, NotFoundError, UsageError
from instrument.protocols import Store


def test_the_local_store_opens_and_keeps_the_promises_of_a_store(tmp_path: Path) -> None:
    store = registry.open_store("local", tmp_path / "s", SystemClock())
    assert isinstance(store, Store)
    assert not (tmp_path / "s").exists()


def test_an_unknown_backend_names_the_known_ones(tmp_path: Path) -> None:
    with pytest.raises(NotFoundError, match="'nope' is unknown; known are local, wandb"):
        registry.open_store("nope", tmp_path, SystemClock())
    with pytest.raises(NotFoundError, match="known are local, wandb"):
        registry.check_mirror("nope")


def test_a_store_is_no_mirror() -> None:
    with pytest.raises(UsageError, match="is a store, not a mirror"):
        registry.check_mirror("local")


def test_a_missing_library_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(MissingDependencyError, match=r"pip install 'instrument-ml\[wandb\]'"):
        registry.check_mirror("wandb")


def install(root: Path, monkeypatch: pytest.MonkeyPatch, package: str, line: str) -> None:
    """A real installed distribution with an entry point, on ``sys.path``."""
    info = root / f"{package}-1.0.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {package}\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(f"[{registry.GROUP}]\n{line}\n")
    (root / f"{package}.py").write_text(
        "from instrument.testing.memory import MemoryBackend\n"
        "def make(path, clock):\n    return MemoryBackend()\n"
    )
    monkeypatch.syspath_prepend(str(root))


def test_a_stranger_registers_by_entry_point(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    install(tmp_path / "site", monkeypatch, "stranger", "shelf = stranger:make")
    assert "shelf" in registry.known_backends()
    assert registry.open_store("shelf", tmp_path, SystemClock()).location == "memory"


def test_two_claims_on_one_name_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    install(tmp_path / "one", monkeypatch, "one", "shelf = one:make")
    install(tmp_path / "two", monkeypatch, "two", "shelf = two:make")
    with pytest.raises(UsageError, match="'shelf' is claimed by"):
        registry.known_backends()


def test_nobody_takes_the_name_of_our_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    install(tmp_path / "thief", monkeypatch, "thief", "local = thief:make")
    with pytest.raises(UsageError, match="'local' is claimed by"):
        registry.known_backends()
