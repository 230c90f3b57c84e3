"""What torch's allocator holds on the GPUs. torch is never imported, and CUDA never started."""

import sys
from collections.abc import Iterator
from typing import Final

_WANTED: Final = ("allocated_bytes", "reserved_bytes")


class TorchProbe:
    """Bytes allocated, reserved, and the most ever allocated, by torch's number of the device.

    Nothing before the user's code has loaded torch and started CUDA.
    """

    def read(self, seconds: float) -> dict[str, float]:  # noqa: ARG002 - no rates
        """See `instrument.telemetry.probes.Probe`."""
        readings: dict[str, float] = {}
        for device, numbers in _statistics():
            readings[f"torch.{device}.allocated_bytes"] = numbers["allocated_bytes"]["current"]
            readings[f"torch.{device}.allocated_peak_bytes"] = numbers["allocated_bytes"]["peak"]
            readings[f"torch.{device}.reserved_bytes"] = numbers["reserved_bytes"]["current"]
        return readings

    def close(self) -> None:
        """Nothing is held."""


def peaks() -> dict[str, int]:
    """The most that was ever allocated, by device; empty without a started CUDA."""
    return {str(device): numbers["allocated_bytes"]["peak"] for device, numbers in _statistics()}


def _statistics() -> Iterator[tuple[int, dict[str, dict[str, int]]]]:
    """The allocator's statistics of each device that this process has used."""
    cuda = getattr(sys.modules.get("torch"), "cuda", None)
    initialised = getattr(cuda, "is_initialized", None)  # torch may be half imported
    if cuda is None or initialised is None or not initialised():
        return
    for device in range(cuda.device_count()):
        numbers = cuda.memory_stats_as_nested_dict(device)
        if "allocated_bytes" in numbers:
            yield device, {name: numbers[name]["all"] for name in _WANTED}
