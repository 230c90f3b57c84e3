"""Seeds are set where it is said, and looking at random states leaves no trace."""

import json
import os
import random
import subprocess
import sys
import types
from importlib.machinery import ModuleSpec
from typing import Any

import pytest

from instrument.capture.determinism import read_seeds, set_seeds
from instrument.capture.framework_flags import _NEEDED, loaded
from instrument.errors import UsageError
from instrument.given import MAX_SEED


@pytest.fixture(autouse=True)
def settings_put_back(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CUBLAS_WORKSPACE_CONFIG", "")  # so that it is put back afterwards
    monkeypatch.delenv("CUBLAS_WORKSPACE_CONFIG")


def in_fresh_process(python: str, program: str) -> Any:
    done = subprocess.run([python, "-c", program], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_the_same_seed_gives_the_same_numbers() -> None:
    numpy = pytest.importorskip("numpy")
    torch = pytest.importorskip("torch")

    def draw() -> tuple[Any, ...]:
        set_in = set_seeds(7)
        assert {"random", "numpy", "torch"} <= set(set_in)
        return random.random(), numpy.random.rand(3).tolist(), torch.rand(3).tolist()

    first = draw()
    assert draw() == first
    set_seeds(8)
    assert random.random() != first[0]


def test_what_is_not_loaded_is_not_said_to_be_set(python: str) -> None:
    program = (
        "import json, sys; from instrument.capture.determinism import set_seeds, read_seeds;"
        "s = set_seeds(1); r = read_seeds(1, s);"
        "print(json.dumps([s, sorted(r.states), sorted({'numpy', 'torch'} & set(sys.modules))]))"
    )
    assert in_fresh_process(python, program) == [["random"], ["random"], []]


def test_numpy_is_seeded_although_it_loads_its_generators_late(python: str) -> None:
    pytest.importorskip("numpy")
    program = (
        "import json, numpy; from instrument.capture.determinism import set_seeds;"
        "set_seeds(5); print(json.dumps(numpy.random.rand(3).tolist()))"
    )
    assert in_fresh_process(python, program) == in_fresh_process(python, program)


def test_what_is_imported_after_the_seed_is_told(python: str) -> None:
    pytest.importorskip("numpy")
    program = (
        "import json; from instrument.capture.determinism import set_seeds, unseeded;"
        "s = set_seeds(5); before = unseeded(s); import numpy;"
        "print(json.dumps([before, unseeded(s)]))"
    )
    assert in_fresh_process(python, program) == [[], ["numpy"]]


def test_reading_changes_no_state() -> None:
    numpy = pytest.importorskip("numpy")
    torch = pytest.importorskip("torch")
    set_seeds(3)
    before = random.getstate(), numpy.random.get_state()[1].tolist(), torch.get_rng_state().tolist()
    read_seeds(3, ("random",))  # loads our own modules
    modules = set(sys.modules)
    first = read_seeds(3, ("random",))
    assert set(sys.modules) == modules
    after = random.getstate(), numpy.random.get_state()[1].tolist(), torch.get_rng_state().tolist()
    assert after == before
    assert read_seeds(3, ("random",)) == first


def test_a_state_that_moved_has_another_digest() -> None:
    numpy = pytest.importorskip("numpy")
    torch = pytest.importorskip("torch")
    set_seeds(3)
    states = read_seeds(3, ()).states
    assert set(states) == {"random", "numpy", "torch"}
    random.random()
    numpy.random.rand()
    torch.rand(1)
    moved = read_seeds(3, ()).states
    assert all(moved[name] != states[name] for name in states)
    set_seeds(3)
    assert read_seeds(3, ()).states == states


def test_flags_tell_what_is_set(monkeypatch: pytest.MonkeyPatch) -> None:
    torch = pytest.importorskip("torch")
    monkeypatch.setenv("OMP_NUM_THREADS", "3")
    flags = read_seeds(None, ()).flags
    assert flags["OMP_NUM_THREADS"] == "3"
    assert flags["torch.num_threads"] == torch.get_num_threads()
    assert flags["torch.deterministic_algorithms"] is False
    assert flags["torch.cudnn.allow_tf32"] in {True, False}
    assert flags["torch.float32_matmul_precision"] == torch.get_float32_matmul_precision()


def test_deterministic_is_asked_of_torch_and_told() -> None:
    torch = pytest.importorskip("torch")
    try:
        set_seeds(1, deterministic=True)
        flags = read_seeds(1, ()).flags
        assert flags["torch.deterministic_algorithms"] is True
        assert flags["torch.cudnn.deterministic"] is True
        assert flags["torch.cudnn.benchmark"] is False
        assert flags["CUBLAS_WORKSPACE_CONFIG"] == ":4096:8"
        set_seeds(1)
        assert read_seeds(1, ()).flags["torch.deterministic_algorithms"] is True
    finally:
        set_seeds(1, deterministic=False)
    assert torch.are_deterministic_algorithms_enabled() is False


def test_the_user_s_own_workspace_setting_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CUBLAS_WORKSPACE_CONFIG", ":16:8")
    try:
        set_seeds(1, deterministic=True)
    finally:
        set_seeds(1, deterministic=False)
    assert os.environ["CUBLAS_WORKSPACE_CONFIG"] == ":16:8"


@pytest.mark.parametrize("seed", [-1, MAX_SEED + 1, 1.5, "7", True])
def test_seeds_that_cannot_be_set(seed: Any) -> None:
    with pytest.raises(UsageError, match="use an integer from 0"):
        set_seeds(seed)


def test_the_largest_seed_is_usable() -> None:
    pytest.importorskip("numpy")
    assert "random" in set_seeds(MAX_SEED)


def test_a_half_imported_torch_is_no_torch(python: str) -> None:
    program = (
        "import json, sys, types; sys.modules['torch'] = types.ModuleType('torch');"
        "from instrument.capture.determinism import set_seeds, read_seeds;"
        "print(json.dumps([set_seeds(1), sorted(read_seeds(1, ()).states)]))"
    )
    assert in_fresh_process(python, program) == [["random"], ["random"]]


def test_a_torch_whose_import_goes_on_is_not_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    """It has all its names already, and what asks it for one may wait for its import to end."""
    torch = types.ModuleType("torch")
    torch.__spec__ = ModuleSpec("torch", None)
    vars(torch).update(dict.fromkeys(_NEEDED["torch"]))
    monkeypatch.setitem(sys.modules, "torch", torch)
    assert loaded("torch") is torch
    monkeypatch.setattr(torch.__spec__, "_initializing", True, raising=False)
    assert loaded("torch") is None


@pytest.mark.parametrize("name", ["jax", "tensorflow"])
def test_other_frameworks_are_read_without_a_trace(name: str, python: str) -> None:
    pytest.importorskip(name, reason=f"{name} is not installed")
    program = f"""
import json, sys, {name}
from instrument.capture.determinism import read_seeds, set_seeds
set_in = set_seeds(7)
modules = set(sys.modules)
first, second = read_seeds(7, set_in), read_seeds(7, set_in)
flags = {{key: value for key, value in first.flags.items() if key.startswith("{name}.")}}
told = [first == second, set(sys.modules) == modules, set_in, flags, sorted(first.states)]
print(json.dumps(told))
"""
    same, nothing_imported, set_in, flags, states = in_fresh_process(python, program)
    assert (same, nothing_imported) == (True, True)
    assert flags
    has_state = name == "tensorflow"  # JAX's keys are values of the program
    assert (name in set_in, name in states) == (has_state, has_state)


def test_looking_at_torch_starts_none_of_its_thread_pools(python: str) -> None:
    pytest.importorskip("torch")
    program = (
        "import json, torch; from instrument.capture.determinism import read_seeds;"
        "read_seeds(None, ()); torch.set_num_interop_threads(3); torch.set_num_threads(1);"
        "flags = read_seeds(None, ()).flags;"
        "print(json.dumps([flags['torch.num_interop_threads'], flags['torch.num_threads'],"
        " torch.cuda.is_initialized()]))"
    )
    assert in_fresh_process(python, program) == [3, 1, False]


def test_looking_warns_of_nothing_and_leaves_the_flags(python: str) -> None:
    pytest.importorskip("torch")
    program = """
import json, warnings, torch
from instrument.capture.determinism import read_seeds
torch.set_default_dtype(torch.float64)
torch.backends.cudnn.allow_tf32 = False
with warnings.catch_warnings(record=True) as seen, torch.autocast("cpu", torch.bfloat16):
    warnings.simplefilter("always")
    flags = read_seeds(None, ()).flags
    again = read_seeds(None, ()).flags
    inside = [torch.is_autocast_enabled("cpu"), str(torch.get_autocast_dtype("cpu"))]
names = ("default_dtype", "cudnn.allow_tf32", "autocast.cpu")
unknown = [name for name, value in flags.items() if name.startswith("torch.") and value is None]
told = [flags["torch." + name] for name in names]
print(json.dumps([len(seen), flags == again, inside, told, unknown]))
"""
    warned, same, inside, told, unknown = in_fresh_process(python, program)
    assert (warned, same) == (0, True)
    assert inside == [True, "torch.bfloat16"]
    assert told == ["torch.float64", False, "torch.bfloat16"]
    assert unknown == []


def test_math_libraries_that_are_loaded(python: str) -> None:
    pytest.importorskip("numpy")
    program = """
import json
from instrument.capture.math_libraries import math_libraries
before = math_libraries()
import numpy
after = math_libraries()
import threadpoolctl
more = math_libraries()
print(json.dumps([before, after, more, threadpoolctl.threadpool_info()]))
"""
    pytest.importorskip("threadpoolctl")
    before, after, more, told = in_fresh_process(python, program)
    assert before == []
    assert {each["filepath"].rpartition("/")[2] for each in told} == {
        each["file"] for each in after
    }
    assert [each["kind"] for each in after] == [each["kind"] for each in more]
    by_file = {each["filepath"].rpartition("/")[2]: each for each in told}
    for library in more:
        assert library.get("architecture") == by_file[library["file"]].get("architecture")


def test_numpy_with_a_generator_of_another_kind(python: str) -> None:
    pytest.importorskip("numpy")
    program = """
import json, numpy
from instrument.capture.determinism import read_seeds
numpy.random.set_bit_generator(numpy.random.PCG64(3))
first = read_seeds(None, ()).states["numpy"]
same = read_seeds(None, ()).states["numpy"]
numpy.random.rand()
print(json.dumps([first == same, first == read_seeds(None, ()).states["numpy"]]))
"""
    assert in_fresh_process(python, program) == [True, False]
