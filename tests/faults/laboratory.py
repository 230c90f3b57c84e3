"""Lets one public operation fail in each of its calls to the store, and looks at what is left.

    python laboratory.py DIRECTORY OPERATION EVERY

Prints one JSON object: how many faults were injected, how many of them hit, and what went wrong.
With EVERY above 1 only one of so many faults is tried. The process imports
once and forks for each trial; the programs are those of `operations`.
"""

import errno
import gc
import importlib
import json
import os
import re
import shutil
import socket
import sys
import traceback
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any, Final, NamedTuple

from faults.injection import CALLS, Fault, Supervisor, let_supervise
from faults.operations import EXIT_CODE, OPERATIONS, Operation, a_store

from instrument.errors import NotFoundError
from instrument.naming import parse_reference
from instrument.protocols import Store
from instrument.records import Metrics, RecordsLost
from instrument.vocabulary import RunState

ERRORS: Final = (errno.ENOSPC, errno.EIO, errno.EDQUOT, errno.ESTALE, errno.EROFS, errno.EINTR)
FOR_EVER: Final = 1_000_000
# Interrupted calls are tried again, by Python and by us: not even a broken system does it for ever.
EINTR_TIMES: Final = 50
EXIT_CODES_OF_COMMANDS: Final = {0, 1, 2, 3}
_LOST: Final = re.compile(r"(\d+) records of run (\S+) were lost")
SENTINELS: Final = {"outside/keep.txt": "keep", "outside/deep/er.txt": "too", "work/mine.txt": "m"}


class Outcome(NamedTuple):
    """What became of a program."""

    exit_code: int
    calls: int
    hits: int
    stdout: str
    stderr: str
    said: list[list[str]]


class Bench:
    """A directory in which one program after another runs.

    Args:
        root: The directory, empty.
        operation: The program.
    """

    def __init__(self, root: Path, operation: Operation) -> None:
        self._operation = operation
        self.place = root / "trial"
        self._template = root / "template"
        self.store = self.place / "store"
        self._make_template()
        self._import_once()

    def _make_template(self) -> None:
        self.place.mkdir()
        for name, text in SENTINELS.items():
            path = self.place / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
        for name in ("cache", "scratch", "home"):
            (self.place / name).mkdir()
        needs = self._operation.needs
        if needs is not None:
            assert os.waitstatus_to_exitcode(os.waitpid(self._fork(needs, None), 0)[1]) == 0
        self.place.rename(self._template)

    def _import_once(self) -> None:
        """Import here what a trial imports, so that not every child does it again."""
        self.fresh()
        os.waitpid(self._fork(self._rehearse, None), 0)
        for name in (self.place / "modules").read_text().splitlines():
            with suppress(ImportError):
                importlib.import_module(name)
        gc.freeze()  # what is imported is not looked at again in each child

    def _rehearse(self) -> None:
        with suppress(SystemExit):
            self._operation.program()
        a_store().verify()
        (self.place / "modules").write_text("\n".join(sys.modules))

    def fresh(self) -> None:
        """Begin again from what the operation finds."""
        shutil.rmtree(self.place, ignore_errors=True)
        shutil.copytree(self._template, self.place, symlinks=True)

    def try_with(self, fault: Fault) -> Outcome:
        """Run the program with `fault`."""
        ours, theirs = socket.socketpair()
        pid = self._fork(self._operation.program, (fault.call, theirs))
        theirs.close()
        _, [listener, *_], _, _ = socket.recv_fds(ours, 1, 1)
        ours.close()
        supervisor = Supervisor(fault, self.store)
        exit_code = supervisor.watch(listener, pid)
        os.close(listener)
        return self._outcome(exit_code, supervisor.calls, supervisor.hits)

    def try_without(self) -> Outcome:
        """Run the program; nothing goes wrong."""
        pid = self._fork(self._operation.program, None)
        return self._outcome(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), 0, 0)

    def apart(self, check: Callable[[], None]) -> str | None:
        """What is wrong, according to `check` in a process of its own."""
        pid = self._fork(lambda: _look(check), None)
        if os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == EXIT_CODE:
            return None
        return (self.place / "stderr").read_text()[-1500:]

    def _outcome(self, exit_code: int, calls: int, hits: int) -> Outcome:
        said = self.place / "said"
        lines = said.read_text().splitlines() if said.exists() else []
        out, err = ((self.place / name).read_text() for name in ("stdout", "stderr"))
        return Outcome(exit_code, calls, hits, out, err, [line.split() for line in lines])

    def _fork(self, program: Callable[[], None], supervised: Any) -> int:
        for name in ("said", "stdout", "stderr"):
            (self.place / name).unlink(missing_ok=True)
        pid = os.fork()
        if pid:
            return pid
        os.chdir(self.place / "work")
        for fd, name in ((1, "stdout"), (2, "stderr")):
            os.dup2(os.open(self.place / name, os.O_WRONLY | os.O_CREAT | os.O_APPEND), fd)
        os.environ.update(
            INSTRUMENT_STORE=str(self.store),
            XDG_CACHE_HOME=str(self.place / "cache"),
            TMPDIR=str(self.place / "scratch"),
            HOME=str(self.place / "home"),
            XDG_STATE_HOME=str(self.place / "state"),  # the last seen checkpoint of the ledger
            FAULTS_SAID=str(self.place / "said"),
        )
        if supervised is not None:
            let_supervise(*supervised)
        program()
        print("done")
        sys.exit(EXIT_CODE)  # as a user's script ends: with everything that Python does then


def _look(check: Callable[[], None]) -> None:
    try:
        check()
    except BaseException:
        traceback.print_exc()
        sys.stderr.flush()
        os._exit(1)
    os._exit(EXIT_CODE)


def trials(calls: int, call: str) -> Iterator[Fault]:
    """What can happen to an operation that makes `calls` calls of a kind.

    At each call: SIGKILL, and every error, once and from then on.
    """
    for number in range(1, calls + 1):
        yield Fault(call, number, None)
        for code in ERRORS:
            yield Fault(call, number, code)
            yield Fault(call, number, code, EINTR_TIMES if code == errno.EINTR else FOR_EVER)


def check(store_path: Path, outcome: Outcome, *, killed: bool) -> None:
    """Hold the store against what the program was told. Runs apart; a failure is an error."""
    store = a_store()
    result = store.verify()
    assert result.ok, [problem for problem in result.problems if problem.severity == "damage"]
    lost = Counter[str]()  # each process tells what it lost
    for number, run in _LOST.findall(outcome.stderr):
        lost[run] += int(number)
    for run_id in {words[1] for words in outcome.said if words[0] == "run"}:
        _check_run(store, run_id, outcome, 0 if killed else lost[run_id])
    for words in outcome.said:
        if words[0] == "artifact":
            version = store.resolve(parse_reference(words[1]))
            assert version.digest == words[2]
            for file in version.files:
                store.get_bytes(file.digest)
        if words[0] == "tagged":
            assert store.resolve(parse_reference(words[1])).version == int(words[2])
        if words[0] == "unrecorded":
            assert "could not log artifact" in outcome.stderr or "lost" in outcome.stderr
    for path in [*store_path.parent.glob(store_path.name), *store_path.rglob("*")]:
        assert path.lstat().st_mode & 0o077 in {0, 0o044}, path


def _check_run(store: Store, run_id: str, outcome: Outcome, lost: int) -> None:
    told = {int(words[2]) for words in outcome.said if words[:2] == ["step", run_id]}
    try:
        run = store.run(run_id)
    except NotFoundError:
        assert "not recorded" in outcome.stderr or lost > len(told), outcome.stderr
        return
    entries = list(store.entries(run_id))
    lost = max(
        lost, sum(each.record.count for each in entries if isinstance(each.record, RecordsLost))
    )
    # A writer's name begins with the attempt.
    taken = [
        (each.writer.partition("-")[0], each.record.step)
        for each in entries
        if isinstance(each.record, Metrics)
    ]
    missing = told - {step for _, step in taken}
    assert len(missing) <= lost, f"{sorted(missing)} are missing, {lost} are told lost"
    assert len(taken) == len(set(taken)), f"twice: {taken}"
    if ["finished", run_id] in outcome.said and not lost:
        assert run.state in {RunState.COMPLETED, RunState.FAILED}, run.state


def judge(bench: Bench, fault: Fault, outcome: Outcome) -> str | None:
    """What is wrong after a trial, or None."""
    killed = fault.code is None
    operation = bench._operation  # the two are one
    if killed and outcome.hits and outcome.exit_code != -9:
        return f"was not killed: {outcome.exit_code}"
    if not killed:
        if "Traceback" in outcome.stderr:
            return f"raised: {outcome.stderr[-1500:]}"
        allowed = {EXIT_CODE} if operation.exit_code else EXIT_CODES_OF_COMMANDS
        if outcome.exit_code not in allowed:
            return f"exit code {outcome.exit_code}: {outcome.stderr[-500:]}"
        if operation.exit_code and outcome.stdout != "done\n":
            return f"stdout {outcome.stdout!r}"
    return (
        bench.apart(lambda: check(bench.store, outcome, killed=killed))
        or _outside(bench.place, killed=killed)
        or _again(bench)
    )


def _outside(place: Path, *, killed: bool) -> str | None:
    for name, text in SENTINELS.items():
        if (place / name).read_text() != text:
            return f"{name} has changed"
    left = [] if killed else list((place / "scratch").iterdir())
    # Where workers find the run they belong to: one small file for a launcher, made again.
    left = [path for path in left if path.name != f"instrument-{os.getuid()}"]
    left += (place / "home").iterdir()
    left += [
        path for path in (place / "outside").rglob("*.*") if path.name not in {"keep.txt", "er.txt"}
    ]
    return f"left outside the store: {left}" if left else None


def _again(bench: Bench) -> str | None:
    """The same program works when nothing fails any more."""
    outcome = bench.try_without()
    if outcome.exit_code != bench._operation.exit_code:
        return f"again: exit code {outcome.exit_code}: {outcome.stderr[-1500:]}"
    if any(words[0] in {"refused", "unrecorded"} for words in outcome.said):
        return f"again: {outcome.said}"
    wrong = bench.apart(lambda: check(bench.store, outcome, killed=True))
    return f"again: {wrong}" if wrong else None


def main(root: Path, name: str, every: int) -> dict[str, Any]:
    """Try the faults, or one of `every`."""
    bench = Bench(root, OPERATIONS[name])
    tried = hits = passed = 0
    failures = []
    for call in CALLS:
        bench.fresh()
        counted = bench.try_with(Fault(call, 0, None))
        assert counted.exit_code == bench._operation.exit_code, counted.stderr
        for fault in trials(counted.calls, call):
            passed += 1
            if passed % every != every // 4:
                continue
            bench.fresh()
            outcome = bench.try_with(fault)
            tried += 1
            hits += outcome.hits > 0
            wrong = judge(bench, fault, outcome)
            if wrong:
                failures.append(f"{fault}: {wrong}")
    return {"operation": name, "trials": tried, "hits": hits, "failures": failures}


if __name__ == "__main__":
    print(json.dumps(main(Path(sys.argv[1]), sys.argv[2], int(sys.argv[3]))))
