"""Seeds: set when asked, in what is loaded; random states and settings: read without a trace."""

import hashlib
import os
import random
import sys
from collections.abc import Callable
from typing import Any, Final

from instrument.errors import UsageError
from instrument.records import SeedsRecorded

MAX_SEED: Final = 2**32 - 1
"""numpy takes no larger one."""
_CUBLAS: Final = ":4096:8"
_VARIABLES: Final = (
    "PYTHONHASHSEED", "CUBLAS_WORKSPACE_CONFIG", "OMP_NUM_THREADS", "MKL_NUM_THREADS",
    "OPENBLAS_NUM_THREADS", "NCCL_ALGO", "TF_DETERMINISTIC_OPS",
)  # fmt: skip


def set_seeds(seed: int, *, deterministic: bool | None = None) -> tuple[str, ...]:
    """Seed Python, numpy and torch (CPU and CUDA), as far as they are loaded.

    Args:
        seed: From 0 to `MAX_SEED`.
        deterministic: Also ask torch for deterministic algorithms (True) or for fast ones (False);
            None leaves its settings alone.

    Returns:
        Where the seed was set: a library that is imported later is not among them.

    Raises:
        UsageError: `seed` is not usable.
    """
    if isinstance(seed, bool) or not isinstance(seed, int) or not 0 <= seed <= MAX_SEED:
        raise UsageError(f"seed {seed!r:.80} is not usable; use a whole number up to {MAX_SEED}")
    random.seed(seed)
    set_in = ["random"]
    numpy: Any = sys.modules.get("numpy")
    if hasattr(numpy, "random"):  # numpy loads it when it is first asked for
        numpy.random.seed(seed)
        set_in.append("numpy")
    torch = _loaded_torch()
    if torch is not None:
        torch.manual_seed(seed)  # CUDA's generators too; where CUDA has not started, when it does
        set_in += ["torch", "torch.cuda"] if torch.version.cuda else ["torch"]
    if deterministic is not None:
        _set_deterministic(torch, on=deterministic)
    return tuple(set_in)


def unseeded(set_in: tuple[str, ...]) -> tuple[str, ...]:
    """Libraries with random state that are loaded now and were not when the seed was set."""
    loaded = [name for name in ("numpy", "torch") if name in sys.modules]
    return tuple(name for name in loaded if name not in set_in)


def read_seeds(seed: int | None, set_in: tuple[str, ...]) -> SeedsRecorded:
    """Random states and determinism settings as they are now.

    Nothing is imported, started or changed by looking.

    Args:
        seed: The seed that was set, or None.
        set_in: What `set_seeds` returned.
    """
    torch = _loaded_torch()
    flags: dict[str, Any] = {name: os.environ.get(name) for name in _VARIABLES}
    flags["hash_randomization"] = bool(sys.flags.hash_randomization)
    if torch is not None:
        flags |= {f"torch.{name}": _try(read, torch) for name, read in _TORCH_FLAGS.items()}
    return SeedsRecorded(seed=seed, set_in=set_in, states=_states(torch), flags=flags)


def _states(torch: Any) -> dict[str, str]:
    """Digest of each random state that exists."""
    states = {"random": _digest(repr(random.getstate()).encode())}
    numpy_random: Any = sys.modules.get("numpy.random")
    if hasattr(numpy_random, "get_state"):
        name, keys, *rest = numpy_random.get_state()
        states["numpy"] = _digest(name.encode() + keys.tobytes() + repr(rest).encode())
    if torch is not None:
        states["torch"] = _digest(bytes(torch.get_rng_state().tolist()))
        if torch.cuda.is_initialized():
            for index, state in enumerate(torch.cuda.get_rng_state_all()):
                states[f"torch.cuda.{index}"] = _digest(bytes(state.tolist()))
    return states


def _set_deterministic(torch: Any, *, on: bool) -> None:
    if on:
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", _CUBLAS)  # read when cuBLAS starts
    if torch is not None:
        torch.use_deterministic_algorithms(on)
        torch.backends.cudnn.deterministic = on
        if on:
            torch.backends.cudnn.benchmark = False


def _loaded_torch() -> Any:
    """torch, when it is loaded to its end; None while another thread still imports it."""
    torch = sys.modules.get("torch")
    return torch if all(hasattr(torch, name) for name in _TORCH_NEEDED) else None


def _try(read: Callable[[Any], Any], torch: Any) -> Any:
    """The value, or None where this torch does not tell it."""
    try:
        return read(torch)
    except Exception:
        return None


def _digest(state: bytes) -> str:
    return f"sha256:{hashlib.sha256(state).hexdigest()}"


_TORCH_NEEDED: Final = ("manual_seed", "get_rng_state", "cuda", "backends", "version")
_TORCH_FLAGS: Final[dict[str, Callable[[Any], Any]]] = {
    "deterministic_algorithms": lambda torch: torch.are_deterministic_algorithms_enabled(),
    "cudnn.deterministic": lambda torch: torch.backends.cudnn.deterministic,
    "cudnn.benchmark": lambda torch: torch.backends.cudnn.benchmark,
    "cudnn.allow_tf32": lambda torch: torch.backends.cudnn.allow_tf32,
    "cuda.matmul.allow_tf32": lambda torch: torch.backends.cuda.matmul.allow_tf32,
    "float32_matmul_precision": lambda torch: torch.get_float32_matmul_precision(),
    "num_threads": lambda torch: torch.get_num_threads(),
}
