"""A place of its own for what wandb leaves behind."""

from pathlib import Path

import pytest


@pytest.fixture
def wandb_root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """WANDB_DIR."""
    for name in ("DATA", "CACHE", "CONFIG"):
        monkeypatch.setenv(f"WANDB_{name}_DIR", str(tmp_path / f"wandb-{name.lower()}"))
    root = tmp_path / "wandb-root"
    root.mkdir()
    monkeypatch.setenv("WANDB_DIR", str(root))
    return root
