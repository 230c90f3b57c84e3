"""CUDA as it is installed, read from files: torch need not be loaded.

Asking a loaded torch would make the snapshot depend on the moment: it is taken in the background,
while the user's imports go on.
"""

import os
import re
import sys
from pathlib import Path
from typing import Any, Final

import msgspec

from instrument.capture.packages import all_packages
from instrument.capture.parts import NotKnown, explained

_CONSTANT = re.compile(r"^(\w+)[^=\n]*=\s*(?:None|['\"]([^'\"\n]*)['\"])\s*$", re.MULTILINE)
_PACKAGES: Final = {
    "runtime": "nvidia-cuda-runtime",
    "cudnn": "nvidia-cudnn",
    "nccl": "nvidia-nccl",
    "cublas": "nvidia-cublas",
}


def versions() -> dict[str, Any]:
    """CUDA of the installed torch, its libraries, and the toolkit; None where there is none.

    cuDNN, NCCL and the others are known where they came as packages of their own, as they do with
    torch's and JAX's wheels.
    """
    build = torch_build() or {}
    packages = all_packages()
    libraries = {name: _starting_with(packages, start) for name, start in _PACKAGES.items()}
    toolkit = _toolkit()
    if not build and toolkit is None and not any(libraries.values()):
        raise NotKnown("neither torch nor CUDA is installed")
    torch = "torch was built without it" if build else "torch is not installed"
    return explained(
        {"cuda": build.get("cuda"), "hip": build.get("hip"), **libraries, "toolkit": toolkit},
        "it did not come as a package; it may be part of torch or of the system",
        cuda=torch,
        hip=torch,
        toolkit="there is none where CUDA_HOME points, or in /usr/local/cuda",
    )


def torch_build() -> dict[str, str | None] | None:
    """The constants in ``torch/version.py``, written when torch was built; None without torch."""
    for entry in sys.path:
        try:
            source = (Path(entry) / "torch" / "version.py").read_text()
        except (OSError, ValueError):
            continue
        return {match[1]: match[2] for match in _CONSTANT.finditer(source)}
    return None


def _starting_with(packages: dict[str, str | None], start: str) -> str | None:
    """Version of ``nvidia-nccl-cu12`` and its like; the name ends with CUDA's version."""
    return next(
        (v for name, v in packages.items() if name == start or name.startswith(start + "-cu")), None
    )


def _toolkit() -> str | None:
    """Version of the toolkit where CUDA_HOME points, or in its usual place."""
    home = os.environ.get("CUDA_HOME") or os.environ.get("CUDA_PATH") or "/usr/local/cuda"
    try:
        told = msgspec.json.decode((Path(home) / "version.json").read_bytes())
        return str(told["cuda"]["version"])
    except (OSError, msgspec.MsgspecError, KeyError, TypeError):
        return None
