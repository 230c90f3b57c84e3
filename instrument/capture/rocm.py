"""AMD's GPUs and ROCm, from what the kernel's driver and the installation leave in files."""

import re
from pathlib import Path
from typing import Any, Final

from instrument.capture.parts import NotKnown

_AMD: Final = "0x1002"
_CARD = re.compile(r"card\d+")


def rocm(root: Path = Path("/")) -> dict[str, Any]:
    """ROCm's version, the driver's, and each AMD GPU with its memory.

    Args:
        root: Where the system's files lie.
    """
    cards = root / "sys/class/drm"
    found = [path for path in cards.glob("card*") if _CARD.fullmatch(path.name) and _is_amd(path)]
    driver = _line(root / "sys/module/amdgpu/version")
    version = _line(root / "opt/rocm/.info/version")
    if not found and driver is None and version is None:
        raise NotKnown("no AMD GPU: neither one nor its driver nor ROCm is on this machine")
    reasons = {} if driver else {"driver": "the driver that came with the kernel has no version"}
    return {
        "version": version,
        "driver": driver,
        "devices": [_device(path / "device") for path in sorted(found, key=_number)],
        "reasons": reasons,
    }


def _device(directory: Path) -> dict[str, Any]:
    memory = _line(directory / "mem_info_vram_total") or ""
    return {
        "name": _line(directory / "product_name"),
        "pci_device": _line(directory / "device"),
        "memory_total_bytes": int(memory) if memory.isdigit() else None,
        "vbios": _line(directory / "vbios_version"),
    }


def _is_amd(card: Path) -> bool:
    return _line(card / "device/vendor") == _AMD


def _number(card: Path) -> int:
    return int(card.name.removeprefix("card"))


def _line(path: Path) -> str | None:
    try:
        return path.read_text(errors="replace").split("\n", 1)[0].strip() or None
    except OSError:
        return None
