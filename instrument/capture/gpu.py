"""GPUs as NVIDIA's driver sees them, without starting CUDA."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from typing import Any, Final

from instrument.capture.parts import NotKnown
from instrument.guard import one_line
from instrument.nvml import Device, NoGpuAccess, Nvml

_IDS: Final = ("uuid", "pci_bus_id")


def names() -> dict[str, Any]:
    """Name of each GPU of this machine.

    A GPU that cannot be asked has a ``reason``.
    """
    with _session() as nvml:
        gpus = [device for device in nvml.devices() if "." not in device.name]
        told = [*(_told(nvml, gpu, _named) for gpu in gpus), *_missing(nvml)]
        return {"devices": _alike(told)}


def devices() -> dict[str, Any]:
    """Driver, and each GPU of this machine: memory, capability, MIG, ECC, clocks and power limit.

    A GPU that cannot be asked has a ``reason``.
    """
    told = _ask()
    alike = _alike(told["devices"])
    return {"driver": told["driver"], "driver_cuda": told["driver_cuda"], "devices": alike}


def ids() -> dict[str, Any]:
    """Which GPUs these are, and which of them CUDA_VISIBLE_DEVICES leaves to this process.

    ``visible`` lists UUIDs in the order of CUDA_VISIBLE_DEVICES. It is None where an index may mean
    another GPU to CUDA than to NVML.
    """
    told = _ask()
    return {
        "devices": [{key: device.get(key) for key in _IDS} for device in told["devices"]],
        "visible": None if told["doubt"] else [device.uuid for device in told["usable"]],
        "reasons": {"visible": told["doubt"]} if told["doubt"] else {},
    }


def usable_memory_bytes() -> list[int]:
    """Memory of each GPU and MIG instance that CUDA may use in this process, where it is known.

    Where the order of unlike GPUs is not known, all GPUs count.
    """
    told = _ask()
    names = {device.name for device in told["usable"]}
    return [
        device["memory_total_bytes"]
        for device in told["devices"]
        if device["index"] in names and device.get("memory_total_bytes") and not device["mig"]
    ]


@cache
def _ask() -> dict[str, Any]:
    """One session answers everything: starting NVML takes longer than all questions."""
    with _session() as nvml:
        api = nvml.api
        version = nvml.ask(api.nvmlSystemGetCudaDriverVersion_v2)
        found = nvml.devices()
        return {
            "driver": _text(nvml.ask(api.nvmlSystemGetDriverVersion)),
            "driver_cuda": f"{version // 1000}.{version % 1000 // 10}" if version else None,
            "devices": [*(_told(nvml, device, _facts) for device in found), *_missing(nvml)],
            "usable": nvml.usable_devices(),
            "doubt": nvml.doubt,
        }


def _alike(devices: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """`devices` without what tells one of several equal ones from another."""
    return [{key: value for key, value in one.items() if key not in _IDS} for one in devices]


def _missing(nvml: Nvml) -> list[dict[str, Any]]:
    return [{"index": index, "reason": why} for index, why in nvml.missing.items()]


def _told(
    nvml: Nvml, device: Device, facts: Callable[[Nvml, Device], dict[str, Any]]
) -> dict[str, Any]:
    try:
        return facts(nvml, device)
    except (nvml.api.NVMLError, ValueError) as error:  # such as a GPU that fell off the bus
        return {"index": device.name, "uuid": device.uuid, "reason": one_line(error)}


def _named(nvml: Nvml, gpu: Device) -> dict[str, Any]:
    return {"index": gpu.name, "name": _text(nvml.ask(nvml.api.nvmlDeviceGetName, gpu.handle))}


def _facts(nvml: Nvml, device: Device) -> dict[str, Any]:
    api, handle = nvml.api, device.handle

    def ask(question: str, *arguments: Any) -> Any:
        return nvml.ask(getattr(api, question), handle, *arguments)

    memory = ask("nvmlDeviceGetMemoryInfo")
    capability = ask("nvmlDeviceGetCudaComputeCapability")
    limit = ask("nvmlDeviceGetPowerManagementLimit")
    place = ask("nvmlDeviceGetPciInfo_v3")
    return {
        "index": device.name,
        "uuid": device.uuid,
        "pci_bus_id": _text(place.busId) if place else None,
        "name": _text(ask("nvmlDeviceGetName")),
        "memory_total_bytes": memory.total if memory else None,
        "compute_capability": ".".join(map(str, capability)) if capability else None,
        "mig": _switch(ask("nvmlDeviceGetMigMode")),  # of a GPU: CUDA uses its instances only
        "ecc": _switch(ask("nvmlDeviceGetEccMode")),
        "max_sm_clock_mhz": ask("nvmlDeviceGetMaxClockInfo", api.NVML_CLOCK_SM),
        "max_memory_clock_mhz": ask("nvmlDeviceGetMaxClockInfo", api.NVML_CLOCK_MEM),
        "power_limit_watts": limit / 1000 if limit is not None else None,
        "vbios": _text(ask("nvmlDeviceGetVbiosVersion")),
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


def _switch(modes: Any) -> bool | None:
    """Whether it is on now; the second value is what the next start will bring."""
    return bool(modes[0]) if modes else None


def _text(value: Any) -> Any:
    """Older releases of nvidia-ml-py answer in bytes."""
    return value.decode(errors="replace") if isinstance(value, bytes) else value
