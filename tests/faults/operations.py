"""The public operations that `test_nth_fault` lets fail: one small program each.

To add one, write a function that does it as a user would and tells with `say` what it was told,
and put it into `OPERATIONS`. It runs in a process of its own, in an empty directory, with the store
where the settings say.
"""

import os
import shutil
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final, NamedTuple

from instrument import ArtifactManager, ExperimentContext, log_metrics, registry
from instrument.cli import main as command_line
from instrument.clock import SystemClock
from instrument.errors import InstrumentError, StoreError
from instrument.naming import parse_reference
from instrument.protocols import Store
from instrument.protocols.bundles import HasBundles
from instrument.query import parse
from instrument.vocabulary import ArtifactVersion

STEPS: Final = 5
EXIT_CODE: Final = 7


def say(*words: object) -> None:
    """Tell, where no fault reaches, what was acknowledged."""
    fd = os.open(os.environ["FAULTS_SAID"], os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    os.write(fd, " ".join(map(str, words)).encode() + b"\n")
    os.close(fd)


def a_store() -> Store:
    return registry.open_store("local", Path(os.environ["INSTRUMENT_STORE"]), SystemClock())


@contextmanager
def small_run(**options: Any) -> Iterator[ExperimentContext]:
    with ExperimentContext(
        {"lr": 0.1}, name="small", capture_level=1, monitor_hardware=False, **options
    ) as run:
        say("run", run.id)
        yield run
    say("finished", run.id)


def log_steps(run: ExperimentContext, first: int = 0) -> None:
    for step in range(first, first + STEPS):
        run.log_metrics({"loss": 1.0 / (step + 1)}, step=step)
        say("step", run.id, step)


def say_version(version: ArtifactVersion) -> None:
    if version.version is not None:
        say("artifact", version.ref, version.digest)
    else:
        say("unrecorded", version.name)


@contextmanager
def may_be_refused() -> Iterator[None]:
    """What was asked of the store directly may fail, with the error that says so."""
    try:
        yield
    except StoreError as error:
        say("refused", error)


# --- operations ------------------------------------------------------------------------------


def record_a_run() -> None:
    """With everything that is recorded by default."""
    with ExperimentContext({"lr": 0.1}, name="whole", seed=1) as run:
        say("run", run.id)
        log_steps(run)
        run.log_params({"more": 1})
        say_version(run.log_artifact("report", data={"step": STEPS}))
        log_steps(run, STEPS)
    say("finished", run.id)


def log_artifacts() -> None:
    Path("model.bin").write_bytes(b"weights" * 50_000)
    Path("tree/deep").mkdir(parents=True, exist_ok=True)
    for number in range(3):
        Path(f"tree/deep/{number}.txt").write_text(f"{number}")
    with small_run() as run:
        say_version(run.log_artifact("kept", data={"changed": True}))
        say_version(run.log_artifact("model", "model", file_path="model.bin"))
        say_version(run.log_artifact("files", file_path="tree", parent_artifacts=["kept:v1"]))
        say_version(run.log_artifact("kept", data={"kept": 1}))
        say_version(run.log_checkpoint(file_path="model.bin", step=1, best=True))
        log_steps(run)


def use_artifacts() -> None:
    with small_run() as run:
        log_steps(run)
        with may_be_refused():
            artifact = run.use_artifact("kept:latest")
            say("used", artifact.ref)
            assert artifact.load() == {"kept": 1}
        with may_be_refused():
            run.use_artifact("model").copy_to("copy.bin")
            assert Path("copy.bin").read_bytes() == b"first weights"
        Path("copy.bin").unlink(missing_ok=True)


def fail() -> None:
    with small_run() as run:
        log_steps(run)
        try:
            with small_run() as inner:
                log_steps(inner)
                raise ValueError("mine")  # noqa: TRY301 - the run around it is what is tried
        except ValueError:
            say("finished", inner.id)


def try_again() -> None:
    """One more attempt at a run that was sealed."""
    with small_run(run_id="requeued") as run:
        log_steps(run, STEPS)


def record_in_a_fork() -> None:
    with small_run() as run:
        log_steps(run)
        child = os.fork()
        if child == 0:
            log_steps(run, STEPS)
            log_metrics({"loss": 0.0}, step=2 * STEPS)
            say("step", run.id, 2 * STEPS)
            sys.exit(0)
        assert os.waitpid(child, 0)[1] == 0
        log_steps(run, 3 * STEPS)


def tag() -> None:
    with may_be_refused():
        store = a_store()
        for alias in ("best", "best", "stable"):
            store.tag(parse_reference("kept:v1"), alias, datetime.now(UTC))
            say("tagged", f"kept:{alias}", 1)
    with may_be_refused():
        ArtifactManager().rollback("model", 1)
        say("tagged", "model:latest", 1)


def seal() -> None:
    with may_be_refused():
        a_store().seal("died")
        say("sealed", "died")


def verify() -> None:
    command("verify")


def collect() -> None:
    with suppress(OSError):
        for path in Path(os.environ["INSTRUMENT_STORE"]).glob("objects/*/*"):
            os.utime(path, (1e9, 1e9))
    command("gc", "--type", "model", "--keep", "alias=latest", "--unreferenced", "--yes")


def delete_a_run() -> None:
    try:
        there = a_store().runs(parse("id == 'requeued'"))
    except (InstrumentError, OSError):  # it cannot be read, which the command would say
        there = []
    if not there:
        sys.exit(0)  # the time before it came so far
    command("runs", "delete", "requeued", "--why", "to be forgotten", "--redact", "--yes")


def list_runs() -> None:
    command("runs", "list", "--json")


def show_a_run() -> None:
    command("runs", "show", "requeued")


def list_artifacts() -> None:
    command("artifacts", "list")


def get_an_artifact() -> None:
    Path("got.bin").unlink(missing_ok=True)
    command("artifacts", "get", "model:v1", "--output", "got.bin")


def show_lineage() -> None:
    command("lineage", "kept:v1")


def export() -> None:
    Path("runs.bundle").unlink(missing_ok=True)
    command("export", "requeued", "--output", "runs.bundle")


def import_a_bundle() -> None:
    command("import", "theirs.bundle")


def sync() -> None:
    known = registry.Known("mirroring.list_mirror:open_mirror", "mirror")
    registry._KNOWN["list"] = known  # as the tests of mirroring do
    command("sync", "--to", "list", "requeued")


def pack() -> None:
    command("store", "pack", "--all")


def repair() -> None:
    command("repair", "--why", "tried")


def hold() -> None:
    command("hold", "set", "kept:v1", "--until", "forever", "--why", "asked for")


def sign() -> None:
    command("ledger", "sign", "--key", "ours.key")


def run_a_command() -> None:
    command("run", "--level", "1", "--", sys.executable, "-c", "print('done')")


def command(*words: str) -> None:
    sys.argv = ["instrument", *words]
    command_line.main()


def furnish_with_a_bundle() -> None:
    """As `furnish`, and a bundle of another store, whose run and artifact are here, too."""
    ours = os.environ["INSTRUMENT_STORE"]
    os.environ["INSTRUMENT_STORE"] = theirs = str(Path("theirs").absolute())
    with small_run(run_id="requeued") as run:
        run.log_artifact("kept", data={"theirs": 1})
        log_steps(run)
    store = a_store()
    assert isinstance(store, HasBundles)
    store.bundles.export(["requeued"], Path("theirs.bundle"))
    shutil.rmtree(theirs)
    os.environ["INSTRUMENT_STORE"] = ours
    furnish()


def furnish_with_a_key() -> None:
    """As `furnish`, and a key that may sign."""
    with suppress(SystemExit):
        command("ledger", "key", "new", "--output", "ours.key")
    furnish()


class Operation(NamedTuple):
    """A program and what it finds.

    Attributes:
        program: Does it.
        exit_code: What it ends with when nothing fails.
        needs: What is in the store before: `furnish`, or nothing.
    """

    program: Callable[[], None]
    exit_code: int
    needs: Callable[[], None] | None


def furnish() -> None:
    """A store in which something is; its last run dies in the middle."""
    manager = ArtifactManager()
    manager.log_artifact("kept", data={"kept": 1})
    Path("weights").write_bytes(b"first weights")
    manager.log_artifact("model", "model", file_path="weights", parent_artifacts=["kept"])
    Path("weights").write_bytes(b"second weights")
    manager.log_artifact("model", "model", file_path="weights", parent_artifacts=["kept"])
    manager.rollback("model", 1)
    Path("weights").unlink()
    with small_run(run_id="requeued") as run:
        run.use_artifact("kept")
        log_steps(run)
    ExperimentContext(run_id="died", capture_level=1, monitor_hardware=False).start()
    log_metrics({"loss": 0.5}, step=0)
    os._exit(0)


_USER: Final = (record_a_run, log_artifacts, use_artifacts, fail, try_again, record_in_a_fork)
_USER_OF_STORE: Final = (tag, seal)
_COMMANDS: Final = (
    verify, collect, delete_a_run, list_runs, show_a_run, list_artifacts, get_an_artifact,
    show_lineage, sync, export, pack, repair, hold, run_a_command,
)  # fmt: skip

OPERATIONS: Final = {
    "record_the_first_run": Operation(record_a_run, EXIT_CODE, None),
    **{each.__name__: Operation(each, EXIT_CODE, furnish) for each in (*_USER, *_USER_OF_STORE)},
    **{each.__name__: Operation(each, 0, furnish) for each in _COMMANDS},
    "import_a_bundle": Operation(import_a_bundle, 0, furnish_with_a_bundle),
    "sign": Operation(sign, 0, furnish_with_a_key),
}
