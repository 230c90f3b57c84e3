"""The tests of interceptors, with other versions of the libraries: ``requirements/other``.

Each file there has versions, and names the tests that are run with them. torch stays as it is: it
is large, and each machine has a build of its own.
"""

import os
import re
import site
import subprocess
import sys
from pathlib import Path

import pytest

from instrument.intercept.libraries import LIBRARIES

ROOT = Path(__file__).resolve().parents[2]
SETS = sorted((ROOT / "requirements" / "other").glob("*.txt"))
_SHOW = "import importlib.metadata as m, sys; print([m.version(name) for name in sys.argv[1:]])"


def _tests(versions: Path) -> list[str]:
    return [
        test
        for line in re.findall(r"^# Run: (.+)$", _text(versions), re.MULTILINE)
        for test in line.split()
    ]


def _pins(versions: Path) -> dict[str, str]:
    return dict(re.findall(r"^([\w-]+)==(\S+)$", _text(versions), re.MULTILINE))


def _text(versions: Path) -> str:
    return versions.read_text(encoding="utf-8")


def _python(versions: Path, home: Path) -> Path:
    """An interpreter that finds these versions first, and everything else where it is."""
    subprocess.run([sys.executable, "-m", "venv", str(home)], check=True)
    (packages,) = home.glob("lib/python*/site-packages")
    (packages / "zz-everything-else.pth").write_text("\n".join(site.getsitepackages()))
    made = home / "bin" / "python"
    install = [str(made), "-m", "pip", "install", "-q", "--no-deps", "--ignore-installed"]
    install += ["-r", str(versions)]
    done = subprocess.run(install, check=False, capture_output=True, text=True)
    if done.returncode != 0:
        pytest.skip(f"{versions.name} cannot be installed: {done.stderr[-500:]}")
    pins = _pins(versions)
    shown = subprocess.check_output([str(made), "-c", _SHOW, *pins], text=True)
    assert shown.strip() == str(list(pins.values()))
    return made


def test_the_lowest_versions_that_are_declared_are_run() -> None:
    pins = {
        (name.replace("-", "_"), pin) for versions in SETS for name, pin in _pins(versions).items()
    }
    not_run = [
        library.name
        for library in LIBRARIES
        if (library.name, ".".join(map(str, (*library.lowest, 0, 0)[:3]))) not in pins
    ]
    assert not_run == ["torch", "llama_cpp", "vllm", "random", "pickle"], (
        "docs/interception.md says why"
    )


@pytest.mark.slow
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("versions", SETS, ids=[path.stem for path in SETS])
def test_the_tests_pass_with_other_versions(versions: Path, tmp_path: Path) -> None:
    tests = _tests(versions)
    assert tests
    python = _python(versions, tmp_path / "home")
    # What they warn of is theirs.
    command = [str(python), "-m", "pytest", "-q", "-p", "no:cacheprovider", "-W", "ignore", *tests]
    path = os.pathsep.join(str(ROOT / part) for part in (".", "backends", "tests"))
    done = subprocess.run(
        command,
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": path},
        check=False,
        capture_output=True,
        text=True,
    )
    print(done.stdout[-1000:])
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-1000:]
    assert " passed" in done.stdout
