"""GPUs as NVIDIA's driver sees them, without starting CUDA."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from instrument.capture.parts import NotKnown
from instrument.nvml import NoGpuAccess, Nvml


def names() -> list[str]:
    """Name of each GPU of this machine."""
    with _session() as nvml:
        return [_text(nvml.api.nvmlDeviceGetName(handle)) for handle in nvml.handles()]


def devices() -> dict[str, Any]:
    """Driver, and each GPU of this machine with its memory and compute capability."""
    with _session() as nvml:
        api = nvml.api
        version = nvml.ask(api.nvmlSystemGetCudaDriverVersion_v2)
        return {
            "driver": _text(nvml.ask(api.nvmlSystemGetDriverVersion)),
            "driver_cuda": f"{version // 1000}.{version % 1000 // 10}" if version else None,
            "devices": [_device(nvml, handle) for handle in nvml.handles()],
        }


def _device(nvml: Nvml, handle: Any) -> dict[str, Any]:
    api = nvml.api
    memory = nvml.ask(api.nvmlDeviceGetMemoryInfo, handle)
    capability = nvml.ask(api.nvmlDeviceGetCudaComputeCapability, handle)
    mig = nvml.ask(api.nvmlDeviceGetMigMode, handle)
    return {
        "name": _text(api.nvmlDeviceGetName(handle)),
        "memory_total_bytes": memory.total if memory else None,
        "compute_capability": ".".join(map(str, capability)) if capability else None,
        "mig": bool(mig[0]) if mig else None,
    }


@contextmanager
def _session() -> Iterator[Nvml]:
    try:
        nvml = Nvml()
    except NoGpuAccess as reason:
        raise NotKnown(str(reason)) from reason
    try:
        yield nvml
    finally:
        nvml.close()


def _text(value: Any) -> Any:
    """Older releases of nvidia-ml-py answer in bytes."""
    return value.decode(errors="replace") if isinstance(value, bytes) else value
