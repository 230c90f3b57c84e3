"""GPUs as NVIDIA's driver sees them, without starting CUDA."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from typing import Any, Final

from instrument.capture.parts import NotKnown
from instrument.guard import one_line
from instrument.nvml import Device, NoGpuAccess, Nvml, usable

_IDS: Final = ("uuid", "pci_bus_id")


def names() -> list[str]:
    """Name of each GPU of this machine."""
    with _session() as nvml:
        return [_text(nvml.api.nvmlDeviceGetName(handle)) for handle in nvml.handles()]


def devices() -> dict[str, Any]:
    """Driver, and each GPU of this machine: memory, capability, MIG, ECC, clocks and power limit.

    A GPU that cannot be asked has a ``reason``.
    """
    told = _ask()
    alike = [
        {key: value for key, value in device.items() if key not in _IDS}
        for device in told["devices"]
    ]
    return {"driver": told["driver"], "driver_cuda": told["driver_cuda"], "devices": alike}


def ids() -> dict[str, Any]:
    """Which GPUs these are, and which of them CUDA_VISIBLE_DEVICES leaves to this process.

    ``visible`` lists UUIDs in CUDA's order; it is None where the order cannot be known.
    """
    told = _ask()
    unordered = _order_is_unknown(told["devices"])
    mine = None if unordered else [device.uuid for device in _usable(told["found"])]
    return {
        "devices": [{key: device.get(key) for key in _IDS} for device in told["devices"]],
        "visible": mine,
        "reasons": {"visible": unordered} if unordered else {},
    }


def usable_memory_bytes() -> list[int]:
    """Memory of each GPU and MIG instance that CUDA may use in this process, where it is known.

    Where the order of unlike GPUs is not known, all GPUs count.
    """
    told = _ask()
    everything = told["found"]
    mine = everything if _order_is_unknown(told["devices"]) else _usable(everything)
    names = {device.name for device in mine}
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
            "devices": [_device(nvml, device) for device in found],
            "found": found,
        }


def _usable(found: list[Device]) -> list[Device]:
    return usable(found, os.environ.get("CUDA_VISIBLE_DEVICES"))


def _device(nvml: Nvml, device: Device) -> dict[str, Any]:
    try:
        return _facts(nvml, device)
    except nvml.api.NVMLError as error:  # such as a GPU that has fallen off the bus
        return {"index": device.name, "uuid": device.uuid, "reason": one_line(error)}


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


def _order_is_unknown(found: list[dict[str, Any]]) -> str | None:
    """Why an index of CUDA may be another one of NVML; None where they are the same."""
    if os.environ.get("CUDA_DEVICE_ORDER") == "PCI_BUS_ID":
        return None
    if len({device.get("name") for device in found if "." not in device["index"]}) <= 1:
        return None
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    if visible is not None and not any(each.strip().isdigit() for each in visible.split(",")):
        return None
    return "CUDA numbers unlike GPUs by their speed; with CUDA_DEVICE_ORDER=PCI_BUS_ID it is known"


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
