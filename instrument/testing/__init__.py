"""For people who write backends and interceptors, and for our own tests.

`StoreContract`, `MirrorContract` and `InterceptorContract` are test classes to inherit (they need
pytest); `MemoryBackend` is a perfect store in memory; `FakeClock` is a clock that stands still
until it is told.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from instrument.testing.clock import FakeClock as FakeClock
    from instrument.testing.contracts import (
        MirrorContract as MirrorContract,
        StoreContract as StoreContract,
    )
    from instrument.testing.interceptor_contract import (
        InterceptorContract as InterceptorContract,
    )
    from instrument.testing.memory import MemoryBackend as MemoryBackend

_HOME = {
    "FakeClock": "instrument.testing.clock",
    "InterceptorContract": "instrument.testing.interceptor_contract",
    "MemoryBackend": "instrument.testing.memory",
    "MirrorContract": "instrument.testing.contracts",
    "StoreContract": "instrument.testing.contracts",
}

__all__ = sorted(_HOME)  # noqa: PLE0605 - one list, kept in `_HOME`


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'instrument.testing' has no attribute {name!r}")
    return getattr(import_module(_HOME[name]), name)
