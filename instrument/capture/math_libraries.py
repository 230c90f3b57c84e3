"""The BLAS and OpenMP libraries in this process: their order of summation decides last digits."""

import re
import sys
from functools import lru_cache
from typing import Any, Final

from instrument.redaction import printable

USERS: Final = frozenset(["jaxlib", "mkl", "numpy", "scipy", "sklearn", "tensorflow", "torch"])
"""Who brings them."""
_KINDS: Final = (
    ("openblas", re.compile(r"^lib(scipy_)?openblas")),
    ("mkl", re.compile(r"^libmkl_(rt|core|intel_thread|gnu_thread)")),
    ("blis", re.compile(r"^libblis")),
    ("flexiblas", re.compile(r"^libflexiblas")),
    ("accelerate", re.compile(r"^libBLAS\.dylib")),
    ("reference", re.compile(r"^lib(c?blas|atlas)\.so")),
    ("cublas", re.compile(r"^libcublas(Lt)?\.so")),
    ("openmp", re.compile(r"^lib(gomp|iomp5|omp)\b")),
)


def math_libraries() -> list[dict[str, Any]]:
    """Kind and file of each one that is loaded.

    Where threadpoolctl is loaded it tells the version and the processor that OpenBLAS or MKL has
    chosen its code for. It is never imported for that.

    Raises:
        NotKnown: The system does not tell what is loaded.
    """
    users = USERS & sys.modules.keys()
    if not users:
        return []
    return _loaded(frozenset(users), hasattr(sys.modules.get("threadpoolctl"), "threadpool_info"))


@lru_cache(maxsize=1)
def _loaded(_users: frozenset[str], ask_threadpoolctl: bool) -> list[dict[str, Any]]:
    """Looked up again only when another of those that bring such libraries was imported."""
    from instrument.capture.libraries import mapped_libraries

    paths = mapped_libraries()
    more = _from_threadpoolctl() if ask_threadpoolctl else {}
    names = {path: path.rpartition("/")[2] for path in paths}
    return [
        {"kind": kind, "file": printable(name), **more.get(path, {})}
        for path, name in names.items()
        for kind, pattern in _KINDS
        if pattern.match(name)
    ]


def _from_threadpoolctl() -> dict[str, dict[str, Any]]:
    """What threadpoolctl knows, by path."""
    keys = ("version", "architecture", "threading_layer")
    try:
        told = sys.modules["threadpoolctl"].threadpool_info()
        return {
            each["filepath"]: {key: each[key] for key in keys if each.get(key)} for each in told
        }
    except Exception:  # it asks the libraries themselves
        return {}
