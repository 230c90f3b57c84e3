"""The interpreter."""

import sys
from typing import Any


def interpreter() -> dict[str, Any]:
    """Version, build and what else of the interpreter decides how code runs."""
    return {
        "version": ".".join(map(str, sys.version_info[:3])),
        "release": sys.version_info.releaselevel,
        "implementation": sys.implementation.name,
        "build": " ".join(sys.version.split()),
        "cache_tag": sys.implementation.cache_tag,
        "pointer_bits": 64 if sys.maxsize > 2**32 else 32,
        "free_threaded": not getattr(sys, "_is_gil_enabled", lambda: True)(),
        "in_virtual_environment": sys.prefix != sys.base_prefix,
        "optimize": sys.flags.optimize,
        "hash_randomization": bool(sys.flags.hash_randomization),
    }
