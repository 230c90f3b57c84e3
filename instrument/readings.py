"""A summary of readings that costs the same memory however many there are."""

from typing import Any


class Readings:
    """Mean, least, greatest and last value of each reading."""

    def __init__(self) -> None:
        self._by_name: dict[str, list[Any]] = {}

    def add(self, values: dict[str, float]) -> None:
        """Take one sample."""
        for name, value in values.items():
            known = self._by_name.get(name)
            if known is None:
                self._by_name[name] = [1, value, value, value, value]
                continue
            known[0] += 1
            known[1] += value
            known[2] = min(known[2], value)
            known[3] = max(known[3], value)
            known[4] = value

    def summary(self) -> dict[str, dict[str, float]]:
        """``mean``, ``min``, ``max`` and ``last`` by name."""
        return {
            name: {"mean": total / count, "min": least, "max": greatest, "last": last}
            for name, (count, total, least, greatest, last) in sorted(self._by_name.items())
        }
