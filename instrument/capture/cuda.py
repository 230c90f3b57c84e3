"""The CUDA that torch was built with, read from its files: torch need not be loaded.

Asking a loaded torch would make the snapshot depend on the moment: it is taken in the background,
while the user's imports go on.
"""

import re
import sys
from pathlib import Path
from typing import Any

from instrument.capture.packages import all_packages
from instrument.capture.parts import NotKnown

_CONSTANT = re.compile(r"^(\w+)[^=\n]*=\s*(?:None|['\"]([^'\"\n]*)['\"])\s*$", re.MULTILINE)


def versions() -> dict[str, Any]:
    """CUDA and cuDNN of the installed torch; None for a build without CUDA.

    cuDNN is known where it came as a package of its own, as it does with torch's wheels.
    """
    build = torch_build()
    if build is None:
        raise NotKnown("torch is not installed")
    packages = all_packages()
    cudnn = next((v for name, v in packages.items() if name.startswith("nvidia-cudnn")), None)
    return {"cuda": build.get("cuda"), "hip": build.get("hip"), "cudnn": cudnn}


def torch_build() -> dict[str, str | None] | None:
    """The constants in ``torch/version.py``, written when torch was built; None without torch."""
    for entry in sys.path:
        try:
            source = (Path(entry) / "torch" / "version.py").read_text()
        except (OSError, ValueError):
            continue
        return {match[1]: match[2] for match in _CONSTANT.finditer(source)}
    return None
