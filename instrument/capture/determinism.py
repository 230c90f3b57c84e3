"""Seeds: set when asked, in what is loaded; random states and settings: read without a trace."""

import os
import random
import sys
from contextlib import suppress
from typing import Any, Final

from instrument import given
from instrument.capture.framework_flags import framework_flags, loaded, thread_flags
from instrument.capture.math_libraries import USERS, math_libraries
from instrument.capture.parts import Read, read_together
from instrument.capture.random_states import random_states
from instrument.own_reads import own_read
from instrument.records import SeedsRecorded

LIMIT_SECONDS: Final = 2.0
"""So long the user's code waits at most for what is read of it."""
PARTS: Final[dict[str, Read]] = {
    "random_states": random_states,
    "math_libraries": math_libraries,
    "framework_flags": framework_flags,
}
_CUBLAS: Final = ":4096:8"
_VARIABLES: Final = (
    "PYTHONHASHSEED", "CUBLAS_WORKSPACE_CONFIG", "NVIDIA_TF32_OVERRIDE", "OMP_NUM_THREADS",
    "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMEXPR_NUM_THREADS", "MKL_CBWR", "NCCL_ALGO",
    "NCCL_PROTO", "TF_DETERMINISTIC_OPS", "XLA_FLAGS",
)  # fmt: skip


def set_seeds(seed: int, *, deterministic: bool | None = None) -> tuple[str, ...]:
    """Seed Python, numpy, torch (CPU and CUDA) and TensorFlow, as far as they are loaded.

    JAX has nothing to seed: its keys are values of the program.

    Args:
        seed: From 0 to `given.MAX_SEED`.
        deterministic: Also ask torch for deterministic algorithms (True) or for fast ones (False);
            None leaves its settings alone.

    Returns:
        Where the seed was set: a library that is imported later is not among them.

    Raises:
        UsageError: `seed` is not usable.
    """
    given.seed(seed)
    with own_read():  # no seed that the program gave
        return _set_seeds(seed, deterministic)


def _set_seeds(seed: int, deterministic: bool | None) -> tuple[str, ...]:
    random.seed(seed)
    set_in = ["random"]
    numpy: Any = sys.modules.get("numpy")
    if hasattr(numpy, "random"):  # numpy loads it when it is first asked for
        numpy.random.seed(seed)
        set_in.append("numpy")
    torch = loaded("torch")
    if torch is not None:
        torch.manual_seed(seed)  # CUDA's generators too; where CUDA has not started, when it does
        set_in += ["torch", "torch.cuda"] if torch.version.cuda else ["torch"]
    tensorflow = loaded("tensorflow")
    if tensorflow is not None:
        tensorflow.random.set_seed(seed)
        set_in.append("tensorflow")
    if deterministic is not None:
        _set_deterministic(torch, on=deterministic)
    return tuple(set_in)


def unseeded(set_in: tuple[str, ...]) -> tuple[str, ...]:
    """Libraries with random state that are loaded now and were not when the seed was set."""
    present = [name for name in ("numpy", "torch", "tensorflow") if name in sys.modules]
    return tuple(name for name in present if name not in set_in)


def read_seeds(seed: int | None, set_in: tuple[str, ...]) -> SeedsRecorded:
    """Random states and determinism settings as they are now. Never raises.

    Nothing is imported, started or changed by looking. What each thread has for itself is read
    here; the rest, where a library is loaded whose locks it may have to wait for, in a thread that
    is left behind when it takes too long.

    Args:
        seed: The seed that was set, or None.
        set_in: What `set_seeds` returned.
    """
    flags: dict[str, Any] = {name: os.environ.get(name) for name in _VARIABLES}
    flags["hash_randomization"] = bool(sys.flags.hash_randomization)
    flags |= thread_flags()
    may_wait = not USERS.isdisjoint(sys.modules)
    told, health = read_together(PARTS, limit_seconds=LIMIT_SECONDS if may_wait else None)
    flags["math_libraries"] = told["math_libraries"]
    flags |= _mapping(told["framework_flags"])
    states = _mapping(told["random_states"])
    return SeedsRecorded(seed=seed, set_in=set_in, states=states, flags=flags, health=health)


def read_settings() -> SeedsRecorded:
    """The settings of loaded libraries alone, read in this thread at once. Never raises.

    For the end of a program that had loaded none of them when its record began.
    """
    flags = framework_flags() | thread_flags()
    with suppress(Exception):  # the record of the start says why
        if libraries := math_libraries():
            flags["math_libraries"] = libraries
    return SeedsRecorded(seed=None, set_in=(), states={}, flags=flags)


def _mapping(told: Any) -> dict[str, Any]:
    return told if isinstance(told, dict) else {}


def _set_deterministic(torch: Any, *, on: bool) -> None:
    if on:
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", _CUBLAS)  # read when cuBLAS starts
    if torch is not None:
        torch.use_deterministic_algorithms(on)
        torch.backends.cudnn.deterministic = on
        if on:
            torch.backends.cudnn.benchmark = False
