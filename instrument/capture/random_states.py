"""Digests of the random states in this process. Looking leaves no trace.

JAX has no state of its own: its keys are values of the user's program.
"""

import hashlib
import random
import sys
from collections.abc import Iterator
from typing import Any

from instrument.capture.framework_flags import loaded


def random_states() -> dict[str, str]:
    """Digest of each random state that exists, by library."""
    return dict(_states())


def _states() -> Iterator[tuple[str, str]]:
    yield "random", _digest(repr(random.getstate()).encode())
    numpy_random: Any = sys.modules.get("numpy.random")
    if hasattr(numpy_random, "get_state"):
        yield "numpy", _digest(_numpy_state(numpy_random))
    torch = loaded("torch")
    if torch is not None:
        yield "torch", _digest(bytes(torch.get_rng_state().tolist()))
        if torch.cuda.is_initialized():
            for index, state in enumerate(torch.cuda.get_rng_state_all()):
                yield f"torch.cuda.{index}", _digest(bytes(state.tolist()))
    tensorflow = _tensorflow_state()
    if tensorflow is not None:
        yield "tensorflow", _digest(tensorflow)


def _numpy_state(numpy_random: Any) -> bytes:
    """The state of numpy's global generator, of whatever kind it is."""
    told = numpy_random.get_state(legacy=False)
    arrays = (
        value.tobytes() if hasattr(value, "tobytes") else repr(value).encode()
        for _, value in sorted(told.pop("state").items())
    )
    return repr(sorted(told.items())).encode() + b"".join(arrays)


def _tensorflow_state() -> bytes | None:
    """The global seed and the generator of seeds of operations; None before TensorFlow has any."""
    module: Any = sys.modules.get("tensorflow.python.eager.context")
    context = getattr(module, "_context", None)  # asking for it in another way would make one
    if context is None:
        return None
    rng = getattr(context, "_rng", None)
    return repr((getattr(context, "_seed", None), rng and rng.getstate())).encode()


def _digest(state: bytes) -> str:
    return f"sha256:{hashlib.sha256(state).hexdigest()}"
