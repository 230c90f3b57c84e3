"""The document about loads says of the libraries what the code says."""

from pathlib import Path

import pytest

from instrument.intercept.content import MAX_FILES
from instrument.intercept.libraries import LIBRARIES
from instrument.intercept.repeats import MAX_TOLD

TEXT = (Path(__file__).resolve().parents[2] / "docs" / "interception.md").read_text("utf-8")


OF_PYTHON = {"pickle", "random"}


@pytest.mark.parametrize("name", sorted({one.name for one in LIBRARIES} - OF_PYTHON))
def test_the_versions_are_those_of_the_code(name: str) -> None:
    for library in (library for library in LIBRARIES if library.name == name):
        assert f"| {name} | {library.versions} |" in TEXT


def test_the_numbers_are_those_of_the_code() -> None:
    assert f"more than {MAX_FILES:,} files".replace(",", " ") in TEXT
    assert f"after {MAX_TOLD} files" in TEXT
