"""Settings of loaded libraries that decide whether, and to which digit, a result repeats.

Each one is looked up in a library that is already imported. Nothing is imported, started or
changed, and a setting that this version of the library does not have is None.

Some are settings of the thread that asks.
"""

import sys
from collections.abc import Callable, Iterator
from typing import Any, Final

Flag = Callable[[Any], Any]

_TORCH: Final[dict[str, Flag]] = {
    "deterministic_algorithms": lambda torch: torch.are_deterministic_algorithms_enabled(),
    "deterministic_warn_only": lambda torch: torch.is_deterministic_algorithms_warn_only_enabled(),
    "fill_uninitialized_memory": lambda torch: torch.utils.deterministic.fill_uninitialized_memory,
    "cudnn.enabled": lambda torch: torch.backends.cudnn.enabled,
    "cudnn.deterministic": lambda torch: torch.backends.cudnn.deterministic,
    "cudnn.benchmark": lambda torch: torch.backends.cudnn.benchmark,
    "cudnn.allow_tf32": lambda torch: torch.backends.cudnn.allow_tf32,
    "cuda.matmul.allow_tf32": lambda torch: torch.backends.cuda.matmul.allow_tf32,
    "cuda.matmul.allow_fp16_reduced_precision_reduction": lambda torch: (
        torch.backends.cuda.matmul.allow_fp16_reduced_precision_reduction
    ),
    "cuda.matmul.allow_bf16_reduced_precision_reduction": lambda torch: (
        torch.backends.cuda.matmul.allow_bf16_reduced_precision_reduction
    ),
    "cuda.flash_attention": lambda torch: torch.backends.cuda.flash_sdp_enabled(),
    "cuda.memory_efficient_attention": lambda torch: (
        torch.backends.cuda.mem_efficient_sdp_enabled()
    ),
    "mkldnn.enabled": lambda torch: torch.backends.mkldnn.enabled,
    "mkldnn.deterministic": lambda torch: torch.backends.mkldnn.deterministic,
    "float32_matmul_precision": lambda torch: torch.get_float32_matmul_precision(),
    "default_dtype": lambda torch: str(torch.get_default_dtype()),
    "num_interop_threads": lambda torch: torch.get_num_interop_threads(),
    "initial_seed": lambda torch: torch.initial_seed(),  # the last that was set, by whomever
}
_TORCH_OF_THREAD: Final[dict[str, Flag]] = {
    "autocast.cpu": lambda torch: _autocast(torch, "cpu"),
    "autocast.cuda": lambda torch: _autocast(torch, "cuda"),
    "num_threads": lambda torch: torch.get_num_threads(),
}
_JAX_OF_THREAD: Final[dict[str, Flag]] = {
    "enable_x64": lambda jax: jax.config.jax_enable_x64,
    "default_matmul_precision": lambda jax: jax.config.jax_default_matmul_precision,
    "default_prng_impl": lambda jax: jax.config.jax_default_prng_impl,
    "threefry_partitionable": lambda jax: jax.config.jax_threefry_partitionable,
}
_TENSORFLOW: Final[dict[str, Flag]] = {
    "op_determinism": lambda _: sys.modules[
        "tensorflow.python.framework.config"
    ].is_op_determinism_enabled(),
    "tensor_float_32": lambda tf: tf.config.experimental.tensor_float_32_execution_enabled(),
    "inter_op_threads": lambda tf: tf.config.threading.get_inter_op_parallelism_threads(),
    "intra_op_threads": lambda tf: tf.config.threading.get_intra_op_parallelism_threads(),
}
_NEEDED: Final[dict[str, tuple[str, ...]]] = {
    "torch": ("manual_seed", "get_rng_state", "cuda", "backends", "version"),
    "jax": ("config", "random", "numpy"),
    "tensorflow": ("random", "config", "keras"),
}


def loaded(name: str) -> Any:
    """The library, when it is loaded to its end; None while another thread still imports it."""
    module = sys.modules.get(name)
    names = getattr(module, "__dict__", {})
    if getattr(names.get("__spec__"), "_initializing", False):  # to ask it would wait for its lock
        return None
    return module if all(needed in names for needed in _NEEDED[name]) else None


def framework_flags() -> dict[str, Any]:
    """The settings of all libraries that are loaded, by dotted name."""
    return dict(_flags({"torch": _TORCH, "tensorflow": _TENSORFLOW}))


def thread_flags() -> dict[str, Any]:
    """The settings of loaded libraries that each thread has for itself, as this one has them."""
    return dict(_flags({"torch": _TORCH_OF_THREAD, "jax": _JAX_OF_THREAD}))


def _flags(tables: dict[str, dict[str, Flag]]) -> Iterator[tuple[str, Any]]:
    for name, flags in tables.items():
        library = loaded(name)
        if library is not None:
            yield from ((f"{name}.{flag}", _try(read, library)) for flag, read in flags.items())


def _autocast(torch: Any, device: str) -> str | None:
    """The type that autocast computes in, such as ``torch.bfloat16``; ``off`` where it is off."""
    return str(torch.get_autocast_dtype(device)) if torch.is_autocast_enabled(device) else "off"


def _try(read: Flag, library: Any) -> Any:
    """The value, or None where this version does not tell it."""
    try:
        return read(library)
    except Exception:
        return None
