"""Fixtures of the tests of upkeep."""

import pytest
from cli.support import Cli, call


@pytest.fixture
def cli() -> Cli:
    """Runs ``instrument ARGUMENTS``; see `cli.support.call`."""
    return call
