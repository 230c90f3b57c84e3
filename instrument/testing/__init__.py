"""For people who write backends and interceptors, and for our own tests.

`StoreContract` and `MirrorContract` are test classes to inherit; `MemoryBackend` is a perfect store
in memory; `FakeClock` is a clock that stands still until it is told.
"""

from instrument.testing.clock import FakeClock
from instrument.testing.contracts import MirrorContract, StoreContract
from instrument.testing.memory import MemoryBackend

__all__ = ["FakeClock", "MemoryBackend", "MirrorContract", "StoreContract"]
