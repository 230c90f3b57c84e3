"""What the tests of the decorators share."""

from collections.abc import Callable
from pathlib import Path

import pytest
from decorators.log import Log

from instrument import settings


@pytest.fixture
def log(store_path: Path) -> Log:
    """What is on the record."""
    return Log(store_path)


@pytest.fixture
def disabled(monkeypatch: pytest.MonkeyPatch) -> Callable[[], None]:
    """Switches recording off."""

    def switch_off() -> None:
        monkeypatch.setenv("INSTRUMENT_MODE", "disabled")
        settings.is_disabled.cache_clear()

    return switch_off
