"""``instrument run -- COMMAND``: the command notices nothing, and everything is on the record."""

import os
import pty
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from cli.support import Cli

INSTRUMENT = [sys.executable, "-m", "instrument"]


def started(*arguments: str, **options: Any) -> subprocess.Popen[bytes]:
    return subprocess.Popen([*INSTRUMENT, "run", *arguments], **options)


def wait_for(path: str) -> None:
    deadline = time.monotonic() + 30
    while not Path(path).exists():
        assert time.monotonic() < deadline, f"{path} never came"
        time.sleep(0.02)


def latest(cli: Cli) -> Any:
    return cli("runs", "show", "latest", "--json").json


def test_streams_and_exit_code_pass_through(cli: Cli) -> None:
    done = subprocess.run(
        [*INSTRUMENT, "run", "--", "sh", "-c", "cat; echo wrong >&2; exit 7"],
        input="typed\n", capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert (done.returncode, done.stdout, done.stderr) == (7, "typed\n", "wrong\n")
    run = latest(cli)
    assert (run["state"], run["exit_code"], run["name"]) == ("FAILED", 7, "sh")
    assert run["recording"]["complete"] is True
    assert run["environment"]


def test_options_are_recorded(cli: Cli) -> None:
    script = Path("train.py")
    script.write_text("import os; print(os.environ['PYTHONHASHSEED'], hash('x'))")
    options = ["--name", "sft", "--project", "digits", "--level", "1", "--seed", "7", "--offline"]
    first = cli("run", *options, "--", sys.executable, "train.py", "--lr", "0.1")
    assert (first.code, first.err) == (0, "")
    assert first.out.startswith("7 ")
    assert cli("run", *options, "--", sys.executable, "train.py").out == first.out
    run = cli("runs", "list", "--json").json[1]
    assert (run["state"], run["exit_code"]) == ("COMPLETED", 0)
    assert (run["name"], run["project"]) == ("sft", "digits")
    assert (run["seeds"]["seed"], run["seeds"]["set_in"]) == (7, ["PYTHONHASHSEED"])
    assert run["seeds"]["flags"] == {"PYTHONHASHSEED": "7"}
    assert run["seeds"]["states"] == {}, "the wrapper's own random state is not the program's"
    assert run["command"] == [sys.executable, "train.py", "--lr", "0.1"]


def test_without_a_seed_nothing_is_said_about_the_seeds_of_the_command(cli: Cli) -> None:
    assert cli("run", "--", "env", "-u", "X", "API_TOKEN=hunter2", "true").code == 0
    run = latest(cli)
    assert run["seeds"] is None
    assert run["command"][:2] == ["env", "-u"]
    assert "hunter2" not in str(run["command"])


def test_it_is_told_when_the_packages_recorded_are_not_those_of_the_command(
    cli: Cli, tmp_path: Path
) -> None:
    other = tmp_path / "other" / "python3"
    other.parent.mkdir()
    other.symlink_to("/bin/true")
    script = tmp_path / "tool"
    script.write_text(f"#!{other} -E\n")
    script.chmod(0o755)
    for arguments in ([other, "-c", "1"], [script]):
        assert cli("run", "--", *arguments).code == 0
        page = cli("runs", "show", "latest").out
        assert f"it runs in another interpreter ({other})" in page
        assert latest(cli)["recording"]["complete"] is True
    assert cli("run", "--", "true").code == 0
    assert "it is no Python program" in cli("runs", "show", "latest").out
    own = tmp_path / "own-tool"
    own.write_text(f"#!{sys.executable}\n")
    own.chmod(0o755)
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    for command in ([sys.executable, "-c", "1"], ["python3", "-c", "1"], [own]):
        assert cli("run", "--", *command, env={"PATH": path}).code == 0
        assert "not that of the command" not in cli("runs", "show", "latest").out


def test_options_of_the_command_are_its_own(cli: Cli) -> None:
    assert cli("run", "echo", "--name", "x", "--", "-h").out == "--name x -- -h\n"
    assert latest(cli)["name"] == "echo"


def test_what_the_command_logs_is_part_of_the_run(cli: Cli) -> None:
    Path("train.py").write_text(
        "from instrument import ExperimentContext, log_metrics\n"
        "with ExperimentContext({'lr': 0.1}, name='inner') as run:\n"
        "    run.log_metrics({'loss': 0.5}, step=0)\n"
    )
    assert (
        cli("run", "--name", "outer", "--project", "p", "--", sys.executable, "train.py").code == 0
    )
    [run] = cli("runs", "list", "--json").json
    assert (run["params"], run["metrics"]) == ({"lr": 0.1}, {"loss": 0.5})
    assert (run["state"], run["project"]) == ("COMPLETED", "p")
    assert run["command"] == [sys.executable, "train.py"]
    assert run["seeds"]["states"].keys() == {"random"}, "that of the program"
    told = cli("runs", "show", "latest").out
    assert "none set by instrument; random states at the start: random" in told


def test_the_code_recorded_is_that_of_the_working_directory(cli: Cli) -> None:
    for command in (["init", "-q"], ["commit", "-q", "--allow-empty", "-m", "one"]):
        identity = ["-c", "user.name=u", "-c", "user.email=u@example.org"]
        subprocess.run(["git", *identity, *command], check=True)
    head = subprocess.run(["git", "rev-parse", "HEAD"], capture_output=True, text=True, check=True)
    assert cli("run", "--", "true").code == 0
    assert latest(cli)["git"]["commit"] == head.stdout.strip()


def test_a_run_inside_a_run_is_its_child(cli: Cli) -> None:
    assert (
        cli(
            "run", "--name", "outer", "--", *INSTRUMENT, "run", "--name", "inner", "--", "true"
        ).code
        == 0
    )
    runs = {run["name"]: run for run in cli("runs", "list", "--json").json}
    assert runs["inner"]["parent_run_id"] == runs["outer"]["id"]
    assert runs["outer"]["parent_run_id"] is None


def test_command_not_found(cli: Cli) -> None:
    result = cli("run", "--", "no-such-program")
    assert (result.code, result.out) == (127, "")
    assert len(result.err.splitlines()) == 1
    assert "no-such-program" in result.err
    run = latest(cli)
    assert (run["state"], run["exit_code"]) == ("FAILED", 127)
    Path("plain").write_text("no program")
    assert cli("run", "--", "./plain").code == 126


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_a_signal_ends_the_command_and_the_run_is_interrupted(
    cli: Cli, number: signal.Signals
) -> None:
    script = "import time; open('ready', 'w').close(); time.sleep(60)"
    with started("--", sys.executable, "-c", script, stderr=subprocess.PIPE) as process:
        wait_for("ready")
        process.send_signal(number)
        process.communicate(timeout=30)
    assert process.returncode == 128 + number
    run = latest(cli)
    assert (run["state"], run["exit_code"]) == ("INTERRUPTED", 128 + number)
    assert run["recording"]["complete"] is True


def test_a_signal_that_comes_before_the_command_is_not_lost() -> None:
    script = (
        "import os, signal\n"
        "from instrument.cli.child import Child, signals_held\n"
        "with signals_held():\n"
        "    os.kill(os.getpid(), signal.SIGINT)\n"
        "    child = Child(['sleep', '60'], os.environ)\n"
        "    print(child.wait(), child.interrupted_by == child.killed_by == signal.SIGINT)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )
    assert done.stdout == "130 True\n"


def test_a_signal_that_the_command_handles_is_its_own(cli: Cli) -> None:
    script = (
        "import signal, sys, time\n"
        "signal.signal(signal.SIGUSR1, lambda *_: sys.exit(0))\n"
        "open('ready', 'w').close()\n"
        "time.sleep(60)\n"
    )
    with started("--", sys.executable, "-c", script) as process:
        wait_for("ready")
        process.send_signal(signal.SIGUSR1)
        process.wait(timeout=30)
    assert process.returncode == 0
    assert latest(cli)["state"] == "COMPLETED"


def test_a_command_killed_from_outside_has_failed(cli: Cli) -> None:
    result = cli("run", "--", "sh", "-c", "kill -9 $$")
    assert result.code == 128 + signal.SIGKILL
    assert latest(cli)["state"] == "FAILED"


def test_ctrl_c_at_a_terminal_reaches_the_command_once(cli: Cli) -> None:
    script = (
        "import os, signal, time\n"
        "def got(*_): open('got', 'a').write('x')\n"
        "signal.signal(signal.SIGINT, got)\n"
        "assert os.isatty(0) and os.tcgetpgrp(0) == os.getpgrp()\n"
        "open('ready', 'w').close()\n"
        "end = time.monotonic() + 1.5\n"
        "while time.monotonic() < end: time.sleep(0.05)\n"
    )
    pid, terminal = pty.fork()
    if pid == 0:
        os.execv(  # noqa: S606 - in the child of the pty
            sys.executable, [*INSTRUMENT, "run", "--", sys.executable, "-c", script]
        )
    wait_for("ready")
    os.write(terminal, b"\x03")
    _, status = os.waitpid(pid, 0)
    os.close(terminal)
    assert os.waitstatus_to_exitcode(status) == 0
    assert Path("got").read_text() == "x"
    assert latest(cli)["state"] == "COMPLETED"


COUNTING = (
    "import os, signal, sys, time\n"
    "def got(number, _): open('got', 'a').write(f'{number} ')\n"
    "for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGUSR1):\n"
    "    signal.signal(number, got)\n"
    "open('ready', 'w').write(str(os.getpid()))\n"
    "end = time.monotonic() + 2.5\n"
    "while time.monotonic() < end and not os.path.exists('enough'): time.sleep(0.02)\n"
)


def _let_it_end(process: "subprocess.Popen[bytes]") -> str:
    time.sleep(0.4)  # a second one would come by now
    Path("enough").touch()
    process.wait(timeout=30)
    return Path("got").read_text()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGUSR1])
def test_a_signal_for_the_group_reaches_the_command_once(number: signal.Signals) -> None:
    with started("--", sys.executable, "-c", COUNTING, start_new_session=True) as process:
        wait_for("ready")
        os.killpg(process.pid, number)
        assert _let_it_end(process) == f"{number:d} "


def test_signals_one_after_another_for_the_group_and_for_one_process_each_reach_it_once() -> None:
    with started("--", sys.executable, "-c", COUNTING, start_new_session=True) as process:
        wait_for("ready")
        for send in (os.killpg, os.kill, os.killpg, os.kill):
            send(process.pid, signal.SIGTERM)
            time.sleep(0.25)
        assert _let_it_end(process) == f"{signal.SIGTERM:d} " * 4


@pytest.mark.skipif(shutil.which("timeout") is None, reason="needs coreutils")
def test_under_timeout_the_command_gets_the_signal_once(cli: Cli) -> None:
    done = subprocess.run(
        ["timeout", "2", *INSTRUMENT, "run", "--", sys.executable, "-c", COUNTING],
        check=False,
        timeout=60,
    )
    assert Path("got").read_text() == f"{signal.SIGTERM:d} "
    assert done.returncode == 124
    assert latest(cli)["recording"]["complete"]


def test_a_signal_that_comes_again_as_the_command_ends_does_not_end_the_recorder() -> None:
    """As from `timeout`, which signals its command and then the group."""
    script = (
        "import os, signal, threading, time\n"
        "from instrument.cli.child import Child, signals_held\n"
        "def twice():\n"
        "    os.kill(os.getpid(), signal.SIGINT)\n"
        "    time.sleep(0.02)\n"
        "    os.kill(os.getpid(), signal.SIGINT)\n"
        "    os.kill(child.pid, signal.SIGKILL)\n"
        "with signals_held():\n"
        "    child = Child(['sleep', '60'], os.environ)\n"
        "    threading.Thread(target=twice).start()\n"
        "    child.wait()\n"
        "print('recorded', child.interrupted_by == signal.SIGINT)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=False
    )
    assert done.stdout == "recorded True\n", done.stderr


def test_a_command_that_left_the_group_gets_what_the_group_was_sent() -> None:
    script = "import os; os.setsid()\n" + COUNTING
    with started("--", sys.executable, "-c", script, start_new_session=True) as process:
        wait_for("ready")
        os.killpg(process.pid, signal.SIGTERM)
        assert _let_it_end(process) == f"{signal.SIGTERM:d} "


def test_nothing_of_the_recorder_stays_behind_when_it_is_killed() -> None:
    with started("--", "sleep", "60", start_new_session=True) as process:
        deadline = time.monotonic() + 20
        while len(_members(process.pid)) < 3 and time.monotonic() < deadline:
            time.sleep(0.05)
        assert "cat" in _members(process.pid)
        process.kill()
        process.wait()
        while "cat" in _members(process.pid) and time.monotonic() < deadline:
            time.sleep(0.05)
        assert _members(process.pid) == ["sleep"]
        os.killpg(process.pid, signal.SIGKILL)


def _members(group: int) -> list[str]:
    """Names of the processes of a group."""
    found = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            text = stat.read_text()
        except OSError:
            continue
        fields = text.rpartition(")")[2].split()
        if int(fields[2]) == group and fields[0] != "Z":
            found.append(text[text.index("(") + 1 : text.rindex(")")])
    return found


def test_the_command_starts_with_clean_signals(cli: Cli) -> None:
    script = (
        "import signal\n"
        "print(signal.pthread_sigmask(signal.SIG_BLOCK, []), end=' ')\n"
        "print(signal.getsignal(signal.SIGTERM) == signal.SIG_DFL)"
    )
    assert cli("run", "--", sys.executable, "-c", script).out == "set() True\n"
    ignored = cli("run", "--", "grep", "SigIgn", "/proc/self/status").out.split()[1]
    assert not int(ignored, 16) & (1 << signal.SIGPIPE - 1)


def test_a_store_that_cannot_be_written_changes_nothing_for_the_command(
    cli: Cli, tmp_path: Path
) -> None:
    blocked = tmp_path / "a-file"
    blocked.write_text("")
    result = cli("--store", blocked / "store", "run", "--", "sh", "-c", "echo done; exit 5")
    assert (result.code, result.out) == (5, "done\n")
    assert "instrument: " in result.err
    assert "Traceback" not in result.err


def test_nothing_is_recorded_when_disabled(cli: Cli, store_path: Path) -> None:
    result = cli("run", "--", "sh", "-c", "exit 3", env={"INSTRUMENT_MODE": "disabled"})
    assert (result.code, result.out, result.err) == (3, "", "")
    assert not store_path.exists()


IN_A_RUN = (
    "import os, signal, sys\n"
    "from instrument import ExperimentContext\n"
    "with ExperimentContext():\n"
    "    os.kill(os.getpid(), int(sys.argv[1]))\n"
    "    signal.pause()\n"
)


@pytest.mark.parametrize(
    ("number", "recorded", "in_context", "shown"),
    [
        (signal.SIGTERM, "SIGTERM", "SIGTERM", "ended by     SIGTERM"),
        (signal.SIGINT, "SIGINT", "KeyboardInterrupt", "Ctrl-C, or SIGINT"),
        (
            signal.SIGKILL,
            "SIGKILL",
            "unrecorded",
            "no end was recorded; what records the run was killed",
        ),
    ],
)
def test_what_ended_a_run_from_outside_is_told(
    cli: Cli, number: signal.Signals, recorded: str, in_context: str, shown: str
) -> None:
    cli("run", "--", "sh", "-c", f"kill -{number:d} $$")
    run = latest(cli)
    assert (run["ended_by"], run["exit_code"]) == (recorded, 128 + number)
    assert f"({recorded})" in cli("runs", "list").out
    assert f"{128 + number} (as of {recorded})" in cli("runs", "show", "latest").out

    subprocess.run([sys.executable, "-c", IN_A_RUN, str(int(number))], check=False)
    assert latest(cli)["ended_by"] == in_context
    assert shown in cli("runs", "show", "latest").out
    found = cli("runs", "list", "--json", "--where", f"ended_by == '{in_context}'").json
    assert latest(cli)["id"] in [run["id"] for run in found]


def test_a_run_that_ended_by_itself_was_ended_by_nothing(cli: Cli) -> None:
    cli("run", "--", "sh", "-c", "exit 3")
    assert latest(cli)["ended_by"] is None
    assert "ended by" not in cli("runs", "show", "latest").out
