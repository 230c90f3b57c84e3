"""GPUs, through NVIDIA's management library: it does not start CUDA in this process."""

from collections.abc import Callable
from typing import Any, NamedTuple

from instrument.nvml import NoGpuAccess, Nvml
from instrument.telemetry.probes import ProbeUnavailable


class _Question(NamedTuple):
    """One thing to ask a device.

    Attributes:
        ask: Asks it.
        readings: Turns the answer into readings, by the last part of their names.
    """

    ask: Callable[[Any], Any]
    readings: Callable[[Any], dict[str, float]]


class GpuProbe:
    """Load, memory, power and temperature of each GPU; what one does not tell is left out."""

    def __init__(self) -> None:
        try:
            self._nvml = Nvml()
        except NoGpuAccess as reason:
            raise ProbeUnavailable(str(reason)) from reason
        self._questions = _questions(self._nvml.api)
        try:
            self._handles = self._nvml.handles()
        except Exception:
            self.close()
            raise
        self._unsupported: set[tuple[int, int]] = set()

    def read(self, seconds: float) -> dict[str, float]:  # noqa: ARG002 - NVML averages by itself
        """See `instrument.telemetry.probes.Probe`."""
        readings: dict[str, float] = {}
        for gpu, handle in enumerate(self._handles):
            for number, question in enumerate(self._questions):
                if (gpu, number) in self._unsupported:
                    continue
                answer = self._nvml.ask(question.ask, handle)
                if answer is None:
                    self._unsupported.add((gpu, number))
                    continue
                for name, value in question.readings(answer).items():
                    readings[f"gpu.{gpu}.{name}"] = value
        return readings

    def close(self) -> None:
        """See `instrument.telemetry.probes.Probe`."""
        self._nvml.close()


def _questions(api: Any) -> tuple[_Question, ...]:
    return (
        _Question(
            api.nvmlDeviceGetUtilizationRates,
            lambda rates: {"utilization_percent": rates.gpu},
        ),
        _Question(
            api.nvmlDeviceGetMemoryInfo,
            lambda memory: {"memory_used_bytes": memory.used},
        ),
        _Question(
            api.nvmlDeviceGetPowerUsage,
            lambda milliwatts: {"power_watts": milliwatts / 1000},
        ),
        _Question(
            lambda handle: api.nvmlDeviceGetTemperature(handle, api.NVML_TEMPERATURE_GPU),
            lambda celsius: {"temperature_celsius": celsius},
        ),
    )
