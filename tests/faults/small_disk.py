"""Small file systems of a test's own; where none can be mounted the test is skipped, loudly."""

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest


@contextmanager
def in_memory(place: Path, size: str) -> Iterator[Path]:
    """An empty file system of `size`, such as ``4m``, at `place`; it may have other options."""
    with mounted(place, "-t", "tmpfs", "-o", f"size={size},mode=700", "tmpfs"):
        yield place


@contextmanager
def in_a_file(place: Path, size_mib: int, *make: str) -> Iterator[Path]:
    """A file system that the command `make` lays into a file beside `place`, at `place`."""
    image = place.with_name(f"{place.name}.image")
    with image.open("wb") as file:
        file.truncate(size_mib << 20)
    try:
        subprocess.run([*make, str(image)], check=True, capture_output=True)
    except FileNotFoundError:
        pytest.skip(f"SKIPPED LOUDLY: {make[0]} is not installed")
    with mounted(place, "-o", "loop", str(image)):
        yield place


@contextmanager
def mounted(place: Path, *options: str) -> Iterator[Path]:
    """What ``mount`` makes of `options`, at `place`."""
    place.mkdir()
    command = ["mount", *options, str(place)]
    if os.getuid() != 0 or subprocess.run(command, check=False, capture_output=True).returncode:
        pytest.skip("SKIPPED LOUDLY: no file system can be mounted here; needs root")
    try:
        yield place
    finally:
        subprocess.run(["umount", "--lazy", str(place)], check=True)
