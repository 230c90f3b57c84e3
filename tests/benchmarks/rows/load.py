"""What it costs to load weights while a run is open."""

import struct
from pathlib import Path

from benchmarks.row import Entrant, Numbers, Row, Target, one_by_one
from benchmarks.workplace import Workplace

_MIB = 1024 * 1024
_TENSORS = 16


def _measure(place: Workplace, entrant: Entrant) -> Numbers:
    path = place.directory / "weights.safetensors"
    if not path.exists():
        _write(path, 1024 * _MIB)
    place.wipe("load", entrant.label)
    return place.run(entrant.environment, "load", entrant.label, str(path))


def _write(path: Path, size: int) -> None:
    """A safetensors file, made by hand: length of the header, header, data."""
    each = size // _TENSORS
    tensors = ", ".join(
        f'"layer.{number}.weight": {{"dtype": "F32", "shape": [{each // 4}],'
        f' "data_offsets": [{number * each}, {(number + 1) * each}]}}'
        for number in range(_TENSORS)
    )
    header = f"{{{tensors}}}".encode()
    with path.open("wb") as file:
        file.write(struct.pack("<Q", len(header)) + header)
        for _ in range(size // _MIB):
            file.write(bytes(range(256)) * (_MIB // 256))


ROW = Row(
    name="load",
    title="A safetensors file of 1 GiB from memory, times that of no run",
    entrants=(Entrant("instrument", "instrument"),),
    columns={
        "bare_s": "no run, s",
        "known_ratio": "digest known, x",
        "beside_ratio": "hashed beside, x",
    },
    targets=(Target("known_ratio", "instrument", 1.03),),
    measure=one_by_one(_measure),
    warm_up=False,
    most_rounds=1,
)
