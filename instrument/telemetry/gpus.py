"""NVIDIA's GPUs, through their management library: it does not start CUDA in this process."""

import os
from collections.abc import Callable, Collection, Iterator
from typing import Any, Final, NamedTuple

from instrument.nvml import Device, NoGpuAccess, Nvml
from instrument.telemetry.probes import Probe, ProbeUnavailable, Rate

SELDOM: Final = 10
"""Samples between two questions that take long or whose answers hardly change."""
_KIB: Final = 1024
_ALL_LINKS: Final = 0xFFFFFFFF
_POWER_REASONS: Final = 0x04 | 0x80  # nvmlClocksEventReasons: power cap, power brake
_HEAT_REASONS: Final = 0x20 | 0x40  # thermal slowdown, by software and by hardware


class _Question(NamedTuple):
    """One thing to ask a device.

    Attributes:
        what: What it is about.
        ask: Asks it.
        readings: Turns the answer into readings, by the last part of their names.
        every: Samples from one time to the next.
    """

    what: str
    ask: Callable[[Any], Any]
    readings: Callable[[Any], dict[str, float]]
    every: int = 1


def gpu_probes(
    pids: Callable[[], Collection[int]], note: Callable[[str], object]
) -> dict[str, Probe]:
    """A probe for each GPU or MIG instance that this process may use: one may fail by itself.

    Args:
        pids: Which processes are ours.
        note: Is told what cannot be asked, and why.

    Raises:
        ProbeUnavailable: There are none, or they cannot be asked.
    """
    try:
        nvml = Nvml()
    except NoGpuAccess as reason:
        raise ProbeUnavailable(str(reason)) from reason
    try:
        devices = nvml.usable_devices()
        if nvml.doubt is not None:
            note(nvml.doubt)
        for name, why in nvml.missing.items():
            note(f"gpu.{name} cannot be asked: {why}")
        return {f"gpu.{device.name}": GpuProbe(Nvml(), device, pids, note) for device in devices}
    finally:
        nvml.close()


class GpuProbe:
    """All that one device tells; what it does not support is left out.

    Args:
        nvml: A session of its own.
        device: The device.
        pids: Which processes are ours.
        note: Is told what this process may not ask.
    """

    def __init__(
        self,
        nvml: Nvml,
        device: Device,
        pids: Callable[[], Collection[int]],
        note: Callable[[str], object],
    ) -> None:
        self._nvml = nvml
        self._note = note
        self._device = device
        self._questions = [_memory(nvml.api), _memory_of(nvml.api, pids)]
        self._counters: _Counters | None = None
        if ".mig." not in device.name:  # the rest is known of whole GPUs only
            self._questions += _questions(nvml.api)
            self._counters = _Counters(nvml, device.handle)
        self._samples = 0
        self._seldom: dict[str, float] = {}

    def read(self, seconds: float) -> dict[str, float]:
        """See `instrument.telemetry.probes.Probe`."""
        readings: dict[str, float] = {}
        for question in list(self._questions):
            if self._samples % question.every:
                continue
            answer = self._answer(question)
            if answer is None:
                self._questions.remove(question)
                continue
            if question.every == 1:
                readings |= question.readings(answer)
            else:
                self._seldom |= question.readings(answer)
        self._samples += 1
        readings |= self._seldom
        if self._counters is not None:
            readings |= self._counters.read(seconds)
        return {f"gpu.{self._device.name}.{name}": value for name, value in readings.items()}

    def close(self) -> None:
        """See `instrument.telemetry.probes.Probe`."""
        self._nvml.close()

    def _answer(self, question: _Question) -> Any:
        """None where the device or the driver does not know, or this process may not."""
        try:
            return self._nvml.demand(question.ask, self._device.handle)
        except self._nvml.api.NVMLError_NoPermission as error:
            self._note(f"gpu.{self._device.name} does not tell its {question.what}: {error}")
            return None


class _Counters:
    """What the device counts by itself: energy, and the bytes on its links; one question for all.

    The PCIe rates that NVML measures by itself are not asked for: each takes it 20 ms.
    """

    def __init__(self, nvml: Nvml, handle: Any) -> None:
        api = nvml.api
        self._nvml, self._handle = nvml, handle
        wanted = (
            ("energy_joules", "NVML_FI_DEV_TOTAL_ENERGY_CONSUMPTION", 0, 0.001),
            ("pcie_sent_bytes_per_second", "NVML_FI_DEV_PCIE_COUNT_TX_BYTES", 0, 1),
            ("pcie_received_bytes_per_second", "NVML_FI_DEV_PCIE_COUNT_RX_BYTES", 0, 1),
            ("nvlink_sent_bytes_per_second", "NVML_FI_DEV_NVLINK_THROUGHPUT_DATA_TX",
             _ALL_LINKS, _KIB),
            ("nvlink_received_bytes_per_second", "NVML_FI_DEV_NVLINK_THROUGHPUT_DATA_RX",
             _ALL_LINKS, _KIB),
        )  # fmt: skip
        known = [(name, getattr(api, field, None), *rest) for name, field, *rest in wanted]
        self._fields = [field for field in known if field[1] is not None]
        self._rates = {name: Rate() for name, *_ in self._fields}
        self._energy_before: float | None = None

    def read(self, seconds: float) -> dict[str, float]:
        readings = {}
        for name, count in self._counts():
            if name == "energy_joules":
                if self._energy_before is None:
                    self._energy_before = count
                readings[name] = round(count - self._energy_before, 3)
            elif (rate := self._rates[name].per_second(count, seconds)) is not None:
                readings[name] = rate
        return readings

    def _counts(self) -> Iterator[tuple[str, float]]:
        """Each counter that the device has; the others are not asked for again."""
        if not self._fields:
            return
        ids = [(number, scope) for _, number, scope, _ in self._fields]
        answers = self._nvml.ask(self._nvml.api.nvmlDeviceGetFieldValues, self._handle, ids)
        told = []
        for field, answer in zip(self._fields, answers or (), strict=False):
            if answer.nvmlReturn == self._nvml.api.NVML_SUCCESS:
                told.append(field)
                yield field[0], _number(answer) * field[3]
        self._fields = told


def _number(answer: Any) -> float:
    """The member of the union that the answer says it is."""
    members = ("dVal", "uiVal", "ulVal", "ullVal", "sllVal", "siVal", "usVal")
    return float(getattr(answer.value, members[answer.valueType]))


def _questions(api: Any) -> list[_Question]:
    reasons = getattr(api, "nvmlDeviceGetCurrentClocksEventReasons", None)
    return [
        _Question(
            "load",
            api.nvmlDeviceGetUtilizationRates,
            lambda rates: {
                "utilization_percent": rates.gpu,
                "memory_utilization_percent": rates.memory,
            },
        ),
        _Question(
            "power",
            api.nvmlDeviceGetPowerUsage,
            lambda milliwatts: {"power_watts": milliwatts / 1000},
        ),
        _Question(
            "temperature",
            lambda handle: api.nvmlDeviceGetTemperature(handle, api.NVML_TEMPERATURE_GPU),
            lambda celsius: {"temperature_celsius": celsius},
        ),
        _Question(
            "clock",
            lambda handle: api.nvmlDeviceGetClockInfo(handle, api.NVML_CLOCK_SM),
            lambda megahertz: {"sm_clock_mhz": megahertz},
        ),
        _Question(
            "memory clock",
            lambda handle: api.nvmlDeviceGetClockInfo(handle, api.NVML_CLOCK_MEM),
            lambda megahertz: {"memory_clock_mhz": megahertz},
        ),
        _Question(
            "throttling",
            reasons or api.nvmlDeviceGetCurrentClocksThrottleReasons,
            lambda bits: {
                "throttled_by_power_percent": 100 * bool(bits & _POWER_REASONS),
                "throttled_by_heat_percent": 100 * bool(bits & _HEAT_REASONS),
            },
        ),
        _ecc(api, "corrected", api.NVML_MEMORY_ERROR_TYPE_CORRECTED),
        _ecc(api, "uncorrected", api.NVML_MEMORY_ERROR_TYPE_UNCORRECTED),
    ]


def _ecc(api: Any, name: str, kind: int) -> _Question:
    """Memory errors since the driver was loaded."""
    return _Question(
        f"{name} memory errors",
        lambda handle: api.nvmlDeviceGetTotalEccErrors(handle, kind, api.NVML_VOLATILE_ECC),
        lambda count: {f"ecc_{name}_count": count},
        SELDOM,
    )


def _memory(api: Any) -> _Question:
    ask = api.nvmlDeviceGetMemoryInfo
    return _Question("memory", ask, lambda memory: {"memory_used_bytes": memory.used})


def _memory_of(api: Any, pids: Callable[[], Collection[int]]) -> _Question:
    """GPU memory of our processes; nothing where a container hides who is who."""

    def readings(processes: Any) -> dict[str, float]:
        ours = {os.getpid(), *pids()}
        sizes = [p.usedGpuMemory for p in processes if p.pid in ours and p.usedGpuMemory]
        return {"process_memory_bytes": sum(sizes)} if sizes else {}

    ask = api.nvmlDeviceGetComputeRunningProcesses
    return _Question("memory of our processes", ask, readings, SELDOM)
