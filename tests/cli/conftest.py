"""Fixtures of the command's tests."""

from pathlib import Path

import pytest
from cli.support import Cli, Writer, call

from instrument.clock import SystemClock
from instrument.registry import open_store


@pytest.fixture
def cli() -> Cli:
    """Runs ``instrument ARGUMENTS``; see `cli.support.call`."""
    return call


@pytest.fixture
def writer(store_path: Path) -> Writer:
    """Writes into the store of this test."""
    return Writer(open_store("local", store_path, SystemClock()))
