"""Energy: the processors' counters, and what a run's readings say of joules."""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from instrument.telemetry.probes import File, ProbeUnavailable

_POWERCAP: Final = Path("/sys/class/powercap")
_JOULES_PER_KWH: Final = 3_600_000
_COUNTED: Final = re.compile(r"(gpu\.\d+)\.energy_joules")
_POWER: Final = re.compile(r"(gpu\.\d+)\.power_watts")


class PackageEnergyProbe:
    """Joules that all processor packages took since the first reading (Intel's and AMD's RAPL).

    Args:
        powercap: Where the kernel shows the counters.

    Raises:
        ProbeUnavailable: There are none, or only root may read them.
    """

    def __init__(self, powercap: Path = _POWERCAP) -> None:
        self._counters: list[_Counter] = []
        try:
            for zone in sorted(powercap.glob("intel-rapl:[0-9]*")):
                if zone.name.count(":") == 1:  # the parts of a package are counted in it
                    self._counters.append(_Counter(zone))
        except (OSError, ValueError) as error:
            self.close()
            raise ProbeUnavailable(f"the processors' energy cannot be read: {error}") from error
        if not self._counters:
            raise ProbeUnavailable("the processors do not count their energy")

    def read(self, seconds: float) -> dict[str, float]:  # noqa: ARG002 - joules, not watts
        """See `instrument.telemetry.probes.Probe`."""
        return {"cpu.energy_joules": round(sum(c.joules() for c in self._counters), 3)}

    def close(self) -> None:
        """See `instrument.telemetry.probes.Probe`."""
        for counter in self._counters:
            counter.close()


class _Counter:
    """A counter of microjoules that begins again at its range."""

    def __init__(self, zone: Path) -> None:
        self._range = int((zone / "max_energy_range_uj").read_text())
        self._file = File(str(zone / "energy_uj"))
        self._before = int(self._file.read())
        self._sum = 0

    def joules(self) -> float:
        now = int(self._file.read())
        self._sum += now - self._before if now >= self._before else now + self._range - self._before
        self._before = now
        return self._sum / 1e6

    def close(self) -> None:
        self._file.close()


def energy(
    readings: Mapping[str, Mapping[str, float]],
    seconds: float,
    grid_gco2e_per_kwh: float | None,
) -> dict[str, Any]:
    """Joules of the run, from the summary of its readings.

    A GPU that does not count its energy is taken at its mean power times `seconds`, and
    ``gpu_source`` says so. Carbon dioxide is told only for the intensity that the user gave.
    """
    told: dict[str, Any] = {}
    counted = {m[1]: reading["last"] for m, reading in _matching(_COUNTED, readings)}
    powers = {m[1]: reading["mean"] * seconds for m, reading in _matching(_POWER, readings)}
    gpus = powers | counted
    if gpus:
        told["gpu_joules"] = sum(gpus.values())
        sources = {"counter": bool(counted), "integrated power": bool(powers.keys() - counted)}
        told["gpu_source"] = " and ".join(name for name, used in sources.items() if used)
    if "cpu.energy_joules" in readings:
        told["cpu_joules"] = readings["cpu.energy_joules"]["last"]
        told["cpu_source"] = "counter of the packages (RAPL), the whole machine"
    if told and grid_gco2e_per_kwh is not None:
        joules = told.get("gpu_joules", 0.0) + told.get("cpu_joules", 0.0)
        told["grid_gco2e_per_kwh"] = grid_gco2e_per_kwh
        told["gco2e"] = joules / _JOULES_PER_KWH * grid_gco2e_per_kwh
    return told


def _matching(
    pattern: re.Pattern[str], readings: Mapping[str, Mapping[str, float]]
) -> list[tuple[re.Match[str], Mapping[str, float]]]:
    found = ((pattern.fullmatch(name), reading) for name, reading in readings.items())
    return [(match, reading) for match, reading in found if match]
