"""AMD's GPUs, through AMD SMI (``pip install amdsmi``, and the library of ROCm)."""

import os
from collections.abc import Callable
from typing import Any, Final

from instrument.telemetry.probes import Probe, ProbeUnavailable

_MIB: Final = 1 << 20
_MICROJOULE: Final = 1e-6


def amd_probes(note: Callable[[str], object]) -> dict[str, Probe]:
    """A probe for each GPU that ROCR_VISIBLE_DEVICES leaves to this process.

    Raises:
        ProbeUnavailable: There are none, or they cannot be asked.
    """
    if not os.path.exists("/dev/kfd"):  # noqa: PTH110 - as cheap as can be
        raise ProbeUnavailable("no AMD GPU: /dev/kfd is not on this machine")
    try:
        import amdsmi
    except Exception as error:  # KeyError where the library is missing
        raise ProbeUnavailable(f"amdsmi cannot be imported: {error!r}") from error
    amdsmi.amdsmi_init()
    handles = enumerate(amdsmi.amdsmi_get_processor_handles())
    visible = os.environ.get("ROCR_VISIBLE_DEVICES", os.environ.get("HIP_VISIBLE_DEVICES"))
    wanted = None if visible is None else visible.split(",")
    if wanted is not None and not all(entry.isdigit() for entry in wanted if entry):
        note(f"ROCR_VISIBLE_DEVICES={visible!r} names GPUs by UUID; all of them are watched")
        wanted = None
    return {
        f"gpu.{index}": AmdGpuProbe(amdsmi, index, handle)
        for index, handle in handles
        if wanted is None or str(index) in wanted
    }


class AmdGpuProbe:
    """Load, memory, power, temperature and energy of one GPU; what it does not tell is left out."""

    def __init__(self, api: Any, index: int, handle: Any) -> None:
        self._api, self._index, self._handle = api, index, handle
        self._questions = [_load, _memory, _power, _temperature, self._energy]
        self._energy_before: float | None = None

    def read(self, seconds: float) -> dict[str, float]:  # noqa: ARG002 - no rates
        """See `instrument.telemetry.probes.Probe`."""
        readings: dict[str, float] = {}
        for question in list(self._questions):
            try:
                answer = question(self._api, self._handle)
            except self._api.AmdSmiLibraryException:
                self._questions.remove(question)
                continue
            for name, value in answer.items():
                if isinstance(value, int | float):  # else "N/A"
                    readings[f"gpu.{self._index}.{name}"] = value
        return readings

    def close(self) -> None:
        """The session ends with the process: other probes go on in it."""

    def _energy(self, api: Any, handle: Any) -> dict[str, Any]:
        counted = api.amdsmi_get_energy_count(handle)
        joules = counted["energy_accumulator"] * counted["counter_resolution"] * _MICROJOULE
        if self._energy_before is None:
            self._energy_before = joules
        return {"energy_joules": round(joules - self._energy_before, 3)}


def _load(api: Any, handle: Any) -> dict[str, Any]:
    activity = api.amdsmi_get_gpu_activity(handle)
    return {
        "utilization_percent": activity["gfx_activity"],
        "memory_utilization_percent": activity["umc_activity"],
    }


def _memory(api: Any, handle: Any) -> dict[str, Any]:
    return {"memory_used_bytes": api.amdsmi_get_gpu_vram_usage(handle)["vram_used"] * _MIB}


def _power(api: Any, handle: Any) -> dict[str, Any]:
    power = api.amdsmi_get_power_info(handle)
    watts = (power["current_socket_power"], power["average_socket_power"])
    return {"power_watts": next((one for one in watts if isinstance(one, int | float)), "N/A")}


def _temperature(api: Any, handle: Any) -> dict[str, Any]:
    celsius = api.amdsmi_get_temp_metric(
        handle, api.AmdSmiTemperatureType.HOTSPOT, api.AmdSmiTemperatureMetric.CURRENT
    )
    return {"temperature_celsius": celsius}
