"""Seeds that the program gives to libraries itself."""

import json
import pickle
import random
import subprocess
import sys
import textwrap
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from instrument import ExperimentContext, reproducible
from instrument.cli.differences import compare
from instrument.cli.run_page import _seeds
from instrument.clock import SystemClock
from instrument.intercept.libraries import LIBRARIES
from instrument.intercept.seeds import MAX_TOLD
from instrument.records import SeedsRecorded
from instrument.registry import open_store
from instrument.summary.run import RunSummary
from instrument.testing import InterceptorContract
from instrument.testing.samples import together

numpy = pytest.importorskip("numpy", reason="numpy is not installed: there is nothing to seed")


@pytest.fixture(autouse=True)
def _states_as_before() -> Any:
    state = random.getstate(), numpy.random.get_state()
    yield
    random.setstate(state[0])
    numpy.random.set_state(state[1])


class TestContract(InterceptorContract):
    library = next(library for library in LIBRARIES if "numpy.random" in library.modules)
    tied_to_their_names = ((numpy.random, "seed"),)

    def calls(self, path: Path) -> Mapping[str, Callable[[], Any]]:
        return {
            "seed": lambda: numpy.random.seed(3),
            "seed by name": lambda: numpy.random.seed(seed=3),
        }

    def failing_calls(self, path: Path) -> Mapping[str, Callable[[], Any]]:
        return {
            "negative": lambda: numpy.random.seed(-1),
        }


def given_in(work: Callable[[], Any], **options: Any) -> dict[str, Any]:
    """What the summary of a run of `work` says of seeds that the program gave."""
    with ExperimentContext(monitor_hardware=False, **options) as run:
        work()
    return given_of(run)


def given_of(run: ExperimentContext) -> dict[str, Any]:
    summary = of(run)
    assert summary.recording.problems == []
    assert summary.seeds is not None
    given: dict[str, Any] = summary.seeds["given"]
    return given


def of(run: ExperimentContext) -> RunSummary:
    assert run.store is not None
    return run.store.run(run.id)


def told(run: ExperimentContext) -> list[SeedsRecorded]:
    assert run.store is not None
    records = [entry.record for entry in run.store.entries(run.id)]
    return [each for each in records if isinstance(each, SeedsRecorded) and each.given]


def copied(value: Any) -> Any:
    return pickle.loads(pickle.dumps(value))  # noqa: S301 - our own


def seed_numpy(seed: Any) -> None:
    numpy.random.seed(seed)


def known(seed: int, calls: int = 1) -> dict[str, Any]:
    return {"seed": seed, "reason": None, "calls": calls}


def test_the_last_seed_and_how_often() -> None:
    def work() -> None:
        assert random.seed(1) is None
        random.seed(a=2)
        numpy.random.seed(numpy.int64(3))

    assert given_in(work) == {"numpy": known(3), "random": known(2, calls=2)}


def test_torch_within_a_run() -> None:
    torch = pytest.importorskip("torch", reason="torch is not installed")
    with torch.random.fork_rng():
        assert given_in(lambda: torch.manual_seed(7)) == {"torch": known(7)}


@pytest.mark.parametrize(
    ("seed", "reason"),
    [
        (None, "none was given: the library took one from the system"),
        ("hunter2", "of type str, sha256:f52fbd32b2b3b86ff88ef6c490628285f482af15ddcb29541f94bcf5"),
        (b"hunter2", "of type bytes, sha256:f52fbd32b2b3b86ff88ef6c490628285f482af15ddcb29541f9"),
        (2**64, "of type int, sha256:"),
        (0.5, "of type float, sha256:"),
    ],
)
def test_what_is_no_integer_is_null_with_a_reason(seed: Any, reason: str) -> None:
    given = given_in(lambda: random.seed(seed))["random"]
    assert given["seed"] is None
    assert given["reason"].startswith(reason)
    assert "hunter2" not in str(given)


def test_the_largest_and_smallest_that_are_told_as_they_are() -> None:
    for seed in (2**64 - 1, -(2**63)):
        assert given_in(partial(random.seed, seed)) == {"random": known(seed)}


def test_arrays_are_told_by_their_digest() -> None:
    one, same, other = (
        given_in(partial(seed_numpy, seed))["numpy"]["reason"]
        for seed in (numpy.array([1, 2]), numpy.array([1, 2]), numpy.array([2, 1]))
    )
    assert one == same != other
    assert one.startswith("of type ndarray, sha256:")


def test_a_seed_that_is_refused_was_not_given() -> None:
    def work() -> None:
        with pytest.raises(TypeError):
            random.seed([])  # type: ignore[arg-type]
        with pytest.raises(ValueError, match="between 0 and"):
            numpy.random.seed(-1)

    with ExperimentContext(monitor_hardware=False) as run:
        work()
    assert given_of(run) == {}


def test_our_own_seeding_is_not_the_program_s() -> None:
    @reproducible(seed=5)
    def inner() -> None:
        numpy.random.seed(8)

    def work() -> None:
        inner()
        random.seed(9)
        inner()

    given = given_in(work, seed=6)
    assert given == {"numpy": known(8, calls=2), "random": known(9)}


def test_generators_of_the_program_are_not_the_library() -> None:
    def work() -> None:
        random.Random(3).seed(4)
        random.SystemRandom().seed(5)
        numpy.random.default_rng(5)
        numpy.random.RandomState(5).seed(5)
        random.seed(6)

    assert given_in(work) == {"random": known(6)}


def test_the_numbers_and_the_function_are_what_they_were() -> None:
    before, code = random.seed, random.Random.seed.__code__
    in_numpy = numpy.random.seed
    random.seed(3)
    numpy.random.seed(3)
    expected = random.random(), numpy.random.rand()
    with ExperimentContext(monitor_hardware=False):
        assert random.seed is before
        assert random.seed.__self__ is random._inst  # type: ignore[attr-defined]
        random.seed(3)
        numpy.random.seed(3)
        copied(random.seed)(4)  # it has a generator of its own
        copied(random.Random(4))
        assert (random.random(), numpy.random.rand()) == expected
        assert random.Random.seed.__code__ is not code
        assert numpy.random.seed is not in_numpy
    assert random.seed is before
    assert random.Random.seed.__code__ is code
    assert numpy.random.seed is in_numpy


def test_a_patch_of_somebody_else_survives(monkeypatch: pytest.MonkeyPatch) -> None:
    def mine(seed: int) -> None:
        before(seed)

    before = random.seed
    with ExperimentContext(monitor_hardware=False) as run:
        monkeypatch.setattr(random, "seed", mine)
        random.seed(3)
    assert random.seed is mine
    assert given_of(run) == {"random": known(3)}
    assert given_in(lambda: mine(4)) == {"random": known(4)}


def test_threads_lose_no_call_and_few_are_told() -> None:
    def work() -> None:
        for seed in range(500):
            random.seed(seed)
            numpy.random.seed(seed)

    with ExperimentContext(monitor_hardware=False) as run:
        together([work] * 4)
        numpy.random.seed(1)
        random.seed(1)
    given = given_of(run)
    assert given == {"numpy": known(1, calls=2001), "random": known(1, calls=2001)}
    assert len(told(run)) == MAX_TOLD + 1


def test_the_first_seeds_are_told_at_once() -> None:
    with ExperimentContext(monitor_hardware=False) as run:
        random.seed(1)
        assert [each.given["random"].seed for each in told(run)] == [1]
        random.seed(1)
        assert len(told(run)) == 1
    assert [each.given["random"].calls for each in told(run)] == [1, 2]


def test_two_runs_are_compared_and_a_page_tells() -> None:
    runs = []
    for seed in (1, 2):
        with ExperimentContext(monitor_hardware=False) as run:
            numpy.random.seed(seed)
            numpy.random.seed(seed)
        runs.append(of(run))
    assert run.store is not None
    differences = compare(run.store, *runs).differences["seeds"]
    found = {each.name: (each.a, each.b) for each in differences}
    assert found["given.numpy.seed"] == (1, 2)
    assert _seeds(runs[0].seeds).endswith("; the program gave numpy 1 (the last of 2)")
    unknown = {"seed": 3, "given": {"random": {"seed": None, "reason": "why", "calls": 1}}}
    assert _seeds(unknown) == "3; the program gave random a seed not known (why)"


def recorded(tmp_path: Path, program: str, *options: str) -> dict[str, Any]:
    """The seeds of a program that knows nothing of us, under ``instrument run``."""
    script = tmp_path / "train.py"
    script.write_text(textwrap.dedent(program))
    command = [sys.executable, "-m", "instrument"]
    run = ["run", "--level", "1", *options, "--", sys.executable, str(script)]
    done = subprocess.run([*command, *run], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    shown = subprocess.run(
        [*command, "runs", "show", "latest", "--json"], capture_output=True, text=True, check=True
    )
    seeds: dict[str, Any] = json.loads(shown.stdout)["seeds"]
    return seeds


def test_a_program_that_knows_nothing_of_us(tmp_path: Path) -> None:
    program = """
        import os, random, sys
        assert "instrument" not in sys.modules  # many programs import random
        import numpy as np
        from random import seed
        seed(42)
        np.random.seed(43)
        child = os.fork()
        if not child:
            seed(7)  # a worker's own
            raise SystemExit
        os.waitpid(child, 0)
        """
    assert recorded(tmp_path, program)["given"] == {"numpy": known(43), "random": known(42)}


def test_random_alone_costs_no_run_what_watching_takes(store_path: Path) -> None:
    program = """
        import random, sys
        from instrument import ExperimentContext
        loaded = {"inspect", "instrument.intercept.diverting"} - sys.modules.keys()
        with ExperimentContext(monitor_hardware=False, capture_level=1):
            random.seed(5)
            assert loaded.isdisjoint(sys.modules), loaded & sys.modules.keys()
            import numpy.random
            random.seed(6)
        """
    subprocess.run([sys.executable, "-c", textwrap.dedent(program)], check=True)
    run = open_store("local", store_path, SystemClock()).runs()[0]
    assert (run.seeds or {})["given"] == {"random": known(6)}


def test_a_seed_in_a_handler_of_forks_is_not_in_the_parent_s_journal(store_path: Path) -> None:
    program = """
        import os, random, numpy
        import instrument.intercept.seeds  # its handler comes before, that of a run after it
        os.register_at_fork(after_in_child=lambda: random.seed(7))
        from instrument import ExperimentContext
        with ExperimentContext(monitor_hardware=False, capture_level=1):
            random.seed(5)
            child = os.fork()
            if not child:
                os._exit(0)
            os.waitpid(child, 0)
        """
    subprocess.run([sys.executable, "-c", textwrap.dedent(program)], check=True)
    store = open_store("local", store_path, SystemClock())
    assert store.verify().ok
    assert (store.runs()[0].seeds or {})["given"] == {"random": known(5)}


@pytest.mark.slow
def test_workers_that_are_spawned_seed_for_themselves(tmp_path: Path) -> None:
    program = """
        import multiprocessing, random
        import numpy as np
        def work(seed):
            random.seed(seed)
            np.random.seed(seed)
        if __name__ == "__main__":
            random.seed(42)
            worker = multiprocessing.get_context("spawn").Process(target=work, args=(7,))
            worker.start()
            worker.join()
            assert worker.exitcode == 0
        """
    assert recorded(tmp_path, program)["given"] == {"random": known(42)}


@pytest.mark.slow
def test_a_program_that_is_killed(tmp_path: Path) -> None:
    program = """
        import os, numpy, sys
        if len(sys.argv) == 1:
            import subprocess
            subprocess.run([sys.executable, __file__, "again"])
        else:
            numpy.random.seed(5)
            os.kill(os.getpid(), 9)
        """
    assert recorded(tmp_path, program)["given"] == {"numpy": known(5)}


@pytest.mark.slow
def test_what_transformers_seeds(tmp_path: Path) -> None:
    for library in ("torch", "transformers"):
        pytest.importorskip(library, reason=f"{library} is not installed")
    program = "import transformers\ntransformers.set_seed(42)"
    given = recorded(tmp_path, program)["given"]
    assert given == {name: known(42) for name in ("numpy", "random", "torch")}
