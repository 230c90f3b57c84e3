"""Environment variables that change how machine learning runs: an allow-list, secrets removed."""

import os
from typing import Any, Final

from instrument.redaction import is_secret_name, printable, redact_text

_PREFIXES: Final = (
    "ACCELERATE_", "BLIS_", "CUBLAS_", "CUDA_", "CUDNN_", "DEEPSPEED_", "FSDP_", "GOMP_", "HF_",
    "HIP_", "HSA_", "JAX_", "KMP_", "LC_", "MIOPEN_", "MKL_", "NCCL_", "NUMEXPR_", "NVIDIA_",
    "OMP_", "OPENBLAS_", "PYTHON", "PYTORCH_", "ROCR_", "TF_", "TOKENIZERS_", "TORCH",
    "TRANSFORMERS_", "TRITON_", "UCX_", "VECLIB_", "XLA_",
)  # fmt: skip
_NAMES: Final = frozenset(
    ["LANG", "LD_LIBRARY_PATH", "LD_PRELOAD", "MALLOC_ARENA_MAX", "TZ", "VIRTUAL_ENV"]
)
_CHANGING: Final = ("TORCHELASTIC_",)  # differ from run to run: they stand in process_started


def variables() -> dict[str, Any]:
    """Values of the variables on the allow-list, and the names whose values were held back."""
    values: dict[str, str] = {}
    redacted: list[str] = []
    for name, value in sorted(os.environ.items()):
        if is_secret_name(name):
            redacted.append(printable(name))
        elif _is_allowed(name):
            values[printable(name)] = redact_text(printable(value))
    return {"values": values, "redacted": redacted}


def _is_allowed(name: str) -> bool:
    return (name in _NAMES or name.startswith(_PREFIXES)) and not name.startswith(_CHANGING)
