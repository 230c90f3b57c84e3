"""Where each metrics record stands in W&B's history.

W&B's own step only goes forward, and within a step a second value of a metric replaces the first: a
step that goes back, or the same metric twice at one step, would be lost there. So each row is given
a W&B step here: its own step where that is possible, else the next free one; such a *displaced* row
names its own step in `STEP_FIELD`.
"""

from collections.abc import Set as AbstractSet
from typing import Final

STEP_FIELD: Final = "instrument/step"
_RESERVED: Final = frozenset({"_step", "_timestamp", "_runtime", "_wandb"})


class Rows:
    """Finds the row of each record; knows the last row only, since W&B writes no earlier one."""

    def __init__(self) -> None:
        self._at = -1
        self._step: int | None = None
        self._names: AbstractSet[str] = frozenset()

    def place(self, names: AbstractSet[str], step: int | None) -> int:
        """The W&B step for a record of the metrics `names` that was taken at `step`."""
        if not self._joins(names, step):
            forward = step is not None and step > self._at
            self._at = step if step is not None and forward else self._at + 1
            self._names = frozenset()
            self._step = step
        elif step is not None:
            self._step = step
        self._names = self._names | names
        return self._at

    def _joins(self, names: AbstractSet[str], step: int | None) -> bool:
        """Whether the record can share the last row: no value is replaced, no step is changed."""
        if self._at < 0 or not self._names.isdisjoint(names):
            return False
        if step is None:
            return self._step is not None
        return step == (self._at if self._step is None else self._step)


def row_values(values: dict[str, float | str]) -> dict[str, float]:
    """Metrics as W&B takes them: NaN and the infinities as floats, names W&B keeps renamed."""
    return {
        f"metrics/{name}" if name in _RESERVED else name: float(value)
        for name, value in values.items()
    }
