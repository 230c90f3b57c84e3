"""One way to NVIDIA's management library, for whoever asks about GPUs. Never raises on absence."""

import contextlib
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

LIBRARY: Final = "libnvidia-ml.so.1"
_CACHE: Final = Path("/etc/ld.so.cache")
_DEFAULT_DIRECTORIES: Final = ("/lib", "/usr/lib", "/lib64", "/usr/lib64", "/usr/local/lib")


class NoGpuAccess(Exception):  # noqa: N818 - it is an answer, not an error
    """GPUs cannot be asked here; the message says why."""


class Nvml:
    """An open session with NVML (through nvidia-ml-py).

    Attributes:
        api: The module ``pynvml``.

    Raises:
        NoGpuAccess: There is no driver, no nvidia-ml-py, or NVML refuses.
    """

    def __init__(self) -> None:
        if not _library_is_there():
            raise NoGpuAccess(f"no NVIDIA driver: {LIBRARY} is not on this machine")
        try:
            import pynvml
        except ImportError:
            raise NoGpuAccess(
                "nvidia-ml-py is not installed; pip install 'instrument-ml[gpu]'"
            ) from None
        self.api: Any = pynvml
        try:
            pynvml.nvmlInit()
        except pynvml.NVMLError as error:
            raise NoGpuAccess(f"NVML does not start: {error}") from error

    def handles(self) -> list[Any]:
        """The devices, in NVML's order."""
        api = self.api
        return [api.nvmlDeviceGetHandleByIndex(i) for i in range(api.nvmlDeviceGetCount())]

    def ask(self, question: Callable[..., Any], *arguments: Any) -> Any:
        """The answer, or None where this device or driver does not support the question.

        Raises:
            pynvml.NVMLError: Anything else, such as a lost GPU.
        """
        api = self.api
        try:
            return question(*arguments)
        except (
            api.NVMLError_NotSupported,
            api.NVMLError_FunctionNotFound,
            api.NVMLError_NoPermission,
        ):
            return None

    def close(self) -> None:
        """End the session. Idempotent."""
        with contextlib.suppress(self.api.NVMLError):
            self.api.nvmlShutdown()


def _library_is_there() -> bool:
    """Whether the dynamic linker would find NVML: importing pynvml just to learn that is dear."""
    paths = os.environ.get("LD_LIBRARY_PATH", "").split(":")
    if any((Path(path) / LIBRARY).exists() for path in (*paths, *_DEFAULT_DIRECTORIES) if path):
        return True
    try:
        return LIBRARY.encode() in _CACHE.read_bytes()
    except OSError:
        return False
