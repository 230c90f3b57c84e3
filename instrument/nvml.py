"""One way to NVIDIA's management library, for whoever asks about GPUs. Never raises on absence."""

import contextlib
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final, NamedTuple

LIBRARY: Final = "libnvidia-ml.so.1"
_CACHE: Final = Path("/etc/ld.so.cache")
_DEFAULT_DIRECTORIES: Final = ("/lib", "/usr/lib", "/lib64", "/usr/lib64", "/usr/local/lib")


class NoGpuAccess(Exception):  # noqa: N818 - it is an answer, not an error
    """GPUs cannot be asked here; the message says why."""


class Device(NamedTuple):
    """A GPU, or a MIG instance of one.

    Attributes:
        name: NVML's index, ``0``; of a MIG instance ``0.mig.1``.
        uuid: ``GPU-…`` or ``MIG-…``; None where the driver does not say.
        handle: For questions to NVML.
    """

    name: str
    uuid: str | None
    handle: Any


class Nvml:
    """An open session with NVML (through nvidia-ml-py).

    Attributes:
        api: The module ``pynvml``.
        missing: Why a GPU that is there cannot be asked, by its index.
        doubt: Why `usable_devices` are more than this process may use; None where they are not.

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
        self.missing: dict[str, str] = {}
        self.doubt: str | None = None
        try:
            pynvml.nvmlInit()
        except pynvml.NVMLError as error:
            raise NoGpuAccess(f"NVML does not start: {error}") from error

    def devices(self) -> list[Device]:
        """All GPUs that can be asked, each followed by its MIG instances.

        Why another one cannot is in `missing`.
        """
        found = []
        for index in range(self.api.nvmlDeviceGetCount()):
            try:
                found += self._gpu(index)
            except self.api.NVMLError as error:  # such as a GPU that fell off the bus
                self.missing[str(index)] = str(error)
        return found

    def _gpu(self, index: int) -> list[Device]:
        handle = self.api.nvmlDeviceGetHandleByIndex(index)
        instances = [
            Device(f"{index}.mig.{number}", self._uuid(instance), instance)
            for number, instance in self._instances(handle)
        ]
        return [Device(str(index), self._uuid(handle), handle), *instances]

    def usable_devices(self) -> list[Device]:
        """The devices that CUDA may use in this process: see `usable`.

        All of them where an index may mean another GPU to CUDA than to NVML; `doubt` says so.
        """
        devices, visible = self.devices(), os.environ.get("CUDA_VISIBLE_DEVICES")
        by_index = any(entry.strip().isdigit() for entry in (visible or "").split(","))
        if by_index and os.environ.get("CUDA_DEVICE_ORDER") != "PCI_BUS_ID":
            gpus = [device for device in devices if "." not in device.name]
            if len({self._name(gpu) for gpu in gpus}) > 1:
                self.doubt = (
                    f"CUDA_VISIBLE_DEVICES={visible} may mean others of these unlike GPUs: all are "
                    "watched; set CUDA_DEVICE_ORDER=PCI_BUS_ID"
                )
                return devices
        return usable(devices, visible)

    def _name(self, gpu: Device) -> Any:
        """Its name; None, which is like no other, where it is lost."""
        try:
            return self.ask(self.api.nvmlDeviceGetName, gpu.handle)
        except self.api.NVMLError:
            return None

    def _uuid(self, handle: Any) -> str | None:
        value = self.ask(self.api.nvmlDeviceGetUUID, handle)
        return value.decode() if isinstance(value, bytes) else value

    def _instances(self, handle: Any) -> list[tuple[int, Any]]:
        """MIG instances by number; none where MIG is off or unknown."""
        api = self.api
        mode = self.ask(api.nvmlDeviceGetMigMode, handle)
        if not mode or not mode[0]:
            return []
        most = self.ask(api.nvmlDeviceGetMaxMigDeviceCount, handle) or 0
        found = []
        for number in range(most):
            with contextlib.suppress(api.NVMLError_NotFound):
                instance = self.ask(api.nvmlDeviceGetMigDeviceHandleByIndex, handle, number)
                if instance is not None:
                    found.append((number, instance))
        return found

    def ask(self, question: Callable[..., Any], *arguments: Any) -> Any:
        """The answer, or None where this process may not know it, or as `demand`.

        Raises:
            pynvml.NVMLError: Anything else, such as a lost GPU.
        """
        try:
            return self.demand(question, *arguments)
        except self.api.NVMLError_NoPermission:
            return None

    def demand(self, question: Callable[..., Any], *arguments: Any) -> Any:
        """The answer, or None where this device or driver does not support the question.

        Raises:
            pynvml.NVMLError: Anything else, such as a lost GPU or no permission.
        """
        api = self.api
        unknown = (api.NVMLError_NotSupported, api.NVMLError_FunctionNotFound)
        try:
            return question(*arguments)
        except (*unknown, getattr(api, "NVMLLibraryMismatchError", unknown[0])):
            return None

    def close(self) -> None:
        """End the session. Idempotent."""
        with contextlib.suppress(self.api.NVMLError):
            self.api.nvmlShutdown()


def usable(devices: list[Device], visible: str | None) -> list[Device]:
    """Which of `devices` CUDA may use, in its order, as CUDA reads CUDA_VISIBLE_DEVICES.

    Entries are indexes, UUIDs or beginnings of UUIDs; from the first one that names nothing on, all
    are passed over. A GPU stands for itself and its MIG instances; one instance for itself alone.
    CUDA numbers GPUs as NVML does where they are alike or CUDA_DEVICE_ORDER=PCI_BUS_ID.

    Args:
        devices: As `Nvml.devices` gives them.
        visible: The variable; None where it is not set.
    """
    if visible is None:
        return devices
    found: list[Device] = []
    for entry in visible.split(","):
        device = _named(devices, entry.strip())
        if device is None:
            break
        found += [one for one in devices if one == device or _is_part(one, device)]
    return list({device.name: device for device in found}.values())


def _named(devices: list[Device], entry: str) -> Device | None:
    if entry.isdigit():
        return next((device for device in devices if device.name == str(int(entry))), None)
    if not entry.startswith(("GPU-", "MIG-")):
        return None
    meant = [device for device in devices if device.uuid and device.uuid.startswith(entry)]
    return meant[0] if len(meant) == 1 else None


def _is_part(one: Device, gpu: Device) -> bool:
    return one.name.startswith(f"{gpu.name}.")


def _library_is_there() -> bool:
    """Whether the dynamic linker would find NVML: importing pynvml just to learn that is dear."""
    paths = os.environ.get("LD_LIBRARY_PATH", "").split(":")
    if any((Path(path) / LIBRARY).exists() for path in (*paths, *_DEFAULT_DIRECTORIES) if path):
        return True
    try:
        return LIBRARY.encode() in _CACHE.read_bytes()
    except OSError:
        return False
