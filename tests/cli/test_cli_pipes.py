"""How the command behaves among others: pipes, Ctrl-C, what it imports."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from cli.support import Cli, Writer


def test_a_reader_that_goes_away_is_no_error(
    writer: Writer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("PYTHONUNBUFFERED", raising=False)  # Python then drops half a write
    for index in range(30):
        writer.run(f"run-number-{index:02}", params={f"p{each}": "x" * 1000 for each in range(20)})
    with subprocess.Popen(
        [sys.executable, "-m", "instrument", "runs", "list", "--json"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.read(1)
        process.stdout.close()
        assert process.stderr.read() == b""
    assert process.returncode == 141


def test_ctrl_c_ends_with_130(cli: Cli, writer: Writer, tmp_path: Path) -> None:
    hook = tmp_path / "hook"
    hook.mkdir()
    (hook / "sitecustomize.py").write_text(
        "import instrument.settings, os, signal\n"
        "def interrupted(**_): os.kill(os.getpid(), signal.SIGINT)\n"
        "instrument.settings.resolve = interrupted\n"
    )
    path = os.pathsep.join([str(hook), os.environ["PYTHONPATH"]])
    result = cli("runs", "list", env={"PYTHONPATH": path})
    assert result.code == 128 + signal.SIGINT
    assert "Traceback" not in result.err


@pytest.mark.parametrize(
    "arguments",
    [["runs", "list", "--json"], ["runs", "show", "latest", "--json"], ["verify", "--json"]],
)
def test_reading_as_json_imports_nothing_heavy(writer: Writer, arguments: list[str]) -> None:
    writer.run("only-run")
    program = (
        "import sys, instrument.cli.main\n"
        f"sys.argv[1:] = {arguments!r}\n"
        "try: instrument.cli.main.main()\n"
        "except SystemExit as end: assert not end.code, end.code\n"
        "heavy = {'rich', 'torch', 'numpy', 'wandb', 'git', 'pydantic', 'asyncio',"
        " 'instrument.capture', 'instrument.artifacts', 'instrument.context',"
        " 'instrument.lineage'}\n"
        "print(sorted(heavy & set(sys.modules)), file=sys.stderr)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert done.stderr.strip() == "[]"
