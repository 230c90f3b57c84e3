"""The benchmark runs, ours alone and once: so that it cannot rot."""

import json
import subprocess
import sys
from pathlib import Path

from benchmarks.environments import PEERS, ROOT, requirements_of


def test_one_round_of_one_row_gives_numbers(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "benchmarks", "--here", "--rounds", "1"]
    done = subprocess.run(
        [*command, "--rows", "imports,tracked_run", "--directory", str(tmp_path)],
        cwd=ROOT / "tests",
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    rows = json.loads((tmp_path / "results.json").read_text())["rows"]
    bare, ours = (rows["imports"]["medians"][name] for name in ("bare", "instrument"))
    assert 0 < min(bare["peak_mb"], ours["peak_mb"]) < 100
    run = rows["tracked_run"]["medians"]["instrument_standard"]
    assert 0 < run["before_ms"] < run["before_ms"] + run["after_ms"]
    assert "target: instrument ms <= 2.2 x bare:" in done.stdout


def test_every_environment_is_pinned() -> None:
    for name in ("floor", "instrument", *PEERS):
        lines = requirements_of(name).read_text().splitlines()
        assert lines[0].startswith("# ")
        assert all("==" in line for line in lines[1:])
