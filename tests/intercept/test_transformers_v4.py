"""The tests of loads by transformers, with the last version 4 of it."""

import os
import site
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
_PINS = ROOT / "requirements" / "transformers4.txt"
_VERSION = next(
    line.partition("==")[2]
    for line in _PINS.read_text().splitlines()
    if line.startswith("transformers==")
)


@pytest.fixture(scope="module")
def python(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An interpreter that finds the old version first, and everything else where it is."""
    home = tmp_path_factory.mktemp("transformers4")
    subprocess.run([sys.executable, "-m", "venv", str(home)], check=True)
    (packages,) = home.glob("lib/python*/site-packages")
    (packages / "zz-everything-else.pth").write_text("\n".join(site.getsitepackages()))
    made = home / "bin" / "python"
    install = [str(made), "-m", "pip", "install", "-q", "--no-deps", "--ignore-installed"]
    done = subprocess.run([*install, "-r", str(_PINS)], check=False, capture_output=True, text=True)
    if done.returncode != 0:
        pytest.skip(f"transformers {_VERSION} cannot be installed: {done.stderr[-500:]}")
    return made


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_every_test_of_loads_passes_with_version_4(python: Path, tmp_path: Path) -> None:
    code = "import pytest, sys, transformers; print(transformers.__version__)\n"
    code += "sys.exit(pytest.main(sys.argv[1:]))"
    tests = ROOT / "tests" / "intercept" / "test_transformers_loads.py"
    command = [str(python), "-c", code, "-q", "-p", "no:cacheprovider", str(tests)]
    path = os.pathsep.join(str(ROOT / part) for part in (".", "backends", "tests"))
    done = subprocess.run(
        command,
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": path},
        check=False,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-1000:]
    assert done.stdout.startswith(_VERSION)
    assert " passed" in done.stdout
