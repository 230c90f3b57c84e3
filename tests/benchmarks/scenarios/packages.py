"""List 150 distributions that are beside nothing else: ``packages.py HOW``."""

import importlib
import os
import re
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

from benchmarks.scenarios.tell import tell

COUNT = 150
MODULES = {
    "importlib_metadata": ("importlib.metadata", "email.parser", "email.policy"),
    "instrument": ("instrument.capture.packages",),
}
SITE = Path(os.environ["BENCH_STORE"]) / "site"


def install() -> None:
    """Metadata as wheels have it: a head of some kilobytes, then the description."""
    tags = "".join(f"Classifier: Programming Language :: Python :: 3.{n}\n" for n in range(20))
    for number in range(COUNT):
        place = SITE / f"some_package_{number}-1.{number}.dist-info"
        place.mkdir(parents=True, exist_ok=True)
        head = f"Metadata-Version: 2.4\nName: some-package-{number}\nVersion: 1.{number}\n{tags}"
        (place / "METADATA").write_text(head + "\n" + "All about it.\n" * 500)
        (place / "INSTALLER").write_text("pip\n")
        (place / "RECORD").write_text("")


def scan() -> int:
    """The least that can be done: the names of directories, and the heads of files."""
    found = {}
    for name in os.listdir(SITE):  # noqa: PTH208 - names, and fast
        if name.endswith(".dist-info"):
            descriptor = os.open(SITE / name / "METADATA", os.O_RDONLY)
            head = os.read(descriptor, 1024)
            os.close(descriptor)
            match = re.search(rb"^Name: (.*)\nVersion: (.*)$", head, re.MULTILINE)
            if match:
                found[match[1]] = match[2]
    return len(found)


def importlib_metadata() -> int:
    from importlib.metadata import distributions

    return len({each.metadata["Name"]: each.version for each in distributions()})


def pip_freeze() -> int:
    command = [sys.executable, "-m", "pip", "freeze", "--path", str(SITE)]
    return len(subprocess.run(command, capture_output=True, check=True).stdout.splitlines())


def instrument() -> int:
    from instrument.capture.packages import all_packages

    return len(all_packages())


if __name__ == "__main__":
    how: Callable[[], int] = globals()[sys.argv[1]]
    install()
    for module in MODULES.get(sys.argv[1], ()):
        importlib.import_module(module)
    sys.path[:] = [str(SITE)]
    before = time.perf_counter()
    count = how()
    tell("list_ms", (time.perf_counter() - before) * 1000)
    if count != COUNT:
        raise SystemExit(f"{count} distributions were found")
